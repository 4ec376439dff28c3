# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run Molecule scenarios one after the other: scripts/molecule.py default haproxy …

The scenarios share one machine, so never side by side. The `default` scenario is the lab: a lab that runs already is
converged and verified as it is, and goes on running; otherwise it is built from bare nodes and removed at the end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv/bin"
LAB_HOSTS = ROOT / "inventory/lab/hosts.yml"


def lab_is_up() -> bool:
    """Tell whether all of the lab's nodes run."""
    command = [str(BIN / "python"), "-m", "lab.nodes", "status", str(LAB_HOSTS)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def run(scenario: str, environment: dict[str, str]) -> tuple[bool, float]:
    """Run one scenario; whether it passed, and its seconds."""
    begun = time.monotonic()
    print(f"== molecule: {scenario}", flush=True)
    command = [str(BIN / "molecule"), "test", "--scenario-name", scenario]
    passed = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0
    return passed, time.monotonic() - begun


def main(scenarios: list[str]) -> int:
    """Run the scenarios; 0 when all passed."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    if lab_is_up():
        environment["LAB_KEEP"] = "1"
    results = {scenario: run(scenario, environment) for scenario in scenarios}
    for scenario, (passed, seconds) in results.items():
        print(f"molecule {scenario}: {'ok' if passed else 'FAILED'}, {seconds:.0f} s")
    failed = sum(not passed for passed, _seconds in results.values())
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
