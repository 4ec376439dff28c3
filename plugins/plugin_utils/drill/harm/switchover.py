# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A planned switchover, as users run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.holdfast.ha.plugins.module_utils.url import https_url
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import View
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.action import Action
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.agents import tls
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan

if TYPE_CHECKING:
    from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.tools import Tools

PATIENCE = 300.0
RESUME = ("systemctl", "kill", "--signal=USR2", "holdfast-pgbouncer.service")
API = "the steps of playbooks/switchover.yml; where there are poolers, they hold their clients meanwhile"


@dataclass(frozen=True, slots=True)
class Switchover(Action):
    """An orderly switchover to another member, as users run it."""

    on_hosts = API
    in_containers = API

    def inject(self, tools: Tools, targets: Sequence[str], view: View) -> str:  # noqa: ARG002
        """Switch over, with timers that resume the poolers."""
        if tools.plan.topology.get("pooler"):
            databases = tools.expected.databases
            tools.undo_later("poolers", lambda: tools.crew.call_all(databases, "undo", name="poolers"))
            seconds = tools.plan.dead_man
            tools.crew.call_all(databases, "arm", name="poolers", seconds=seconds, undo=list(RESUME))
        done = tools.crew.call(view.leader, "switchover", PATIENCE, params=switchover_params(tools.plan))
        phases = ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in done["seconds"].items())
        return f"{done['leader']} took over: {phases}"


def switchover_params(plan: Plan) -> dict[str, Any]:
    """Return the parameters of the module holdfast.ha.patroni_switchover."""
    postgresql, pooler, secrets = plan.topology["postgresql"], plan.topology.get("pooler") or {}, plan.secrets
    files, users = tls(plan), postgresql["users"]
    members = [(node.name, plan.addresses[node.name]) for node in plan.bearing("postgresql")]
    target = pooler.get("target")
    return {
        "endpoints": [https_url(address, postgresql["rest_port"]) for _name, address in members],
        **files,
        "username": users["rest"],
        "password": secrets["patroni_rest"],
        "request_timeout": 3.0,
        "superuser": users["superuser"],
        "superuser_password": secrets["postgresql_superuser"],
        "poolers": [{"name": name, "address": address, "port": pooler["port"]} for name, address in members if pooler],
        "pooler_username": pooler["users"]["admin"] if pooler else None,
        "pooler_password": secrets.get("pgbouncer"),
        "pooler_ca": files["ca"],
        "pool": {"address": target["addresses"][0], "port": target["port"]} if target else None,
        "pause_timeout": 5.0,
        "pause_required": True,
        "timeout": 60.0,
        "healthy_timeout": 120.0,
    }
