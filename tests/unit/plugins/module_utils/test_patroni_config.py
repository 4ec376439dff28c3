# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_config import (
    apply_patch,
    is_synchronous,
    plan,
    timing_problem,
)

CASES = yaml.safe_load(Path(__file__).with_name("patroni_config_cases.yml").read_text())

Case = dict[str, Any]


@pytest.mark.parametrize("case", CASES["plans"], ids=lambda case: case["name"])
def test_plan(case: Case) -> None:
    arguments = case["desired"], case.get("exact", False), case.get("keep", [])
    current = deepcopy(case["current"])

    patch = plan(current, *arguments)

    assert patch == case["patch"]
    assert current == case["current"]
    assert plan(apply_patch(current, patch), *arguments) == {}


@pytest.mark.parametrize("case", CASES["timings"], ids=lambda case: case["name"])
def test_timing(case: Case) -> None:
    problem = timing_problem(case["config"])

    assert (problem is None) == ("problem" not in case)
    for word in case.get("problem", []):
        assert word in (problem or "")


@pytest.mark.parametrize(
    ("mode", "synchronous"),
    [
        *((mode, True) for mode in (True, "on", "quorum", "true", "yes", 1, "Quorum")),
        *((mode, False) for mode in (False, "off", None, 0)),
    ],
)
def test_synchronous(mode: Any, synchronous: bool) -> None:
    assert is_synchronous({"synchronous_mode": mode}) is synchronous


def test_without_configuration_nothing_is_synchronous() -> None:
    assert not is_synchronous(None)
    assert not is_synchronous({})
