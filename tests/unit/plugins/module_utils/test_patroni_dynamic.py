# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Patroni takes of a dynamic configuration, and what it would ignore."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_dynamic import faults, undefined_methods

CASES = yaml.safe_load(Path(__file__).with_name("patroni_dynamic_cases.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("given", CASES["right"])
def test_what_patroni_takes_is_accepted(given: dict[str, Any]) -> None:
    assert not list(faults(given))


@pytest.mark.parametrize("case", CASES["wrong"], ids=lambda case: str(case["given"]))
def test_what_patroni_ignores_or_misreads_is_told(case: dict[str, Any]) -> None:
    [fault] = faults(case["given"])
    assert fault.path == case["path"]
    assert case["what"] in fault.what
    assert case.get("fix", "") in fault.fix


def test_a_value_that_can_not_be_looked_at_is_left_alone() -> None:
    assert not list(faults({"ttl": object(), "slots": object(), "postgresql": {"use_slots": object()}}))


@pytest.mark.parametrize(
    ("method", "defined"), [("basebackup", True), ("copy", True), ("rsync", True), ("nosuch", False)]
)
def test_a_method_that_creates_replicas_is_declared_or_a_program(method: str, defined: bool) -> None:
    configuration = {"postgresql": {"create_replica_methods": [method], "copy": {"command": "x"}}}
    assert bool(list(undefined_methods(configuration, "rsync".__eq__))) is not defined
