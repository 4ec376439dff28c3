# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a process of this machine still lives, although its number may be in use again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
DEAD = "ZX"  # a zombie, a process that is just removed


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its number and its start in clock ticks, "" where the system has no /proc."""

    pid: int
    started: str = ""

    def lives(self, proc: Path = PROC) -> bool:
        """Say whether it still runs."""
        state, started = _stat(self.pid, proc)
        if state:
            return state not in DEAD and started == (self.started or started)
        return not self.started and _is_known(self.pid)


def process(pid: int, proc: Path = PROC) -> Process:
    """Return a process that runs now."""
    return Process(pid, _stat(pid, proc)[1])


def _stat(pid: int, proc: Path) -> tuple[str, str]:
    """Return a process's state and start, "" and "" without one; its name, in brackets, may have blanks."""
    try:
        after = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return "", ""
    return after[0], after[19]


def _is_known(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
