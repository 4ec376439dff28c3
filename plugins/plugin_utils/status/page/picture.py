# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster's topology as tiers of cards, with the ways between neighbouring tiers: addresses, balancers, databases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ansible_collections.holdfast.ha.plugins.plugin_utils.status.model import (
    Cluster,
    Host,
    Member,
    Problem,
    Repository,
    Updates,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.render import CHECKS
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.units import duration, size
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.updates import counted

MOST = 6
"""The most cards that stand side by side; a tier of more is shown without its ways."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of a card; wrong says whether it is a problem."""

    name: str
    text: str
    wrong: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """A host or an address; kind decides its colour, badge is its role, wrong the problem that it is known by."""

    name: str
    address: str
    kind: str
    badge: str
    facts: tuple[Fact, ...] = ()
    wrong: bool = False


@dataclass(frozen=True, slots=True)
class Way:
    """A way from a card of a tier to one of the next; kind decides its colour, text says it in words."""

    begin: int
    end: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Tier:
    """Cards side by side, and the ways from the tier above."""

    title: str
    cards: tuple[Card, ...]
    ways: tuple[Way, ...] = ()


def picture(cluster: Cluster, problems: Sequence[Problem]) -> list[Tier]:
    """Return the tiers from the clients' side down; empty ones are left out."""
    balancers = [host for host in cluster.hosts if host.has("haproxy") or host.has("keepalived")]
    databases = [host for host in cluster.hosts if host.has("postgresql") and host not in balancers]
    stores = [host for host in cluster.hosts if host.has("backup") and host not in (*balancers, *databases)]
    others = [host for host in cluster.hosts if host not in (*balancers, *databases, *stores)]
    # A pool's missing server is that host's problem, not the balancer's.
    told = [problem.subject for problem in problems if not problem.subject.startswith("pool ")]
    subjects = {word for subject in told for word in subject.split()}
    groups = [("Balancers", balancers), ("Databases", databases), ("Backups", stores), ("Other hosts", others)]
    tiers = [Tier("Virtual IPs", tuple(vip_cards(cluster)))]
    tiers += [Tier(title, tuple(host_card(cluster, host, subjects) for host in hosts)) for title, hosts in groups]
    return connected(cluster, [tier for tier in tiers if tier.cards])


def connected(cluster: Cluster, tiers: Sequence[Tier]) -> list[Tier]:
    """Return tiers with the ways to each from the one above."""
    found = list(tiers[:1])
    for above, tier in pairwise(tiers):
        drawn = max(len(above.cards), len(tier.cards)) <= MOST
        names = [card.name for card in above.cards], [card.name for card in tier.cards]
        ways = (
            Way(names[0].index(begin), names[1].index(end), kind, text)
            for begin, end, kind, text in all_ways(cluster)
            if begin in names[0] and end in names[1]
        )
        found.append(Tier(tier.title, tier.cards, tuple(ways) if drawn else ()))
    return found


def all_ways(cluster: Cluster) -> Iterator[tuple[str, str, str, str]]:
    """Yield the ways of clients and of WAL: begin, end, kind, and the way in words."""
    for virtual in cluster.virtual_ips:
        name = virtual.address.split("/")[0]
        for holder in virtual.holders:
            yield name, holder, "vip", f"{holder} holds {name}"
    yield from pool_ways(cluster)
    leader = cluster.postgresql.leader if cluster.postgresql else None
    if cluster.repository and leader:
        failed = archive_fails(cluster.repository)
        yield leader, cluster.repository.host, "lost" if failed else "wal", f"{leader} archives WAL"


def pool_ways(cluster: Cluster) -> Iterator[tuple[str, str, str, str]]:
    """Yield the ways from balancers to PostgreSQL, in the order in which they are drawn."""
    roles = {pool["name"]: pool.get("role") for host in cluster.hosts[:1] for pool in host.ha["pools"]}
    found: dict[tuple[str, str], str] = {}
    for role, kind in (("standby", "standby"), ("primary", "primary")):
        for pool in cluster.pools:
            if roles.get(pool.name) == role:
                missing = set(pool.down) & set(pool.expected or ())
                found |= {(pool.balancer, server): kind for server in pool.up}
                found |= {(pool.balancer, server): "lost" for server in missing}
    words = {"primary": "writes", "standby": "reads only", "lost": "down"}
    for kind in ("standby", "lost", "primary"):
        yield from (
            (balancer, server, kind, f"{balancer} to {server}: {words[kind]}")
            for (balancer, server), what in found.items()
            if what == kind
        )


def vip_cards(cluster: Cluster) -> Iterator[Card]:
    """Yield the virtual IPs with what clients reach there."""
    ports = sorted({(pool.port, pool.name) for pool in cluster.pools})
    reached = Fact("pools", ", ".join(f"{name}:{port}" for port, name in ports) or "none", not ports)
    for virtual in cluster.virtual_ips:
        one = len(virtual.holders) == 1
        held = f"on {' and '.join(virtual.holders)}" if virtual.holders else "on no host"
        yield Card(virtual.address.split("/")[0], "", "vip" if one else "off", held, (reached,), not one)


def host_card(cluster: Cluster, host: Host, subjects: set[str]) -> Card:
    """Return a host: its colour by its role, and a line for each of its parts."""
    kind, badge = role_of(cluster, host)
    facts = tuple(facts_of(cluster, host))
    wrong = kind == "off" or host.name in subjects or any(fact.wrong for fact in facts)
    return Card(host.name, str(host.ha["address"]), kind, badge, facts, wrong and not badge.startswith("maintenance"))


