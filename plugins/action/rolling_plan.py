# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.rolling_plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec, module_options
from ansible_collections.holdfast.ha.plugins.plugin_utils.maintenance import MAINTAINED
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.model import Options, Plan
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.plan import plan
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.render import plan_lines
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.survey import parse_survey
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.model import Limits
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.render import sentence
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.reports import report, show

ARGUMENTS = argument_spec("rolling_plan")
LIMITS = {limit.name: module_options("cluster_status")[limit.name]["default"] for limit in fields(Limits)}


def options_of(arguments: Mapping[str, Any]) -> Options:
    """Return the plan's options from the action's arguments."""
    limits = Limits(**{name: arguments.get(name, default) for name, default in LIMITS.items()})
    return Options(
        verb=arguments["verb"],
        limits=limits,
        scope=arguments["scope"],
        only=tuple(arguments["only"]),
        without=tuple(arguments["without"]),
        accept_outage=arguments["accept_outage"],
        force=arguments["force"],
        recent=arguments["recent"],
    )


def plan_of(arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> Plan:
    """Return the plan for the clusters of the play's hosts from Ansible's variables."""
    hostvars, played = variables["hostvars"], set(variables["ansible_play_hosts_all"])
    clusters = {host: hostvars[host]["ha"]["cluster"] for host in variables["groups"].get(arguments["group"], [])}
    taking_part = {cluster for host, cluster in clusters.items() if host in played}
    hosts = [host for host, cluster in clusters.items() if cluster in taking_part]
    out = variables["groups"].get(MAINTAINED, [])
    upgrades = arguments["packages_register"]
    return plan(
        options_of(arguments),
        {host: report(hostvars[host], arguments["status_register"]) for host in hosts},
        {
            host: parse_survey(
                hostvars[host].get(arguments["rolling_register"]), hostvars[host].get(upgrades) if upgrades else None
            )
            for host in hosts
        },
        absent=[host for host in hosts if host not in played and host not in out],
        others={host: cluster for host, cluster in clusters.items() if cluster not in taking_part},
    )


class ActionModule(ActionBase):
    """Plan work that goes host by host, and show the plan."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return changed, steps, left and refused; no steps when refused."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        made = plan_of(arguments, task_vars or {})
        if not made.clusters and not made.refused:
            msg = "no host of the play has a cluster: give -i the folder that holds topology.ha.yml"
            return {**result, "failed": True, "msg": msg}
        show([plan_lines(made)])
        refused = [sentence(problem) for problem in made.refused]
        result |= {"left": [item.as_data() for item in made.left], "refused": refused}
        if refused:
            return {**result, "failed": True, "msg": f"refused before anything was touched: {'; '.join(refused)}"}
        steps = [step.as_data() for step in made.steps]
        return {**result, "changed": bool(steps), "steps": steps}
