# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster's lost and remaining redundancy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE, Takes
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.model import Etcd, Host, PostgreSql, Redundancy

TAKES_THE_PRIMARY = tuple(name for name, fault in CATALOGUE.items() if fault.takes is Takes.PRIMARY)
TAKES_A_BALANCER = tuple(name for name, fault in CATALOGUE.items() if fault.takes is Takes.BALANCER)
NEEDS_A_STANDBY = tuple(name for name, fault in CATALOGUE.items() if fault.needs_standby)


def observe_redundancy(
    hosts: Sequence[Host], etcd: Etcd | None, postgresql: PostgreSql | None, strict: bool
) -> list[Redundancy]:
    """Return the redundancy of each part that the cluster has: etcd, postgresql, balancers.

    :arg strict: whether writes wait where no standby is left to confirm them (synchronous_mode_strict).
    """
    databases = [postgresql_redundancy(hosts, postgresql, strict)] if postgresql else []
    return [*([etcd_redundancy(etcd)] if etcd else []), *databases, *balancer_redundancy(hosts)]


def etcd_redundancy(etcd: Etcd) -> Redundancy:
    """Return etcd's: it needs a majority of all members, including undeclared ones, which the status does not ask."""
    total = len(etcd.members) + len(etcd.undeclared)
    lost = (*(member.name for member in etcd.members if not member.healthy), *etcd.undeclared)
    led = any(member.leader for member in etcd.members)
    return Redundancy("etcd", total, lost, max(-1, total - len(lost) - (total // 2 + 1)) if led else -1)


def postgresql_redundancy(hosts: Sequence[Host], postgresql: PostgreSql, strict: bool) -> Redundancy:
    """Return PostgreSQL's: each standby that streams, and may lead, can take over once."""
    declared = declared_members(hosts)
    serving = {member.name for member in postgresql.members if member.state in {"running", "streaming"}}
    known = {*declared, *postgresql.undeclared}
    spare = max(-1, len(heirs(hosts, postgresql)) - strict) if postgresql.leader in serving else -1
    return Redundancy("postgresql", len(known), tuple(sorted(known - serving)), spare)


def heirs(hosts: Sequence[Host], postgresql: PostgreSql) -> list[str]:
    """Return the standbys that stream and may lead."""
    declared = declared_members(hosts)
    streaming = [member.name for member in postgresql.members if member.state == "streaming"]
    return [name for name in streaming if declared.get(name, {}).get("failover_priority", 1)]


def declared_members(hosts: Sequence[Host]) -> dict[str, Any]:
    """Return the topology's entry of each database host, by its name."""
    return {item["name"]: item for host in hosts[:1] for item in host.ha["postgresql"]["members"]}


def balancer_redundancy(hosts: Sequence[Host]) -> Iterator[Redundancy]:
    """Yield the balancers': one suffices to hold the addresses and to forward connections."""
    balancers = [host for host in hosts if host.has("keepalived")]
    lost = tuple(
        host.name
        for host in balancers
        if not all((host.answer(probe) or {}).get("running") for probe in probes_of(host))
    )
    if balancers:
        yield Redundancy("balancers", len(balancers), lost, len(balancers) - len(lost) - 1)


def probes_of(host: Host) -> list[str]:
    """Return the probes of the services that a balancer needs."""
    return [probe for probe, component in (("vrrp", "keepalived"), ("haproxy", "haproxy")) if host.has(component)]


def endless(seen: Sequence[Redundancy], etcd: Etcd | None, leader: str | None) -> dict[str, str]:
    """Return the faults that end only by repair in the cluster's present state: {fault: reason}."""
    parts = {part.name: part for part in seen}
    reasons: dict[str, str] = {}
    if etcd is not None and leader in {member.name for member in etcd.members} and parts["etcd"].spare < 1:
        reasons |= dict.fromkeys(TAKES_THE_PRIMARY, f"etcd has no member to spare, {parts['etcd'].standing}")
    if "postgresql" in parts and parts["postgresql"].spare < 1:
        reasons |= dict.fromkeys(NEEDS_A_STANDBY, f"no standby can take over, {parts['postgresql'].standing}")
    if "etcd" in parts and parts["etcd"].spare < 0:
        reasons |= dict.fromkeys(NEEDS_A_STANDBY, f"etcd has no leader or no quorum, {parts['etcd'].standing}")
    if "balancers" in parts and parts["balancers"].spare < 1:
        reasons |= dict.fromkeys(TAKES_A_BALANCER, f"no other balancer is left, {parts['balancers'].standing}")
    return reasons
