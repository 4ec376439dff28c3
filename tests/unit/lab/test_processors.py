# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How lab/processors.py reads LAB_CPUS, and when it talks to the engine."""

from __future__ import annotations

import os
from typing import Any

import pytest

from lab import processors
from lab.engine import LabError


class Recorder:
    """An engine that knows the quota of each container and notes what it is told."""

    def __init__(self, quotas: dict[str, int]) -> None:
        self.quotas = quotas
        self.told: list[tuple[str, ...]] = []

    def inspect(self, _kind: str, name: str) -> dict[str, Any]:
        return {"HostConfig": {"CpuQuota": self.quotas[name]}}

    def run(self, *arguments: str) -> str:
        self.told.append(arguments)
        return ""


@pytest.mark.parametrize(("given", "expected"), [(None, -1), ("", -1), ("0.27", 27_000), ("1", 100_000)])
def test_quota(given: str | None, expected: int) -> None:
    assert processors.quota(given) == expected


@pytest.mark.parametrize("given", ["half", "0", "-1", "0.001", "nan", str((os.cpu_count() or 1) + 1)])
def test_refuses_what_no_node_can_have(given: str) -> None:
    with pytest.raises(LabError, match=f"LAB_CPUS is '{given}': give each node a number of processors from 0.01"):
        processors.quota(given)


@pytest.mark.parametrize(
    ("before", "wanted", "told"),
    [(0, -1, False), (-1, -1, False), (27_000, 27_000, False), (0, 27_000, True), (27_000, -1, True)],
)
def test_tells_the_engine_only_what_is_new(before: int, wanted: int, told: bool) -> None:
    engine = Recorder({"holdfast-db1": before})
    processors.confine(engine, ["holdfast-db1"], wanted)  # type: ignore[arg-type]
    assert engine.told == ([("update", "--cpu-period=100000", f"--cpu-quota={wanted}", "holdfast-db1")] if told else [])
