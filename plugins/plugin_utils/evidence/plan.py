# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of an evidence: whose clients, for what work, within which limits; refused where it can't be taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill import plan as drill
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan, Refusal
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.life import Process

WITHOUT = "or give -e evidence=false to work without evidence"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the work may cost: seconds that a client waits, failed transactions of pooled clients; None: any."""

    pooled_wait: float | None = None
    pooled_errors: float | None = None
    direct_wait: float | None = None


@dataclass(frozen=True, slots=True)
class EvidencePlan:
    """One evidence: the cluster as in a drill, the work's title, its hosts, its longest seconds, and who does it.

    without: hosts that are no part of the cluster: they have not joined yet, or are down for good.
    """

    drill: Plan
    title: str
    hosts: tuple[str, ...]
    longest: float
    limits: Limits
    parent: Process
    without: tuple[str, ...] = ()


def parse(document: Mapping[str, Any]) -> EvidencePlan:
    """Return the plan from a JSON document of its fields."""
    parts = {
        "drill": drill.parse(document["drill"]),
        "hosts": tuple(document["hosts"]),
        "without": tuple(document["without"]),
        "limits": Limits(**document["limits"]),
        "parent": Process(**document["parent"]),
    }
    return EvidencePlan(**{**document, **parts})


def check(plan: EvidencePlan) -> None:
    """Raise Refusal unless the evidence can be taken."""
    for problem in problems(plan):
        raise Refusal(f"{problem}, {WITHOUT}")


def problems(plan: EvidencePlan) -> Iterator[str]:
    """Yield the problems of a plan, each with the variable, its value and the fix."""
    for limit in fields(Limits):
        value = getattr(plan.limits, limit.name)
        if value is not None and not value >= 0:
            yield f"evidence_budgets: {limit.name}: {value:g}: give 0 or more"
    if not plan.longest > 0:
        yield f"evidence_longest: {plan.longest:g}: give seconds, more than 0"
    yield from client_problems(plan)
    yield from cluster_problems(plan.drill)


def client_problems(plan: EvidencePlan) -> Iterator[str]:
    """Yield why the clients' host can't be it."""
    client = plan.drill.client
    known = {node.name: node for node in plan.drill.nodes}
    another = "name a host of the inventory outside the cluster, or put it into the group client"
    if client not in known:
        yield f"evidence_client: {client!r}: no such host; {another}"
    elif known[client].ha is not None:
        yield f"evidence_client: {client!r}: it belongs to the cluster and would go away with it; {another}"
    elif client in plan.hosts:
        yield f"evidence_client: {client!r}: it is one of the hosts that are worked on; {another}"


def cluster_problems(plan: Plan) -> Iterator[str]:
    """Yield what the cluster lacks for the clients; a pool to the standbys is none of it."""
    if not plan.bearing("postgresql"):
        yield f"cluster {plan.cluster}: no PostgreSQL host: there is nothing to write to"
        return
    pool = plan.pool("primary")
    if pool is None or not pool["addresses"]:
        yield "pools: none of role primary with a virtual IP: the clients write through it; declare one"
    if not plan.database:
        yield "databases: none: the clients' table is made in one; declare one in topology.ha.yml"
    elif "role_password" not in plan.secrets:
        yield f"ha_role_passwords: none for {plan.role!r}: run playbooks/secrets.yml"
