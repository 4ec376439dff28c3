# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fixed share of the machine's processors for each node, like that of a dedicated host."""

from __future__ import annotations

import os

from lab.engine import Engine, LabError

PERIOD = 100_000
"""Microseconds over which the kernel counts a node's time."""
LEAST = 0.01
ALL = -1


def quota(cpus: str | None) -> int:
    """Return the microseconds of each period that a node may use, ALL where LAB_CPUS is unset or empty."""
    if not cpus:
        return ALL
    most = os.cpu_count() or 1
    try:
        wanted = float(cpus)
    except ValueError:
        wanted = 0.0
    if not LEAST <= wanted <= most:
        raise LabError(f"LAB_CPUS is {cpus!r}: give each node a number of processors from {LEAST} to {most}")
    return round(wanted * PERIOD)


def confine(engine: Engine, containers: list[str], microseconds: int) -> None:
    """Give each container its share, now and after a restart, unless it has the share already."""
    for name in containers:
        known = engine.inspect("container", name) or {}
        if (known.get("HostConfig", {}).get("CpuQuota") or ALL) != microseconds:
            engine.run("update", f"--cpu-period={PERIOD}", f"--cpu-quota={microseconds}", name)
