# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action before the module holdfast.ha.deployed_info: passes the host's declared state."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.holdfast.ha.plugins.module_utils.deployed import Deployed
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.declared import host_of, wished
from ansible_collections.holdfast.ha.plugins.plugin_utils.directories import directories_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.rotation.plan import states_of

ROOT = Path(__file__).resolve().parent.parent.parent


def unsettled(told: dict[str, Any]) -> list[str]:
    """Return the secrets whose rotation has not ended on a host: the former value is accepted, or the new one is not
    everywhere."""
    states = states_of([Deployed.load(told).secrets]).values()
    return [state.name for state in states if state.settles or state.former or state.accepted is False]


class ActionModule(ActionBase):
    """Run the module; a failure is a result too, which the report judges."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return deployed, or the reason why the host could not be examined; and the marks of hosts in maintenance."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        name = variables["inventory_hostname"]
        host = host_of(name, variables["hostvars"][name], ROOT)
        directories = [asdict(directory) for directory in directories_of(host.ha, host.variables)]
        proves = boolean(self._task.args.get("prove", False))
        arguments = {"wished": json.dumps(wished(host) | {"directories": directories, "prove": proves})}
        done = self._execute_module(module_args=arguments, task_vars=task_vars)
        result |= {"marks": done["marks"]} if "marks" in done else {}
        if "deployed" in done:
            result |= {"deployed": done["deployed"]}
            return result | ({"unsettled": unsettled(done["deployed"])} if proves else {})
        reason = str(done.get("msg") or done.get("module_stderr") or "no answer").strip().splitlines()[-1]
        return result | {"unknown": reason}
