# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for clusters beyond the shape of their declaration."""

from __future__ import annotations

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import OPAQUE, Problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.addresses import check_addresses
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import ETCD_USERS
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.dynamic_configuration import slot_name
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import ETCD_PEERS, Cluster, Inventory
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.pools import check_pooled
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.vrrp_rules import check_vrrp


def validate(clusters: tuple[Cluster, ...], inventory: Inventory, problems: Problems) -> None:
    """Note every problem of each cluster, and of the clusters together."""
    for cluster in clusters:
        for check in CHECKS:
            check(cluster, problems)
    _one_cluster_each(clusters, problems)
    check_addresses(clusters, inventory, problems)
    check_vrrp(clusters, problems)


def _parts(cluster: Cluster, problems: Problems) -> None:
    groups = f"{cluster.path}.groups"
    has = cluster.members.keys()
    if not has:
        fix = (
            "create the groups etcd and postgresql, or haproxy, in the inventory, or name your own here;"
            " sources that sort after this file are read later"
        )
        problems.add(groups, OPAQUE, "gives the cluster no hosts", fix)
    if "postgresql" in has and "etcd" not in has:
        fix = "name a group of three hosts there; it may be the postgresql group"
        problems.add(f"{groups}.etcd", OPAQUE, "is missing: PostgreSQL's leader lock is in etcd", fix)
    if "backup" in has and "postgresql" not in has:
        problems.add(f"{groups}.backup", OPAQUE, "has nothing to back up", "name a postgresql group or remove it")
    if "haproxy" in has and not cluster.pools_declared and not cluster.pools:
        fix = "declare a pool with a port, a service and its servers"
        problems.add(f"{cluster.path}.pools", OPAQUE, "is missing: HAProxy would serve nothing", fix)
    if cluster.lease_watch is not None and "postgresql" not in has:
        where = f"{cluster.path}.lease_watch"
        problems.add(where, cluster.lease_watch, "has no Patroni to watch", f"remove it or add {groups}.postgresql")
    if cluster.tuning and "postgresql" not in has:
        where = f"{cluster.path}.tuning"
        problems.add(where, OPAQUE, "has no database host to tune", f"remove it or add {groups}.postgresql")
    for part in ("vips", "pools"):
        if getattr(cluster, part) and "haproxy" not in has:
            problems.add(f"{cluster.path}.{part}", OPAQUE, "has no host to run on", f"name a group in {groups}.haproxy")


def _etcd_size(cluster: Cluster, problems: Problems) -> None:
    count = len(cluster.of("etcd"))
    where = f"{cluster.path}.groups.etcd"
    if count and count % 2 == 0:
        what = "is an even number of etcd members, which survives no more failures than one member fewer"
        odd = "3" if count == 2 else f"{count - 1} or {count + 1}"
        problems.add(where, count, what, f"put {odd} hosts into the group")
    if count == 1 and not cluster.allow_single_etcd:
        fix = f"use three hosts, or set {cluster.path}.allow_single_etcd to true where no failure must be survived"
        problems.add(where, count, "is a single etcd member, whose loss stops the cluster", fix)


def _single_hosts(cluster: Cluster, problems: Problems) -> None:
    for component, group, what in (("backup", "backup", "repository"), ("prometheus", "monitoring", "monitoring")):
        hosts = [host.name for host in cluster.of(component)]
        if len(hosts) > 1:
            where = f"{cluster.path}.groups.{group}"
            problems.add(where, hosts, f"has several {what} hosts", "keep one host in the group")


def _monitoring(cluster: Cluster, problems: Problems) -> None:
    where = f"{cluster.path}.monitoring"
    has_server = "prometheus" in cluster.members
    if cluster.monitoring and cluster.monitoring.external and has_server:
        what = f"is true, but {cluster.path}.groups.monitoring names a host for Prometheus"
        problems.add(f"{where}.external", True, what, "remove one of the two")
    elif cluster.monitoring and not cluster.monitoring.external and not has_server:
        fix = f"name a group of one host in {cluster.path}.groups.monitoring, or set {where}.external to true"
        problems.add(where, OPAQUE, "has no host for Prometheus", fix)


def _host_names(cluster: Cluster, problems: Problems) -> None:
    """A host's name is the common name of its certificate, which etcd takes as a user name."""
    for host in cluster.hosts:
        if host.name.lower() in ETCD_USERS.values() or host.name.lower().endswith(f".{ETCD_PEERS}"):
            what = "is a name to which etcd grants rights, and the host's certificate would contain it"
            problems.add(f"{cluster.path}.groups", host.name, what, "rename the host in the inventory")


def _member_names(cluster: Cluster, problems: Problems) -> None:
    """Patroni names a standby's replication slot after its member."""
    slots: dict[str, str] = {}
    for host in cluster.of("postgresql"):
        slot = slot_name(host.name)
        if slot in slots:
            what = f"needs the same replication slot, {slot}, as {slots[slot]}"
            problems.add(f"{cluster.path}.groups.postgresql", host.name, what, "rename one of the two hosts")
        slots[slot] = host.name


def _candidates(cluster: Cluster, problems: Problems) -> None:
    hosts = cluster.of("postgresql")
    if hosts and not any(host.failover_priority for host in hosts):
        fix = "give at least one of them a higher priority, or none"
        problems.add(
            f"{hosts[0].name}: ha_failover_priority", 0, "is 0 on all members, so none may become primary", fix
        )


def _one_cluster_each(clusters: tuple[Cluster, ...], problems: Problems) -> None:
    home: dict[str, str] = {}
    for cluster in clusters:
        for host in cluster.hosts:
            if host.name in home:
                fix = "give each cluster groups of its own, and put every host into one cluster's"
                problems.add(f"{cluster.path}.groups", host.name, f"is already a member of {home[host.name]}", fix)
            home.setdefault(host.name, cluster.path)


CHECKS = (_parts, check_pooled, _etcd_size, _single_hosts, _monitoring, _host_names, _member_names, _candidates)
"""The rules for one cluster."""
