# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate: the state that a drill requires of the cluster before and after each fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan

Probes = Mapping[str, Mapping[str, Any]]
PRIMARY_ROLES = ("leader", "master", "primary")


@dataclass(frozen=True, slots=True)
class Expected:
    """The hosts of each component, and the names of the pools to the primary and to the standbys.

    never_primary are the databases of failover priority 0: Patroni keeps them out of a quorum.
    """

    etcd: tuple[str, ...]
    databases: tuple[str, ...]
    balancers: tuple[str, ...]
    backup: tuple[str, ...]
    virtual_ips: tuple[str, ...]
    primary_pool: str = ""
    standby_pool: str = ""
    never_primary: tuple[str, ...] = ()


def expected_of(plan: Plan) -> Expected:
    """Return the hosts of each component."""

    def names(component: str) -> tuple[str, ...]:
        return tuple(sorted(node.name for node in plan.bearing(component)))

    primary, standby = plan.pool("primary") or {}, plan.pool("standby") or {}
    heirs = plan.heirs
    return Expected(
        etcd=names("etcd"),
        databases=names("postgresql"),
        balancers=names("keepalived"),
        backup=names("backup"),
        virtual_ips=tuple(plan.virtual_ips),
        primary_pool=primary.get("name", ""),
        standby_pool=standby.get("name", ""),
        never_primary=tuple(name for name in names("postgresql") if name not in heirs),
    )


@dataclass(frozen=True, slots=True)
class View:
    """The present roles of the hosts, by their own reports; "" and () where that is unclear."""

    leader: str
    timeline: int | None
    synchronous: tuple[str, ...]
    etcd_leader: str
    vip_holder: str
    archived: str
    configuration: Mapping[str, Any]


def view(expected: Expected, probes: Probes) -> View:
    """Return the present roles."""
    leader = leader_of(expected, probes)
    postgresql = part(probes, leader, "postgresql")
    standbys = postgresql.get("standbys") or []
    holders = [name for name in expected.balancers if part(probes, name, "balancer").get("holds")]
    return View(
        leader=leader,
        timeline=postgresql.get("timeline"),
        synchronous=tuple(sorted(name for name, _state, sync in standbys if sync != "async")),
        etcd_leader=etcd_leader_of(expected, probes),
        vip_holder=holders[0] if len(holders) == 1 else "",
        archived=postgresql.get("archived") or "",
        configuration=part(probes, leader, "patroni").get("configuration") or {},
    )


def part(probes: Probes, host: str, name: str) -> Mapping[str, Any]:
    """Return the report of a host's part, {} if there is none."""
    return (probes.get(host) or {}).get(name) or {}


def leader_of(expected: Expected, probes: Probes) -> str:
    """Return the leader that a majority of the members name."""
    named: Counter[str] = Counter()
    for host in expected.databases:
        members = part(probes, host, "patroni").get("members") or []
        named.update(name for name, role, _state, _timeline in members if role in PRIMARY_ROLES)
    return next((name for name, votes in named.most_common(1) if 2 * votes > len(expected.databases)), "")


def etcd_leader_of(expected: Expected, probes: Probes) -> str:
    """Return the host of the etcd member that a majority knows as the leader."""
    named = Counter(part(probes, host, "etcd").get("leader") for host in expected.etcd)
    identity = next((name for name, votes in named.most_common(1) if name and 2 * votes > len(expected.etcd)), None)
    return next((host for host in expected.etcd if identity and member_id(probes, host) == identity), "")


def member_id(probes: Probes, host: str) -> str:
    """Return the id of a host's etcd member."""
    return str(part(probes, host, "etcd").get("member") or "")


def doubts(expected: Expected, probes: Probes) -> list[str]:
    """Return all unmet conditions, [] when the gate is open (except for the archive)."""
    seen = view(expected, probes)
    return [
        *silent(expected, probes),
        *etcd_doubts(expected, probes, seen),
        *database_doubts(expected, probes, seen),
        *balancer_doubts(expected, probes, seen),
    ]


def silent(expected: Expected, probes: Probes) -> Iterator[str]:
    """Yield the parts that gave no answer."""
    for name, hosts in (("etcd", expected.etcd), ("patroni", expected.databases), ("postgresql", expected.databases)):
        for host in hosts:
            said = part(probes, host, name)
            if not said or "error" in said:
                yield f"{name} on {host}: {said.get('error') or 'no answer'}"


def etcd_doubts(expected: Expected, probes: Probes, seen: View) -> Iterator[str]:
    """Yield the problems of etcd."""
    for host in expected.etcd:
        if part(probes, host, "etcd").get("healthy") is False:
            yield f"etcd on {host} is not healthy"
    if not seen.etcd_leader:
        yield "etcd's members do not agree on a leader"


def database_doubts(expected: Expected, probes: Probes, seen: View) -> Iterator[str]:
    """Yield the problems of PostgreSQL."""
    claiming = [host for host in expected.databases if part(probes, host, "patroni").get("primary")]
    if not seen.leader:
        yield "the members do not agree on a leader"
        return
    if claiming != [seen.leader]:
        yield f"/primary is answered with 200 by {' and '.join(claiming) or 'no member'}, the leader is {seen.leader}"
    if any(part(probes, host, "patroni").get("paused") for host in expected.databases):
        yield "Patroni is paused"
    standbys = part(probes, seen.leader, "postgresql").get("standbys") or []
    streaming = {name: sync for name, state, sync in standbys if state == "streaming"}
    for host in expected.databases:
        if host == seen.leader:
            continue
        said = part(probes, host, "postgresql")
        if host not in streaming:
            yield f"{host} does not stream"
        elif said.get("timeline") != seen.timeline:
            yield f"{host} is on timeline {said.get('timeline')}, the leader on {seen.timeline}"
    yield from synchrony_doubts(
        seen, {name: streaming[name] for name in streaming if name not in expected.never_primary}
    )


def synchrony_doubts(seen: View, streaming: Mapping[str, str]) -> Iterator[str]:
    """Yield the standbys that the configured synchronous mode lacks."""
    mode = seen.configuration.get("synchronous_mode")
    waiting = sorted(name for name, sync in streaming.items() if sync == "async")
    if mode == "quorum" and waiting:
        yield f"{' and '.join(waiting)} not in the quorum yet"
    elif mode and streaming and len(waiting) == len(streaming):
        yield "no synchronous standby yet"


def balancer_doubts(expected: Expected, probes: Probes, seen: View) -> Iterator[str]:
    """Yield the problems of the virtual IPs and the pools."""
    for address in expected.virtual_ips:
        holders = [host for host in expected.balancers if address in part(probes, host, "balancer").get("holds", ())]
        if len(holders) != 1:
            yield f"{address} is on {' and '.join(holders) or 'no balancer'}"
    standbys = sorted(host for host in expected.databases if host != seen.leader)
    wanted = {expected.primary_pool: [seen.leader], expected.standby_pool: standbys}
    for host in expected.balancers:
        up = part(probes, host, "balancer").get("up")
        if up is None:
            yield f"HAProxy on {host} does not answer"
            continue
        for pool, servers in wanted.items():
            if pool and sorted(up.get(pool, ())) != servers:
                yield f"pool {pool} on {host} has {shown(up.get(pool))} up, expected {shown(servers)}"


def shown(names: Sequence[str] | None) -> str:
    """Return names as a list in words."""
    return ", ".join(sorted(names or ())) or "none"
