# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.cluster_status."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.holdfast.ha.plugins.plugin_utils.controller_file import replace
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.judge import judge, notices, rolling_problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.model import Cluster, Limits
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.observe import observe
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.page.document import Judged, as_page
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.render import as_data, as_lines, sentence
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.reports import report, show

ARGUMENTS = argument_spec("cluster_status")


def judged(cluster: Cluster, limits: Limits, purpose: str, without: Sequence[str]) -> Judged:
    """Return a cluster with its problems and notices."""
    out = {*without, *cluster.in_maintenance}
    if purpose == "rolling":
        return Judged(cluster, rolling_problems(cluster, limits, out), [])
    return Judged(cluster, judge(cluster, limits, out), notices(cluster, limits))


def hosts_of(arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> list[str]:
    """Return the hosts of the clusters to judge; for rolling work, of those that have a host in the play."""
    hosts = variables["groups"].get(arguments["group"], [])
    clusters = {host: variables["hostvars"][host]["ha"]["cluster"] for host in hosts}
    judged = set(clusters.values() if arguments["clusters"] is None else arguments["clusters"])
    if arguments["purpose"] == "rolling":
        judged &= {clusters.get(host) for host in variables["ansible_play_hosts_all"]}
    return [host for host in hosts if clusters[host] in judged]


def write_page(path: str, found: Sequence[Judged], lag: int) -> None:
    """Write the page. Raises AnsibleActionFail."""
    text = as_page(found, lag, datetime.now().astimezone())
    try:
        replace(Path(path), text.encode(), mode=0o666, keep_mode=True)
    except OSError as error:
        raise AnsibleActionFail(f"page: {error}; name a file that can be written, such as status.html") from error


class ActionModule(ActionBase):
    """Judge and show the state of all clusters."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return healthy and problems, and clusters unless the task fails."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        hostvars, register = variables["hostvars"], arguments["register"]
        reports = {host: report(hostvars[host], register) for host in hosts_of(arguments, variables)}
        limits = Limits(**{limit.name: arguments[limit.name] for limit in fields(Limits)})
        chosen = limits, arguments["purpose"], arguments["without"]
        found = [judged(cluster, *chosen) for cluster in observe(reports)]
        data = {cluster.name: as_data(cluster, problems, soon) for cluster, problems, soon in found}
        problems = sum(len(problems) for _cluster, problems, _soon in found)
        healthy = bool(found) and not problems
        result |= {"healthy": healthy, "problems": problems}
        if not arguments["final"] and not healthy:
            return result | {"clusters": data}
        document = json.dumps({"healthy": healthy, "clusters": data}, indent=2)
        if arguments["file"]:
            Path(arguments["file"]).write_text(document + "\n", encoding="utf-8")
        if arguments["page"] and not self._task.check_mode:
            write_page(arguments["page"], found, limits.lag)
        if arguments["format"] == "json":
            Display().display(document)
        elif arguments["format"] == "table":
            show([as_lines(cluster, problems, soon) for cluster, problems, soon in found])
        if healthy:
            result["clusters"] = data
        elif not found:
            result |= {"failed": True, "msg": "no host has a cluster: give -i the folder that holds topology.ha.yml"}
        elif arguments["format"] == "none":
            told = [sentence(problem) for _cluster, problems, _soon in found for problem in problems]
            result |= {"failed": True, "msg": f"not healthy: {'; '.join(told)}"}
        else:
            result |= {"failed": True, "msg": f"not healthy: {problems} problem{'s' if problems > 1 else ''}"}
        return result
