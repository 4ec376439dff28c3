# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from scripts import generate_playbooks_reference as sut

PLAYBOOKS = sorted((sut.ROOT / "playbooks").glob("*.yml"))


def test_the_head_of_a_playbook_is_its_purpose_and_its_examples(tmp_path):
    path = tmp_path / "a.yml"
    path.write_text(
        "---\n# Does this,\n# and that.\n#   run a.yml \\\n#     -e x=1\n- hosts: all\n# Another comment.\n"
    )
    assert sut.head(path) == (["Does this,", "and that."], ["run a.yml \\", "  -e x=1"])


@pytest.mark.parametrize(
    ("option", "row"),
    [
        ({"description": "What.", "required": True}, "| `x` | str | **required** | What. |"),
        ({"description": "O(a).", "type": "int", "default": 3}, "| `x` | int | `3` | `a`. |"),
        (
            {"description": "C.", "choices": ["a", "b"], "command_line": True},
            "| `x` | `a`, `b` |  | C. Only with `-e`. |",
        ),
    ],
)
def test_a_row(option, row):
    assert sut.row("x", option) == row


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_every_playbook_says_what_it_is_for(path):
    assert sut.head(path)[0]


def test_options_of_what_a_playbook_runs_are_linked():
    lines = " ".join("\n".join(sut.section(sut.ROOT / "playbooks" / "site.yml", sut.load_declared(sut.ROOT))).split())
    names = ("preflight", "guard", "rotate_passwords", "backup")
    assert [name for name in names if f"[{name}.yml](#{name}yml)" not in lines] == []
