# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.rolling_lock: names the run, and takes the lock of one whose process is gone."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.life import PROC, Process, process

MODULE = "holdfast.ha.rolling_lock"


def machine_id(proc: Path = PROC) -> str:
    """Return where process numbers mean what they mean here: this boot of the machine, and this container of it.

    Containers made from one image may have the same C(/etc/machine-id) and see none of each other's processes.
    """
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(proc / 'self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def run_id(controller: Process, machine: str) -> str:
    """Return the id of the run whose controlling process this is."""
    return f"{machine}/{controller.pid}/{controller.started}"


def is_over(run: str, machine: str, proc: Path = PROC) -> bool:
    """Return whether a run was one of this machine's, and its process is gone."""
    rest, _slash, start = run.rpartition("/")
    where, _slash, pid = rest.rpartition("/")
    return where == machine and pid.isdecimal() and not Process(int(pid), start).lives(proc)


class ActionModule(ActionBase):
    """Hold or release the lock in the name of this ansible-playbook."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        machine, controller = machine_id(), process(os.getppid())
        arguments = {
            "run": run_id(controller, machine),
            "controller": f"{getpass.getuser()}@{socket.gethostname()}, process {controller.pid}",
            **self._task.args,
        }
        answer = self._ask(arguments, task_vars)
        holder = str((answer.get("lock") or {}).get("run") or "")
        if answer.get("failed") and is_over(holder, machine):
            if self._task.check_mode:
                # Nothing is released then; the run that is over holds it still.
                return result | self._ask({**arguments, "run": holder}, task_vars)
            self._ask({"state": "released", "run": holder}, task_vars)
            answer = self._ask(arguments, task_vars)
        return result | answer

    def _ask(self, arguments: Mapping[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name=MODULE, module_args=dict(arguments), task_vars=task_vars
        )
        return answer
