# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time site.yml on an inventory's nodes: on bare nodes, as a no-op, and with --check (on bare nodes and when finished).

    python -m scripts.bench                 the lab, from bare nodes (recreates it)
    python -m scripts.bench noop DIRECTORY  the no-op alone, on the running nodes of an inventory, step by step

It prints wall seconds; CPU seconds of the controller (Ansible and its local processes, without the nodes' own work);
the peak memory of those processes (shared pages count once); task steps (a task on all of its hosts is one); tasks run
(one host each); and the machine's load before each run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv/bin"
LAB = ROOT / "inventory/lab"
SITE = ROOT / "playbooks/site.yml"
_RECAP = re.compile(r"^\S+\s+: ok=(\d+)\s+changed=(\d+)\s", re.MULTILINE)
_SAMPLE_SECONDS = 0.2


@dataclass(frozen=True)
class Run:
    """One measured run of a command."""

    name: str
    wall: float
    cpu: float
    mebibytes: float
    load: float
    passed: bool
    output: str
    hosts: int

    @property
    def steps(self) -> int:
        """The number of announced task steps."""
        return self.output.count("\nTASK [")

    @property
    def tasks(self) -> int:
        """The number of tasks that ran, one host each."""
        return sum(int(ok) for ok, _changed in _RECAP.findall(self.output))

    @property
    def changed(self) -> int:
        """The number of tasks that changed something."""
        return sum(int(changed) for _ok, changed in _RECAP.findall(self.output))


class PeakMemory:
    """The peak of the proportional set size of a process and its descendants, sampled while the block runs."""

    def __init__(self, pid: int) -> None:
        self.pid, self.kibibytes = pid, 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self.kibibytes = max(self.kibibytes, sum(map(_proportional, _family(self.pid))))


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        children.setdefault(int(parent), []).append(int(stat.parent.name))
    family = [pid]
    for member in family:
        family += children.get(member, [])
    return family


def _proportional(pid: int) -> int:
    """A process's proportional set size in KiB; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def nodes(action: str, inventory: Path = LAB) -> None:
    """Create or remove the nodes of an inventory."""
    subprocess.run([BIN / "python", "-m", "lab.nodes", action, inventory / "hosts.yml"], cwd=ROOT, check=True)


def measure(name: str, hosts: int, *command: str | Path, **environment: str) -> Run:
    """Run a program of the virtualenv once; if it fails, its output goes to stderr."""
    load, begun = os.getloadavg()[0], time.monotonic()
    with subprocess.Popen(
        [BIN / command[0], *command[1:]],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true", **environment},  # all steps are counted
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        with PeakMemory(process.pid) as memory:
            output = process.stdout.read()
            _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        print(output[-4000:], file=sys.stderr)
    wall, cpu = time.monotonic() - begun, usage.ru_utime + usage.ru_stime
    return Run(name, wall, cpu, memory.kibibytes / 1024, load, process.returncode == 0, output, hosts)


def hosts_of(inventory: Path) -> int:
    """The number of hosts in an inventory."""
    listed = subprocess.run(
        [BIN / "ansible-inventory", "-i", inventory / "hosts.yml", "--list"], capture_output=True, text=True, check=True
    )
    return len(json.loads(listed.stdout)["_meta"]["hostvars"])


def site(name: str, inventory: Path, *arguments: str, **environment: str) -> Run:
    """Run site.yml on an inventory once."""
    return measure(name, hosts_of(inventory), "ansible-playbook", "-i", inventory, SITE, *arguments, **environment)


def deploy(inventory: Path) -> list[Run]:
    """The four runs, from bare nodes."""
    nodes("down", inventory)
    nodes("up", inventory)
    return [
        site("--check on bare nodes", inventory, "--check", "--diff"),
        site("deploy on bare nodes", inventory),
        site("no-op", inventory),
        site("--check, finished", inventory, "--check", "--diff"),
    ]


_COLUMNS: dict[str, Callable[[Run], str]] = {
    "hosts": lambda run: str(run.hosts),
    "wall s": lambda run: f"{run.wall:.1f}",
    "CPU s": lambda run: f"{run.cpu:.1f}",
    "CPU s/host": lambda run: f"{run.cpu / run.hosts:.2f}",
    "MiB": lambda run: f"{run.mebibytes:.0f}",
    "MiB/host": lambda run: f"{run.mebibytes / run.hosts:.1f}",
    "steps": lambda run: str(run.steps),
    "tasks": lambda run: str(run.tasks),
    "changed": lambda run: str(run.changed),
    "load": lambda run: f"{run.load:.1f}",
}


def table(runs: list[Run]) -> str:
    """The runs as lines, failed ones marked."""
    width = max(map(len, _COLUMNS)) + 2
    heading = f"{'run':<24}" + "".join(f"{title:>{width}}" for title in _COLUMNS)
    lines = [
        f"{run.name:<24}"
        + "".join(f"{cell(run):>{width}}" for cell in _COLUMNS.values())
        + "  FAILED" * (not run.passed)
        for run in runs
    ]
    return "\n".join([heading, *lines])


def step_by_step(inventory: Path) -> Run:
    """The no-op with the seconds of each step, which ansible.posix.profile_tasks prints at its end."""
    return site(
        "no-op, profiled",
        inventory,
        ANSIBLE_CALLBACKS_ENABLED="ansible.posix.profile_tasks",
        PROFILE_TASKS_TASK_OUTPUT_LIMIT="all",
    )


def main(arguments: list[str]) -> int:
    """Print the table; 0 when all runs succeeded."""
    if arguments[:1] == ["noop"]:
        runs = [step_by_step(Path(arguments[1]).resolve())]
        print(runs[0].output.rpartition("TASKS RECAP")[2])
    else:
        runs = deploy(LAB)
    print(table(runs))
    return 0 if all(run.passed for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
