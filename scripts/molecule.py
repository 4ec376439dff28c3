# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run Molecule scenarios one after the other: python3 -m scripts.molecule default haproxy …

The scenarios share one machine, so they never run in parallel. Those with the lab's inventory share its cluster: the
first one builds it from bare nodes, the others find it converged. A lab that runs already is used and kept; otherwise
it is removed after the last of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv/bin"
LAB = "inventory/lab"


def lab_nodes(action: str) -> bool:
    """Run lab.nodes (`status` or `down`) on the lab; return whether it succeeded."""
    command = [str(BIN / "python"), "-m", "lab.nodes", action, str(ROOT / LAB / "hosts.yml")]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def on_the_lab(scenario: str) -> bool:
    """Whether a scenario's inventory is the lab's."""
    return LAB in (ROOT / "molecule" / scenario / "molecule.yml").read_text(encoding="utf-8")


def run(scenario: str) -> tuple[bool, float]:
    """Run one scenario; return whether it passed, and its seconds."""
    begun = time.monotonic()
    print(f"== molecule: {scenario}", flush=True)
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "LAB_KEEP": "1" if on_the_lab(scenario) else "",
    }
    command = [str(BIN / "molecule"), "test", "--scenario-name", scenario]
    passed = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0
    return passed, time.monotonic() - begun


def run_on_the_lab(scenarios: list[str]) -> dict[str, tuple[bool, float]]:
    """Run the scenarios that share the lab, and remove the lab unless it ran before."""
    ran_before = lab_nodes("status")
    results = {scenario: run(scenario) for scenario in scenarios}
    if scenarios and not ran_before:
        lab_nodes("down")
    return results


def main(scenarios: list[str]) -> int:
    """Run the scenarios, those on the lab first; return 0 when all passed."""
    results = run_on_the_lab([scenario for scenario in scenarios if on_the_lab(scenario)])
    results |= {scenario: run(scenario) for scenario in scenarios if scenario not in results}
    for scenario, (passed, seconds) in results.items():
        print(f"molecule {scenario}: {'ok' if passed else 'FAILED'}, {seconds:.0f} s")
    failed = sum(not passed for passed, _seconds in results.values())
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
