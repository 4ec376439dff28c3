#!/usr/bin/python3
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the share of one processor that each of the services uses over some seconds.

A service counts with all of its processes; of Patroni, whose unit includes PostgreSQL, only the process itself counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

UNITS = (
    "etcd",
    "patroni",
    "holdfast-pgbouncer",
    "holdfast-lease-watcher",
    "haproxy",
    "keepalived",
    "prometheus",
    "holdfast-metrics",
    *(f"holdfast-{name}-exporter" for name in ("node", "postgres", "pgbouncer", "pgbackrest", "blackbox")),
)
ALONE = ("patroni",)


def shown(unit: str) -> dict[str, str]:
    """Return systemd's properties of a unit."""
    argv = ["systemctl", "show", "--property=MainPID,CPUUsageNSec,ActiveState", f"{unit}.service"]
    told = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in told.splitlines())


def cpu_seconds(unit: str) -> float | None:
    """Return the CPU seconds that a unit has used, None if it does not run."""
    known = shown(unit)
    if known["ActiveState"] != "active":
        return None
    if unit in ALONE:
        user, system = Path(f"/proc/{known['MainPID']}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return int(known["CPUUsageNSec"]) / 1e9


def main(seconds: float) -> None:
    """Measure and print."""
    before, begun = {unit: cpu_seconds(unit) for unit in UNITS}, time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - begun
    used = {unit: (before[unit], cpu_seconds(unit)) for unit in UNITS}
    shares = {
        unit: 100 * (now - then) / elapsed for unit, (then, now) in used.items() if then is not None and now is not None
    }
    print(", ".join(f"{unit} {share:.2f} %" for unit, share in shares.items()))


if __name__ == "__main__":
    main(float(sys.argv[1]))
