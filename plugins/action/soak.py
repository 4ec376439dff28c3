# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.soak: the drill's clients with another engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.action import DEFAULTS, EngineAction, Undertaking
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.plan import SoakPlan, as_text, check, problems

# Options of the drill that a soak lacks, because it takes no host down.
DRILL = DEFAULTS | {"consistency": False, "without_backup": True}


class ActionModule(EngineAction):
    """Plan, refuse or run one soak."""

    undertaking = Undertaking("soak.engine", argument_spec("soak"), problems, check, as_text)

    def _plan(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> SoakPlan:
        own = {name: arguments[name] for name in ("minutes", "seed", "clients", "scale")}
        shared = {name: value for name, value in arguments.items() if name in DRILL}
        return SoakPlan(drill=self._drill_plan({**DRILL, **shared}, variables), **own)
