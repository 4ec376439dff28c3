# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import TopologyError

DATA = Path(__file__).resolve().parents[3] / "data"
CASES = yaml.safe_load((DATA / "topology_bad_input.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_refused_with_variable_value_and_fix(case, build_case):
    with pytest.raises(TopologyError) as refusal:
        build_case(case)
    messages = [str(problem) for problem in refusal.value.problems]
    for expected in case["refused"]:
        matching = [text for text in messages if tells(text, expected)]
        assert matching, f"{expected} is not among:\n" + "\n".join(messages)
        messages.remove(matching[0])
    assert messages == [], "problems that the case does not expect"


def tells(text, expected):
    """Whether a message says where, what and how to put it right."""
    told, _separator, fix = text.partition(" Fix: ")
    starts = any(told.startswith(f"{expected['where']}{separator}") for separator in (" = ", ": "))
    return starts and expected["value"] in told and expected["fix"] in fix


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_no_secret_is_shown(case, build_case):
    with pytest.raises(TopologyError) as refusal:
        build_case(case)
    assert "never-show-me" not in refusal.value.describe({})


def test_there_are_many_cases_each_with_a_name_of_its_own():
    names = {case["name"] for case in CASES}
    assert len(names) == len(CASES) >= 30
