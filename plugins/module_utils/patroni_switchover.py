# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A planned switchover: which member may lead next. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.patroni import (
    SYNCHRONOUS_ROLES,
    Cluster,
    Member,
    member_problem,
)
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_config import is_synchronous

MAXIMUM_LAG = 1048576
"""Bytes; Patroni's own default of maximum_lag_on_failover."""


class RefusedError(Exception):
    """The switchover is refused; the message, for the user, says why."""


@dataclass(frozen=True)
class Plan:
    """The old leader, its heirs, and the members that must be healthy afterwards: those that were before.

    ``heirs`` are the members that may lead, the best first; Patroni lets several race. The losers of a race follow the
    new leader at once. If Patroni gets a name, the other members first sleep for two seconds.
    """

    leader: Member
    heirs: tuple[Member, ...]
    healthy: tuple[str, ...]
    synchronous: bool

    @property
    def needed(self) -> bool:
        """Whether a switchover is needed."""
        return self.leader.name != self.heir.name

    @property
    def heir(self) -> Member:
        """The member that will, or is likely to, lead."""
        return self.heirs[0]

    @property
    def candidate(self) -> Member | None:
        """The candidate to pass to Patroni, None to let the heirs race."""
        return self.heir if len(self.heirs) == 1 else None


def plan(cluster: Cluster, configuration: Mapping[str, Any] | None, wanted: str | None) -> Plan:
    """Return the plan that makes ``wanted``, or any eligible standby, the leader. Raises RefusedError."""
    leader = healthy_leader(cluster)
    rules = Rules(leader, is_synchronous(configuration), maximum_lag(configuration))
    healthy = tuple(member.name for member in cluster.members if member_problem(member, leader) is None)
    return Plan(leader, heirs(cluster, rules, wanted), healthy, rules.synchronous)


@dataclass(frozen=True)
class Rules:
    """The rules for a candidate; the lag is in bytes."""

    leader: Member
    synchronous: bool
    maximum_lag: int


def healthy_leader(cluster: Cluster) -> Member:
    """Return the leader of a cluster that can be switched over. Raises RefusedError."""
    leader = cluster.leader
    if not cluster.members:
        raise RefusedError("no member answers")
    if cluster.paused:
        raise RefusedError("the cluster is in Patroni's maintenance mode; leave it first: patronictl resume")
    if leader is None:
        raise RefusedError("there is no leader; playbooks/status.yml shows what is wrong")
    problem = member_problem(leader, None) or ("" if cluster.agreed else "is not what a majority takes for the leader")
    if problem:
        raise RefusedError(f"the leader {leader.name} {problem}; playbooks/status.yml shows more")
    return leader


def heirs(cluster: Cluster, rules: Rules, wanted: str | None) -> tuple[Member, ...]:
    """Return the members that may lead, the best first. Raises RefusedError."""
    if wanted is None:
        return able(cluster, rules)
    member = cluster.member(wanted)
    if member is None:
        known = ", ".join(sorted(one.name for one in cluster.members))
        raise RefusedError(f"leader: {wanted} is no member of the cluster; give one of {known}")
    found = [] if member.name == rules.leader.name else list(hindrances(member, rules))
    if found:
        raise RefusedError(f"leader: {wanted} {' and '.join(found)}{alternatives(cluster, rules)}")
    return (member,)


def able(cluster: Cluster, rules: Rules) -> tuple[Member, ...]:
    """Return the standbys that can take over, the one that lags least first. Raises RefusedError without any."""
    found = eligible(cluster, rules)
    if not found:
        standbys = [member for member in cluster.members if member.name != rules.leader.name]
        reasons = [f"{member.name} {' and '.join(hindrances(member, rules))}" for member in standbys]
        raise RefusedError(f"no standby can take over: {'; '.join(reasons) or 'there is none'}")
    return tuple(sorted(found, key=lambda member: (member.lag, -priority(member), member.name)))


def eligible(cluster: Cluster, rules: Rules) -> list[Member]:
    """Return the standbys without a hindrance."""
    return [one for one in cluster.members if one.name != rules.leader.name and not any(hindrances(one, rules))]


def alternatives(cluster: Cluster, rules: Rules) -> str:
    """Return the members that could lead instead, for a message."""
    names = ", ".join(sorted(member.name for member in eligible(cluster, rules)))
    return f"; who can lead: {names}" if names else ""


def hindrances(member: Member, rules: Rules) -> Iterator[str]:
    """Yield why a standby can't take over without a loss or a wait."""
    if (member.tags or {}).get("nofailover") or priority(member) <= 0:
        yield "may not lead (tagged nofailover, or of failover_priority 0)"
    problem = member_problem(member, rules.leader)
    if problem:
        yield problem
        return
    if member.lag is None or member.lag > rules.maximum_lag:
        yield f"lags by {'an unknown number of' if member.lag is None else member.lag} bytes"
    if rules.synchronous and member.role not in SYNCHRONOUS_ROLES:
        yield "is not synchronous"


def priority(member: Member) -> int:
    """Return a member's failover_priority, 1 where it has none."""
    return int((member.tags or {}).get("failover_priority", 1))


def maximum_lag(configuration: Mapping[str, Any] | None) -> int:
    """Return by how many bytes a candidate may lag."""
    return int((configuration or {}).get("maximum_lag_on_failover", MAXIMUM_LAG))


def took_over(before: Member, body: Mapping[str, Any] | None) -> bool:
    """Whether the ``/patroni`` of the candidate is that of a primary on a timeline newer than the old leader's."""
    said = body or {}
    leads = said.get("role") in {"master", "primary"} and said.get("state") == "running"
    return leads and (said.get("timeline") or 0) > (before.timeline or 0)
