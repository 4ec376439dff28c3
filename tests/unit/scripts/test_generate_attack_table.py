# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest

from scripts.generate_attack_table import PAGE, page, results, table

DOCUMENT = {
    "seats": {"thief": {"at": "lb1", "user": "nobody", "about": "a user"}},
    "cases": {
        "thief": [
            {"target": "the key", "expect": "refused", "why": "mode"},
            {"target": "the door", "expect": "possible", "why": "it is open"},
        ]
    },
}


def test_each_case_is_a_row_of_its_seat() -> None:
    found = results(json.dumps([{"seat": "thief", "target": "the key", "found": "refused"}]))
    text = "\n".join(table(DOCUMENT, found))
    assert "## thief\n\nA user: `nobody` on `lb1`.\n" in text
    assert "| the key | refused | mode |" in text
    assert "| the door | **possible (not run)** | it is open |" in text


def test_an_unexpected_result_is_no_table() -> None:
    with pytest.raises(SystemExit, match="the key: possible, but"):
        list(table(DOCUMENT, {("thief", "the key"): "possible"}))


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()
