# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that are meant to be out: what follows from their absence is no problem."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ansible_collections.holdfast.ha.plugins.module_utils.patroni import NO_AGREEMENT, NO_SYNCHRONOUS
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.model import (
    Cluster,
    Pool,
    PostgreSql,
    Repository,
    VirtualIp,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.redundancy import declared_members


def excuse(cluster: Cluster, without: Collection[str]) -> Cluster:
    """Return a cluster without some hosts, and without what follows from their absence.

    Their reports, members, jobs and certificates are left out. Pools no longer expect their servers up, but accept a
    server that is still up. The pools as a balancer among them sees them are left out. A virtual IP needs no holder
    when all balancers are among them; two holders remain a problem. Without the repository host nothing is known of
    archiving. etcd stays as it is: absent members count for its quorum (see judge_etcd).
    """
    if not without:
        return cluster
    return replace(
        cluster,
        hosts=tuple(host for host in cluster.hosts if host.name not in without),
        postgresql=excuse_members(cluster, cluster.postgresql, without) if cluster.postgresql else None,
        virtual_ips=tuple(excuse_holders(cluster, without)),
        pools=tuple(excuse_servers(pool, without) for pool in cluster.pools if pool.balancer not in without),
        repository=excuse_repository(cluster.repository, without),
        jobs=tuple(job for job in cluster.jobs if job.host not in without),
        certificates=tuple(item for item in cluster.certificates if item.host not in without),
    )


def excuse_members(cluster: Cluster, postgresql: PostgreSql, without: Collection[str]) -> PostgreSql:
    """Return the members that are not among the hosts, and the doubts that their absence does not explain.

    A majority can't agree when half of the members or more are out, and no standby is synchronous when all are out.
    """
    members = tuple(member for member in postgresql.members if member.name not in without)
    declared = declared_members(cluster.hosts)
    explained = set()
    if 2 * len(declared.keys() - set(without)) <= len(declared):
        explained.add(NO_AGREEMENT)
    if all(member.name == postgresql.leader for member in members):
        explained.add(NO_SYNCHRONOUS)
    doubts = (doubt for doubt in postgresql.doubts if doubt.partition(" ")[0] not in without)
    return replace(
        postgresql,
        members=members,
        doubts=tuple(doubt for doubt in doubts if doubt not in explained),
        undeclared=tuple(name for name in postgresql.undeclared if name not in without),
    )


def excuse_holders(cluster: Cluster, without: Collection[str]) -> list[VirtualIp]:
    """Return the virtual IPs; without those that nobody is left to hold."""
    balancers = {host.name for host in cluster.hosts if host.has("keepalived")}
    nobody_left = balancers <= set(without)
    return [virtual for virtual in cluster.virtual_ips if virtual.holders or not nobody_left]


def excuse_servers(pool: Pool, without: Collection[str]) -> Pool:
    """Return a pool that expects the hosts' servers no longer; one that is up and expected may stay."""
    if pool.expected is None:
        return pool
    return replace(pool, expected=tuple(name for name in pool.expected if name not in without or name in pool.up))


def excuse_repository(repository: Repository | None, without: Collection[str]) -> Repository | None:
    """Return the backups, None when their host is out; pgBackRest servers on the hosts may be silent."""
    if repository is None or repository.host in without:
        return None
    return replace(repository, silent=tuple(name for name in repository.silent if name not in without))
