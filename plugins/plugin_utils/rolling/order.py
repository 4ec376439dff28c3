# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of the hosts, and who takes over what each leads or holds.

Hosts with etcd or a database come first, then those that only balance, then the repository host. Within each, the
primary is last and etcd's leader before it. Balancers that hold an address come after the others. So each of them is
led away once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.model import Step, Work
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.model import Cluster, Host

HEARTS = ("etcd", "postgresql")
"""The components whose hosts come first."""
BALANCING = frozenset({"haproxy", "keepalived"})


@dataclass(frozen=True, slots=True)
class Roles:
    """Who leads and holds what; None where nobody does. holders: the host of each address."""

    primary: str | None
    etcd_leader: str | None
    holders: Mapping[str, str]

    def held_by(self, host: str) -> tuple[str, ...]:
        """Return the addresses that a host holds."""
        return tuple(address for address, holder in self.holders.items() if holder == host)


def roles_of(cluster: Cluster) -> Roles:
    """Return the present roles."""
    leaders = [member.name for member in (cluster.etcd.members if cluster.etcd else ()) if member.leader]
    return Roles(
        primary=cluster.postgresql.leader if cluster.postgresql else None,
        etcd_leader=leaders[0] if len(leaders) == 1 else None,
        holders={virtual.address: virtual.holders[0] for virtual in cluster.virtual_ips if virtual.holders},
    )


def ordered(hosts: Iterable[Host], roles: Roles, out: Collection[str] = ()) -> list[Host]:
    """Return the hosts in the order of their turns, first those that are out already."""

    def turn(host: Host) -> tuple[bool, int, bool, bool, bool, str]:
        leads = host.name == roles.primary, host.name == roles.etcd_leader
        return host.name not in out, rank(host), *leads, bool(roles.held_by(host.name)), host.name

    return sorted(hosts, key=turn)


def rank(host: Host) -> int:
    """Return 0 for a host with etcd or a database, 1 for one that balances or has nothing, 2 for a repository host."""
    return 0 if any(map(host.has, HEARTS)) else 2 if host.has("backup") else 1


def steps(
    cluster: Cluster, works: Mapping[str, Work], out: Mapping[str, Sequence[str]], heirs: Sequence[str]
) -> list[Step]:
    """Return the steps in order.

    :arg works: what each host needs; one without any takes part only if it is out.
    :arg out: the hosts that are out already, with the reasons.
    :arg heirs: the standbys that may take over from the primary, the best first.
    """
    roles = roles_of(cluster)
    part = [host for host in cluster.hosts if host.name in out or works.get(host.name)]
    turns = ordered(part, roles, out)
    found = []
    for number, host in enumerate(turns):
        later = {other.name for other in turns[number + 1 :]}
        step = step_of(cluster, host, works[host.name], roles, later)
        to = tuple(heirs) if step.primary and "postgresql" in step.work.touches else ()
        step = replace(step, primary_to=to, out=tuple(out.get(host.name, ())))
        found.append(step)
        roles = after(step, roles)
    return found


def step_of(cluster: Cluster, host: Host, work: Work, roles: Roles, later: Collection[str]) -> Step:
    """Return a host's step, without the standbys that may take over.

    :arg roles: as they will be then.
    :arg later: hosts whose turn is still to come; what such a host takes over, it would have to give away again.
    """
    holds, leads = roles.held_by(host.name), host.name == roles.etcd_leader
    moves = work.touches & BALANCING
    return Step(
        cluster=cluster.name,
        host=host.name,
        work=work,
        primary=host.name == roles.primary,
        etcd_leader=leads,
        holds=holds,
        etcd_leader_to=etcd_heirs(cluster, host, roles, later) if leads and "etcd" in work.touches else (),
        holds_to={address: address_heirs(cluster, host, address) for address in holds} if moves else {},
        backup_running=host.has("backup") and "backup" in work.touches and (backup_runs(host) or job_runs(host)),
    )


def etcd_heirs(cluster: Cluster, host: Host, roles: Roles, later: Collection[str]) -> tuple[str, ...]:
    """Return the members that may lead etcd: first those whose turn is over, then others; the primary last of each.

    A primary that leads etcd too makes its own loss more expensive.
    """
    names = [member.name for member in (cluster.etcd.members if cluster.etcd else ()) if member.name != host.name]
    return tuple(sorted(names, key=lambda name: (name in later, name == roles.primary, name)))


def address_heirs(cluster: Cluster, host: Host, address: str) -> tuple[str, ...]:
    """Return the balancers that may hold an address next, by their priority."""
    others = [other for other in cluster.hosts if other.has("keepalived") and other.name != host.name]
    return tuple(other.name for other in sorted(others, key=lambda other: (-priority(other, address), other.name)))


def priority(host: Host, address: str) -> int:
    """Return a balancer's VRRP priority for an address, 0 when unknown."""
    instances = host.ha["vrrp"]["instances"]
    return next((item.get("priority") or 0 for item in instances if address in item["addresses"]), 0)


def backup_runs(host: Host) -> bool:
    """Say whether a backup runs on a repository host."""
    locked = any(stanza.get("locked") for stanza in (host.answer("backup") or {}).get("stanzas", ()))
    return locked or (host.answer("archive") or {}).get("check") == "backup_running"


def job_runs(host: Host) -> bool:
    """Say whether a backup's verification, or another scheduled job, runs on a host."""
    return any(job.get("running") for job in (host.answer("jobs") or {}).get("jobs", ()))


def after(step: Step, roles: Roles) -> Roles:
    """Return the roles after a step, as far as its likeliest heirs take over."""
    moved = {address: names[0] for address, names in step.holds_to.items() if names}
    return Roles(
        primary=next(iter(step.primary_to), roles.primary),
        etcd_leader=next(iter(step.etcd_leader_to), roles.etcd_leader),
        holders={**roles.holders, **moved},
    )
