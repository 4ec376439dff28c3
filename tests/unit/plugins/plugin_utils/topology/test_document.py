# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import HIDDEN, Problem, TopologyError
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.document import read_document

TEXT = """\
plugin: holdfast.ha.topology
clusters:
  lab:
    clients:
      - 192.0.2.0/24
      - {anything: 1}
"""


def test_data_and_lines():
    document, lines = read_document(TEXT)
    assert document["clusters"]["lab"]["clients"] == ["192.0.2.0/24", {"anything": 1}]
    assert lines["clusters.lab"] == 3
    assert lines["clusters.lab.clients[1]"] == lines["clusters.lab.clients[1].anything"] == 6


def test_an_empty_file_is_empty():
    assert read_document("") == (None, {})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("clusters:\n  lab: {}\n  lab: {}\n", "clusters.lab: is given twice, in lines 2 and 3. Fix: rename or merge"),
        ("clusters: {lab: {vips: {a: 1, a: 2}}}", "clusters.lab.vips.a: is given twice"),
        ("clusters: [never-show-me\n", "topology file: is not valid YAML (line 2:"),
        ("clusters: !vault never-show-me", "topology file: is not valid YAML (line 1:"),
        ("clusters: \x00", "topology file: is not valid YAML"),
    ],
)
def test_refuses(text, told):
    with pytest.raises(TopologyError) as refusal:
        read_document(text)
    assert told in refusal.value.describe({})
    assert "never-show-me" not in refusal.value.describe({})


def test_a_problem_tells_the_line_of_its_key_or_of_the_nearest_above():
    problems = [Problem(where, HIDDEN, "is wrong", "correct it") for where in ("a.b", "a.b.c[0].d", "x")]
    assert TopologyError(problems).describe({"a": 1, "a.b": 7}) == (
        "  1. line 7: a.b: is wrong. Fix: correct it.\n"
        "  2. line 7: a.b.c[0].d: is wrong. Fix: correct it.\n"
        "  3. x: is wrong. Fix: correct it."
    )
