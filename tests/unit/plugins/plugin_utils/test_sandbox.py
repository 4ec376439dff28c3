# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.sandbox import SANDBOX, sandbox


def test_without_deviations_every_setting_is_there_once() -> None:
    lines = [line.partition("=")[::2] for line in sandbox({}).splitlines()]
    assert lines == [*SANDBOX.items()]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (False, "PrivateTmp=false"),
        ("read-only", "PrivateTmp=read-only"),
        (["a", "b"], "PrivateTmp=a b"),
        ("", "PrivateTmp="),
        (None, None),
    ],
)
def test_a_deviation_takes_the_setting_s_place(value: Any, line: str | None) -> None:
    found = [text for text in sandbox({"PrivateTmp": value}).splitlines() if text.startswith("PrivateTmp")]
    assert found == ([line] if line else [])


def test_a_misspelt_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="ProtectHomes is not a setting of the sandbox; did you mean ProtectHome"):
        sandbox({"ProtectHomes": True})
    with pytest.raises(ValueError, match=r"sandbox$"):
        sandbox({"Nice": 5})


def test_shared_memory_of_other_units_stays() -> None:
    assert "RemoveIPC" not in SANDBOX
