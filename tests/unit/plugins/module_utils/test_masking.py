# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people see of configurations that hold secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.module_utils.masking import mask, mask_line, mask_text

CASES: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("masking_cases.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", CASES["hidden"])
def test_no_part_of_a_secret_is_shown(text: str) -> None:
    shown = mask_text(text, ["mine"])
    assert "S3" not in shown
    assert "***" in shown
    assert shown.count("\n") == text.count("\n")


@pytest.mark.parametrize("text", CASES["shown"])
def test_what_is_no_secret_is_shown_as_it_is(text: str) -> None:
    assert mask_text(text) == text


@pytest.mark.parametrize(("value", "expected"), CASES["values"])
def test_values(value: Any, expected: Any) -> None:
    assert mask(value) == expected


def test_a_text_is_shown_up_to_the_secret_s_name() -> None:
    assert mask_line("host=db1 password=S3 sslmode=require") == "host=db1 password ***"
