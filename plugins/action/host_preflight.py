# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action before the module holdfast.ha.host_preflight: measures the host's clock against the controller's."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.declared import distribution_versions

ROOT = Path(__file__).resolve().parent.parent.parent
TOLD = ("findings", "packages", "postgresql_version", "jobs", "interface_of", "ansible_facts", "store")


def complete(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the module's arguments with what the collection knows of distributions."""
    wanted = arguments.get("postgresql") or {}
    return {**arguments, "postgresql": {**wanted, "distributions": distribution_versions(ROOT)} if wanted else {}}


class ActionModule(ActionBase):
    """Run the module and add the measured clock; a module that fails becomes a finding."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's findings, and clock = [least, greatest] seconds ahead of the controller.

        A host that can't be reached is down, has a msg, and no findings.
        """
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            done = self._execute_module(module_args=complete(self._task.args), task_vars=task_vars)
        except AnsibleConnectionFailure as error:  # the report needs one line per host, Ansible's own error twenty
            return result | {"down": True, "msg": str(error)}
        if done.get("failed"):
            message = str(done.get("msg") or done.get("module_stderr") or "no answer").strip().splitlines()[-1]
            fix = "give the host Python 3.11 or newer and root's rights"
            result["findings"] = [{"check": "module", "value": message, "fix": fix, "level": "error"}]
        else:
            result |= {key: done[key] for key in TOLD}
        clock = self._clock()  # after the module: the connection is open, so the measurement is precise
        if clock:
            result["clock"] = clock
        return result

    def _clock(self) -> tuple[float, float] | None:
        """Ask the host for its time, which it read at some time between two readings of the controller's clock."""
        before = time.time()
        answer = self._low_level_execute_command("date +%s.%N", sudoable=False)
        after = time.time()
        try:
            theirs = float(answer["stdout"].strip())
        except ValueError:
            return None
        return theirs - after, theirs - before
