# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.gather: several info modules on a host in one step."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec

ARGUMENTS = argument_spec("gather")


class ActionModule(ActionBase):
    """Run info modules one after the other; a module's failure is a result, not a failure of the task."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return probes: {name: result of its module}."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        result["probes"] = {
            probe["name"]: self._probe(probe["module"], probe["arguments"], task_vars)
            for probe in arguments["probes"]
            if probe["when"]
        }
        return result

    def _probe(self, module: str, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer = self._execute_module(module_name=module, module_args=arguments, task_vars=task_vars)
        return {key: value for key, value in answer.items() if key != "invocation" and not key.startswith("_")}
