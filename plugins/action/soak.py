# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.soak: the drill's action with another engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.holdfast.ha.plugins.action import drill
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.packages import require_packages
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.plan import SoakPlan, as_text, check, problems

ENGINE = "ansible_collections.holdfast.ha.plugins.plugin_utils.soak.engine"
ARGUMENTS = argument_spec("soak")
# Options of the drill that a soak lacks, because it takes no host down.
DRILL = {name: spec.get("default") for name, spec in drill.ARGUMENTS.items()} | {
    "consistency": False,
    "without_backup": True,
}


class ActionModule(drill.ActionModule):
    """Plan, refuse or run one soak."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return passed, failure and directory."""
        result: dict[str, Any] = ActionBase.run(self, tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        try:
            plan = self._soak_plan(arguments, task_vars or {})
            if self._task.check_mode:
                for problem in problems(plan):
                    raise Refusal(problem)
                Display().display(as_text(plan))
                return result | {"changed": False}
            require_packages()
            check(plan, arguments["confirm"])
        except Refusal as refusal:
            return result | {"failed": True, "msg": str(refusal)}
        if arguments["check_only"]:
            return result | {"changed": False}
        Display().display(as_text(plan))
        outcome = drill.Child(plan, ENGINE).follow()
        failed = {} if outcome["passed"] else {"failed": True, "msg": outcome["failure"]}
        return result | {"changed": True, **outcome, **failed}

    def _soak_plan(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> SoakPlan:
        own = {name: arguments[name] for name in ("minutes", "seed", "clients", "scale")}
        shared = {name: value for name, value in arguments.items() if name in DRILL}
        return SoakPlan(drill=self._plan({**DRILL, **shared}, variables), **own)