def role_of(cluster: Cluster, host: Host) -> tuple[str, str]:
    """Return the colour and the role of a host."""
    if host.name in cluster.in_maintenance:
        return "off", "maintenance"
    if host.unreachable is not None:
        return "off", "unreachable"
    if host.has("keepalived"):
        holds = any(host.name in virtual.holders for virtual in cluster.virtual_ips)
        return ("vip", "holds the VIP") if holds else ("idle", "ready")
    member = member_of(cluster, host)
    if member and member.role == "leader":
        return "primary", "leader"
    if member:
        return "standby", f"{'synchronous' if member.synchronous else 'asynchronous'} standby"
    return ("off", "no member") if host.has("postgresql") else ("idle", "")


def member_of(cluster: Cluster, host: Host) -> Member | None:
    """Return the PostgreSQL member of a host."""
    members = cluster.postgresql.members if cluster.postgresql else ()
    return next((member for member in members if member.name == host.name), None)


def facts_of(cluster: Cluster, host: Host) -> Iterator[Fact]:
    """Yield the lines of a host's card."""
    for mark in cluster.maintenance:
        if mark.host == host.name and mark.agreed:
            yield Fact("why", mark.mark.reason or "no reason given")
    if host.unreachable is not None:
        yield Fact("host", str(host.unreachable), wrong=host.name not in cluster.in_maintenance)
    yield from member_facts(cluster, host)
    yield from etcd_facts(cluster, host)
    yield from pool_facts(cluster, host)
    if cluster.repository and cluster.repository.host == host.name:
        yield from repository_facts(cluster.repository)
    yield from job_facts(cluster, host)
    ends = [item.remaining for item in cluster.certificates if item.host == host.name and item.remaining is not None]
    if ends:
        yield Fact("certificates", f"end in {duration(min(ends))}" if min(ends) > 0 else "ended", min(ends) <= 0)
    for item in cluster.updates:
        if item.host == host.name and (waiting := waits(item)):
            yield Fact("waits", waiting)


def member_facts(cluster: Cluster, host: Host) -> Iterator[Fact]:
    """Yield the lines of PostgreSQL and of its WAL."""
    member = member_of(cluster, host)
    if member:
        fine = member.state in {"running", "streaming"}
        yield Fact("PostgreSQL", f"{member.state}, timeline {member.timeline or '?'}", wrong=not fine)
        if member.role != "leader":
            yield Fact("lag", size(member.lag), wrong=member.lag is None)
    elif host.has("postgresql") and host.unreachable is None:
        yield Fact("PostgreSQL", "Patroni does not know it", wrong=True)
    queue = cluster.repository.queue if cluster.repository else None
    if queue and queue.host == host.name:
        waiting = f"{queue.waiting} files wait, {duration(queue.age)}" if queue.age is not None else "all archived"
        yield Fact("WAL", waiting, wrong=bool(queue.error))


def etcd_facts(cluster: Cluster, host: Host) -> Iterator[Fact]:
    """Yield the line of etcd."""
    for member in cluster.etcd.members if cluster.etcd else ():
        if member.name == host.name:
            role = "leader" if member.leader else "follower"
            yield Fact("etcd", f"{role}, {member.version}" if member.healthy else "down", wrong=not member.healthy)


def pool_facts(cluster: Cluster, host: Host) -> Iterator[Fact]:
    """Yield a balancer's pools with their servers, and how balancers see a host's pooler."""
    for pool in sorted(cluster.pools, key=lambda pool: pool.port):
        if pool.balancer == host.name:
            missing = ", ".join(name for name in pool.down if name in (pool.expected or ()))
            up = ", ".join(pool.up) or "none up"
            yield Fact(f"{pool.name}:{pool.port}", f"{up}; down {missing}" if missing else up, wrong=not pool.up)
    if host.has("pgbouncer"):
        poolers = {pool["name"] for pool in host.ha["pools"] if pool.get("service") == "pgbouncer"}
        seen = [host.name in pool.up for pool in cluster.pools if pool.name in poolers]
        if seen:
            yield Fact("PgBouncer", "up" if all(seen) else "down" if not any(seen) else "partly up", not all(seen))


def repository_facts(repository: Repository) -> Iterator[Fact]:
    """Yield the lines of the backups."""
    backups = [backup for store in repository.stores for backup in store.backups]
    newest = min(backups, key=lambda backup: backup.age, default=None)
    text = f"{newest.type} {duration(newest.age)} ago, {size(newest.size)}" if newest else "none"
    yield Fact("backup", text, wrong=newest is None)
    yield Fact("archive", CHECKS.get(repository.check, "fails"), wrong=archive_fails(repository))
    seen = repository.verification
    if seen:
        passed = seen.result == "passed" and seen.age is not None
        failed = f"failed {duration(seen.age)} ago" if seen.age is not None else "never verified"
        yield Fact("restore", f"verified {duration(seen.age or 0)} ago" if passed else failed, wrong=not passed)


def archive_fails(repository: Repository) -> bool:
    """Say whether the archive check failed."""
    return repository.check not in CHECKS


def job_facts(cluster: Cluster, host: Host) -> Iterator[Fact]:
    """Yield the line of a host's jobs: those that failed, or how many there are."""
    jobs = [job for job in cluster.jobs if job.host == host.name]
    failed = [job.name for job in jobs if not job.scheduled or (job.result not in {"", "success"} and not job.running)]
    if failed:
        yield Fact("jobs", f"{', '.join(failed)} failed", wrong=True)
    elif jobs:
        yield Fact("jobs", f"{len(jobs)} scheduled, none failed")


def waits(item: Updates) -> str:
    """Return what waits for a playbook."""
    found = (
        counted(len(item.packages), "package") if item.packages else "",
        counted(len(item.units), "restart") if item.units else "",
        "reboot" if item.reboot else "",
    )
    return ", ".join(filter(None, found))
