# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.removal_plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed import declared
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.judge import words_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.model import UNITS
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec
from ansible_collections.holdfast.ha.plugins.plugin_utils.pgbackrest_plan import OWN_DIRECTORY
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import Problem
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling import removal
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.dynamic_configuration import slot_name

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = argument_spec("removal_plan")


def host_of(name: str, variables: Mapping[str, Any], probes: str, deployed: str) -> removal.Host:
    """Return a host of the inventory from its variables and the results that it registered."""
    seen, found = variables.get(probes) or {}, variables.get(deployed) or {}
    return removal.Host(
        name, variables["ha"], "probes" not in seen, seen.get("probes") or {}, found.get("deployed") or {}
    )


def leaving_of(host: removal.Host | None, seen: Mapping[str, Any]) -> removal.Leaving:
    """Return the host that leaves, from its report as a host of the inventory, or from a result of gather."""
    if host is not None:
        return removal.Leaving(None if host.down else host.deployed, host.answer("backup"))
    probes = seen.get("probes") or {}
    found = probes.get("deployed") or {}
    backups = probes.get("backup") or {}
    error = "" if not probes or found.get("deployed") else str(found.get("msg") or "no answer")
    return removal.Leaving(found.get("deployed"), {} if backups.get("failed") else backups, error)


def places_of(name: str | None, variables: Mapping[str, Any]) -> list[str]:
    """Return where a host is to have repositories, by its evaluated variables."""
    if name is None or name not in variables["groups"]["all"] or "ha" not in variables["hostvars"][name]:
        return []
    wished = declared.host_of(name, variables["hostvars"][name], ROOT)
    return [repository["place"] for repository in declared.wished_repositories(wished.variables)]


class ActionModule(ActionBase):
    """Find the host, then judge its removal and return the steps."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the plan, or fail with every reason against it."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        clusters = self._clusters(arguments, variables)
        request = self._request(arguments, variables)
        name, seen, problems = removal.judge_name(request, clusters)
        result |= {"known": bool(name), "address": seen.address, "wished": json.dumps({"units": UNITS})}
        result |= {"in_inventory": request.name in variables["groups"]["all"], "cluster": name}
        if not name and not problems and arguments["leaving"]:
            name, seen = removal.stray(request, clusters, leaving_of(None, arguments["leaving"]))
            result |= {"known": bool(name), "cluster": name}
        if problems or not name or arguments["leaving"] is None:
            return result | refused(request, problems) | ({} if name or problems else {"steps": []})
        hosts = clusters[name]
        own = next((host for host in hosts if host.name == request.name), None)
        leaving = leaving_of(own, arguments["leaving"])
        problems = removal.judge_removal(request, hosts, seen, leaving)
        plan = removal.make_plan(request, hosts, seen, leaving)
        purge = [{"pattern": pattern} for pattern in plan.timers]
        data = asdict(plan) | {
            "timers": purge,
            "units": [{"name": unit, "state": "stopped", "enabled": False} for unit in plan.units],
            "directories": [{"path": place, **OWN_DIRECTORY} for place in plan.copies],
            "slot": slot_name(request.name),
            "endpoint": removal.rest_endpoint(seen, hosts),
        }
        return result | data | {"steps": removal.describe(request, plan)} | refused(request, problems)

    def _clusters(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, list[removal.Host]]:
        """Return the clusters of the run with the hosts that were asked, or could not be reached."""
        found: dict[str, list[removal.Host]] = {}
        every = {name: variables["hostvars"][name] for name in sorted(variables["groups"][arguments["group"]])}
        for name, known in every.items():
            if arguments["deployed"] not in known:  # --limit leaves it out
                continue
            host = host_of(name, known, arguments["register"], arguments["deployed"])
            found.setdefault(host.ha["cluster"], []).append(host)
        return found

    @staticmethod
    def _request(arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> removal.Request:
        name = arguments["name"]
        known = variables["hostvars"][name] if name in variables["groups"]["all"] else {}
        # The playbook gives a host that leaves an `ha` of its own; only the group tells who is declared.
        declared = name in variables["groups"][arguments["group"]]
        address = arguments["address"] or ("" if declared else str(known.get("ansible_host") or ""))
        return removal.Request(
            name=name,
            address=address,
            by=arguments["by"] or "",
            joined=arguments["joined"],
            places=places_of(arguments["by"], variables),
            data=arguments["data"] or "",
            accept=words_of(arguments["accept"]),
            hosts=list(variables["groups"]["all"]),
        )


def refused(request: removal.Request, problems: list[Problem]) -> dict[str, Any]:
    """Return what makes the task fail, {} without a problem."""
    if not problems:
        return {}
    lines = "\n  ".join(map(str, problems))
    return {"failed": True, "msg": f"{request.name} is not removed, and nothing was changed:\n  {lines}"}
