# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.explore: the drill's clients with another engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.action import DEFAULTS, EngineAction, Undertaking
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

# Options of the drill that an exploration lacks; its faults don't wait for alerts.
DRILL = DEFAULTS | {"alerts": False}
TRIALS = {Mode.RANDOM: 20, Mode.LADDER: 1, Mode.REPLAY: 1}


class ActionModule(EngineAction):
    """Plan, refuse or run one exploration."""

    undertaking = Undertaking("explore.engine", argument_spec("explore"), problems, check, as_text)

    def _plan(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> ExplorePlan:
        steps = read_steps(arguments["schedule"]) if arguments["schedule"] else ()
        mode = Mode.REPLAY if steps else Mode(arguments["mode"])
        shared = {name: value for name, value in arguments.items() if name in DRILL and name != "repeat"}
        trials = arguments["trials"]
        plan = ExplorePlan(
            drill=self._drill_plan({**DRILL, **shared}, variables),
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
