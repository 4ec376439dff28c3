# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.explore: the drill's action with another engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.holdfast.ha.plugins.action import drill
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.packages import require_packages
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan, Refusal
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.plan import (
    ExplorePlan,
    Mode,
    as_text,
    check,
    problems,
    wanted_kinds,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.report import profile
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import ScheduleError, as_data, load

ENGINE = "ansible_collections.holdfast.ha.plugins.plugin_utils.explore.engine"
ARGUMENTS = argument_spec("explore")
# Options of the drill that an exploration lacks; its faults don't wait for alerts.
DRILL = {name: spec.get("default") for name, spec in drill.ARGUMENTS.items()} | {"alerts": False}
TRIALS = {Mode.RANDOM: 20, Mode.LADDER: 1, Mode.REPLAY: 1}


class ActionModule(drill.ActionModule):
    """Plan, refuse or run one exploration."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return passed, failure and directory."""
        result: dict[str, Any] = ActionBase.run(self, tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        try:
            plan = self._explore_plan(arguments, task_vars or {})
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

    def _explore_plan(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> ExplorePlan:
        steps = read_steps(arguments["schedule"]) if arguments["schedule"] else ()
        mode = Mode.REPLAY if steps else Mode(arguments["mode"])
        shared = {name: value for name, value in arguments.items() if name in DRILL and name != "repeat"}
        trials = arguments["trials"]
        plan = ExplorePlan(
            drill=self._plan({**DRILL, **shared}, variables),
            mode=mode.value,
            trials=TRIALS[mode] if trials is None else trials,
            kinds=wanted_kinds(arguments["kinds"]),
            lengths=tuple(arguments["lengths"]),
            steps=steps,
            **{name: arguments[name] for name in ("minutes", "seed", "shrink", "repeat")},
        )
        return plan if arguments["directory"] else replace(plan, drill=lasting(plan))


def read_steps(path: str) -> tuple[Mapping[str, Any], ...]:
    """Return the steps of a file with a schedule; raises Refusal."""
    try:
        return tuple(as_data(load(Path(path).read_text(encoding="utf-8")).schedule))
    except (OSError, UnicodeDecodeError, ScheduleError) as error:
        raise Refusal(f"explore_schedule: {path!r}: {error}; give a file such as failing-0001.yml") from error


def lasting(plan: ExplorePlan) -> Plan:
    """Return the drill's plan with a directory to which the same command returns; a replay always begins anew."""
    names = {
        Mode.RANDOM: f"explore-{plan.drill.cluster}-{plan.seed}",
        Mode.LADDER: f"ladder-{plan.drill.cluster}-{profile(plan)}",
        Mode.REPLAY: f"replay-{Path(plan.drill.directory).name}",
    }
    return replace(plan.drill, directory=str(Path(plan.drill.directory).with_name(names[Mode(plan.mode)])))
