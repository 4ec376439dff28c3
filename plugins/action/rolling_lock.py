# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.rolling_lock: names the run, and takes the lock of one whose process is gone."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

MODULE = "holdfast.ha.rolling_lock"
MACHINE = Path("/etc/machine-id")
START = 19
"""Index of the start time in C(/proc/PID/stat), counted after the program's name."""


def started(process: int, proc: Path = Path("/proc")) -> str:
    """Return when a process of this machine started, in clock ticks since its boot; "" when there is none."""
    try:
        return (proc / str(process) / "stat").read_text().rpartition(")")[2].split()[START]
    except (OSError, IndexError):
        return ""


def run_id(process: int, machine: str) -> str:
    """Return the id of the run whose controlling process this is."""
    return f"{machine}/{process}/{started(process)}"


def is_over(run: str, machine: str) -> bool:
    """Return whether a run was one of this machine's, and its process is gone."""
    where, _slash, rest = run.rpartition("/")[0].rpartition("/")
    return where == machine and rest.isdigit() and started(int(rest)) != run.rpartition("/")[2]


class ActionModule(ActionBase):
    """Hold or release the lock in the name of this ansible-playbook."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        machine = MACHINE.read_text().strip() if MACHINE.exists() else socket.gethostname()
        process = os.getppid()
        own = {
            "run": run_id(process, machine),
            "controller": f"{getpass.getuser()}@{socket.gethostname()}, process {process}",
        }
        arguments = {**own, **self._task.args}
        answer = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        holder = str((answer.get("lock") or {}).get("run") or "")
        if answer.get("failed") and is_over(holder, machine):
            release = {"state": "released", "run": holder}
            self._execute_module(module_name=MODULE, module_args=release, task_vars=task_vars)
            answer = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        return result | answer
