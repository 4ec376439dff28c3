# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.drill: starts the engine, shows its output, and ends it when Ansible ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.action import EngineAction, Undertaking
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.injections import as_text
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan, check, problems


class ActionModule(EngineAction):
    """Plan, refuse or run one drill."""

    undertaking = Undertaking("drill.engine", argument_spec("drill"), problems, check, as_text)

    def _plan(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> Plan:
        return self._drill_plan(arguments, variables)

    def _planned(self, plan: Plan) -> dict[str, Any]:
        return {"planned": list(plan.faults)}
