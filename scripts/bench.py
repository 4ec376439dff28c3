# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time site.yml on the lab: on bare nodes, as a no-op, and with --check (on bare nodes and on the finished cluster).

Wall seconds, CPU seconds of the controller (Ansible and what it starts here: the nodes' own work is not in it), task
steps (a task on all its hosts is one), tasks run (one host each), and the machine's load before each run.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv/bin"
INVENTORY = ROOT / "inventory/lab"
_RECAP = re.compile(r"^\S+\s+: ok=(\d+)\s+changed=(\d+).*?unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """One measured run of the playbook."""

    name: str
    wall: float
    cpu: float
    steps: int
    tasks: int
    changed: int
    load: float
    passed: bool


def nodes(action: str) -> None:
    """Create or remove the lab's nodes."""
    subprocess.run([BIN / "python", ROOT / "lab/nodes.py", action, INVENTORY / "hosts.yml"], check=True)


def measure(name: str, *arguments: str) -> Run:
    """Run site.yml once."""
    load = os.getloadavg()[0]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [str(BIN / "ansible-playbook"), "-i", str(INVENTORY), str(ROOT / "playbooks/site.yml"), *arguments]
    environment = {**os.environ, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true"}  # all steps are counted
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    counts = [tuple(map(int, found)) for found in _RECAP.findall(result.stdout)]
    if result.returncode:
        print(result.stdout[-4000:], file=sys.stderr)
    return Run(
        name=name,
        wall=wall,
        cpu=cpu,
        steps=result.stdout.count("\nTASK ["),
        tasks=sum(ok for ok, *_rest in counts),
        changed=sum(changed for _ok, changed, *_rest in counts),
        load=load,
        passed=result.returncode == 0,
    )


def main() -> int:
    """Print a table of the four runs; 0 when all of them succeeded."""
    nodes("down")
    nodes("up")
    runs = [
        measure("--check on bare nodes", "--check", "--diff"),
        measure("deploy on bare nodes"),
        measure("no-op"),
        measure("--check, finished", "--check", "--diff"),
    ]
    print(f"{'run':<24}{'wall s':>8}{'CPU s':>8}{'steps':>7}{'tasks':>7}{'changed':>9}{'load':>7}")
    for run in runs:
        mark = "" if run.passed else "  FAILED"
        print(
            f"{run.name:<24}{run.wall:>8.1f}{run.cpu:>8.1f}{run.steps:>7}{run.tasks:>7}{run.changed:>9}{run.load:>7.1f}"
            f"{mark}"
        )
    return 0 if all(run.passed for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
