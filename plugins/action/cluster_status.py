# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.cluster_status."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.judge import judge, notices
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.model import Limits
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.observe import observe
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.render import Line, as_data, as_lines
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import SQL_ROLES
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.sql_names import named

ARGUMENTS = argument_spec("cluster_status")


def report(variables: Mapping[str, Any], register: str) -> dict[str, Any]:
    """Return a host's report for observe() from its variables."""
    seen = variables.get(register) or {}
    reason = None
    if "probes" not in seen:
        reason = str(seen.get("msg") or "no answer").strip().splitlines()[-1].removeprefix("Task failed: ")
    own = named(variables, SQL_ROLES).values()
    return {"ha": variables["ha"], "unreachable": reason, "probes": seen.get("probes"), "own_roles": list(own)}


def show(clusters: Iterable[Iterable[Line]]) -> None:
    """Show the clusters, separated by empty lines, in color where Ansible's own output is."""
    for number, lines in enumerate(clusters):
        if number:
            Display().display("")
        for text, color in lines:
            Display().display(text, color=color)


class ActionModule(ActionBase):
    """Judge and show the state of all clusters."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return healthy and problems, and clusters unless the task fails."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        reports = {
            host: report(variables["hostvars"][host], arguments["register"])
            for host in variables["groups"].get(arguments["group"], [])
        }
        limits = Limits(**{limit.name: arguments[limit.name] for limit in fields(Limits)})
        judged = [(cluster, judge(cluster, limits), notices(cluster, limits)) for cluster in observe(reports)]
        data = {cluster.name: as_data(cluster, problems, soon) for cluster, problems, soon in judged}
        problems = sum(len(problems) for _cluster, problems, _soon in judged)
        healthy = bool(judged) and not problems
        result |= {"healthy": healthy, "problems": problems}
        if not arguments["final"] and not healthy:
            return result
        document = json.dumps({"healthy": healthy, "clusters": data}, indent=2)
        if arguments["file"]:
            Path(arguments["file"]).write_text(document + "\n", encoding="utf-8")
        if arguments["format"] == "json":
            Display().display(document)
        elif arguments["format"] == "table":
            show([as_lines(cluster, problems, soon) for cluster, problems, soon in judged])
        if healthy:
            result["clusters"] = data
        elif not judged:
            result |= {"failed": True, "msg": "no host has a cluster: give -i the folder that holds topology.ha.yml"}
        else:
            result |= {"failed": True, "msg": f"not healthy: {problems} problem{'s' if problems > 1 else ''}"}
        return result
