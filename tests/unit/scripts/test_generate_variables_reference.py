# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from scripts import generate_variables_reference as sut


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("See O(web_port) and V(true).", "See `web_port` and `true`."),
        (["One.", "Two\n  lines."], "One. Two lines."),
        ("a | b", "a \\| b"),
    ],
)
def test_descriptions_become_one_line_of_markdown(value, text):
    assert sut.text(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [("", '`""`'), ("a b", "`a b`"), (["x"], '`["x"]`'), (True, "`true`"), ("{{ x }}", "`{{ x }}`")]
)
def test_defaults_are_shown_as_code(value, text):
    assert sut.shown(value) == text


def test_rows():
    options = {
        "web_name": {"required": True, "description": "The name."},
        "web_pools": {
            "type": "list",
            "elements": "dict",
            "description": "Pools.",
            "options": {"mode": {"type": "str", "choices": ["tcp", "http"], "default": "tcp", "description": "Mode."}},
        },
    }
    assert list(sut.rows(options, {"web_pools": []})) == [
        "| `web_name` | str | **required** | The name. |",
        "| `web_pools` | list of dict | `[]` | Pools. |",
        "| · `mode` | str | `tcp` | Mode. One of: `tcp`, `http`. |",
    ]


def test_documentation_is_read_without_importing(tmp_path):
    plugin = tmp_path / "plugin.py"
    plugin.write_text('import missing\nDOCUMENTATION = "name: x"\n')
    assert sut.documentation(plugin) == {"name": "x"}
    assert sut.documentation(tmp_path / "none.py") == {}
