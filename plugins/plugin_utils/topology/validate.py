# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold of clusters beyond the shape of their declaration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import combinations

from .hosts import known_addresses
from .model import Address, Cluster, Inventory, Pool, Ports, Vip
from .problems import OPAQUE, Problems
from .vrrp import explicit_priority, priorities, router_id, sync_group_of


def validate(clusters: tuple[Cluster, ...], inventory: Inventory, problems: Problems) -> None:
    """Note every problem of the clusters, each alone and together."""
    for cluster in clusters:
        for check in (_components, _etcd_size, _backup, _member_names, _networks, _pools, _ports, _sql, _sync_groups, _priorities):
            check(cluster, problems)
    _one_cluster_each(clusters, problems)
    _distinct_addresses(clusters, problems)
    _vip_addresses(clusters, inventory, problems)
    _router_ids(clusters, problems)


def _components(cluster: Cluster, problems: Problems) -> None:
    groups = f"{cluster.path}.groups"
    if not cluster.members:
        problems.add(groups, OPAQUE, "gives the cluster no hosts", "create the groups etcd and postgresql (or haproxy) in the inventory, or name your own here")
    if cluster.of("postgresql") and not cluster.of("etcd"):
        problems.add(f"{groups}.etcd", OPAQUE, "is missing: PostgreSQL's leader lock lives in etcd", "name a group of three hosts; it may be the postgresql group")
    if cluster.of("backup") and not cluster.of("postgresql"):
        problems.add(f"{groups}.backup", OPAQUE, "has nothing to back up", "name a postgresql group or remove it")
    if cluster.of("haproxy") and not cluster.pools:
        problems.add(f"{cluster.path}.pools", OPAQUE, "is missing: HAProxy would serve nothing", "declare a pool with a port, a service and its servers")
    for part in ("vips", "pools"):
        if getattr(cluster, part) and not cluster.of("haproxy"):
            problems.add(f"{cluster.path}.{part}", OPAQUE, "has no host to run on", f"name a haproxy group in {groups}.haproxy")


def _etcd_size(cluster: Cluster, problems: Problems) -> None:
    count = len(cluster.of("etcd"))
    where = f"{cluster.path}.groups.etcd"
    if count and count % 2 == 0:
        what = "is an even number of etcd members: it tolerates no more failures than one member less"
        problems.add(where, count, what, f"use {count - 1 if count > 2 else 3} or {count + 1} hosts in the group")
    if count == 1 and not cluster.allow_single_etcd:
        fix = f"use three hosts, or set {cluster.path}.allow_single_etcd to true where no failure need be survived"
        problems.add(where, count, "is a single etcd member: its loss stops the cluster", fix)


def _backup(cluster: Cluster, problems: Problems) -> None:
    hosts = [host.name for host in cluster.of("backup")]
    if len(hosts) > 1:
        problems.add(f"{cluster.path}.groups.backup", hosts, "has several repository hosts", "keep one host in the group")


def _member_names(cluster: Cluster, problems: Problems) -> None:
    """Patroni names a standby's replication slot after its member."""
    by_slot: dict[str, list[str]] = {}
    for host in cluster.of("postgresql"):
        by_slot.setdefault(re.sub(r"[-.]", "_", host.name.lower()), []).append(host.name)
    for slot, names in by_slot.items():
        if len(names) > 1:
            problems.add(f"{cluster.path}.groups.postgresql", names, f"gives several members the replication slot {slot!r}", "rename one of the hosts")


def _networks(cluster: Cluster, problems: Problems) -> None:
    declared = ", ".join(map(str, cluster.networks))
    for vip in cluster.vips if cluster.networks_declared else ():
        if not _within(vip.address.ip, cluster):
            problems.add(f"{cluster.path}.vips.{vip.name}.address", str(vip.address), f"is outside the cluster's network {declared}", f"choose a free address in {declared}, or correct {cluster.path}.network")
    for host in cluster.hosts if cluster.networks_declared else ():
        if host.addresses and not any(_within(address, cluster) for address in host.addresses):
            problems.add(f"{host.name}: ansible_host", host.address, f"is outside {cluster.path}.network {declared}", "correct the address (or ha_address), or add its network to the list there")
    if cluster.of("postgresql") and not cluster.clients and not cluster.of("haproxy"):
        problems.add(f"{cluster.path}.clients", OPAQUE, "is missing: nobody could log in", "list the networks of PostgreSQL's clients, like [192.0.2.0/24]")


def _within(address: Address, cluster: Cluster) -> bool:
    return any(address in network for network in cluster.networks)


def _vip_addresses(clusters: Iterable[Cluster], inventory: Inventory, problems: Problems) -> None:
    hosts = known_addresses(inventory)
    seen: dict[Address, str] = {}
    for cluster in clusters:
        for vip in cluster.vips:
            where, address = f"{cluster.path}.vips.{vip.name}.address", vip.address.ip
            free = f"choose a free address in {vip.address.network}"
            if address in hosts:
                problems.add(where, str(vip.address), f"is the address of the host {hosts[address][0]}", free)
            if address in seen:
                problems.add(where, str(vip.address), f"is also {seen[address]}", free)
            seen[address] = where
            _vip_network(cluster, vip, where, problems)


def _vip_network(cluster: Cluster, vip: Vip, where: str, problems: Problems) -> None:
    network = vip.address.network
    edges = (network.network_address, network.broadcast_address) if network.num_addresses > 2 else ()
    if vip.address.ip in edges:
        problems.add(where, str(vip.address), f"is not a host's address in {network}", "choose one between the network's first and last")
    for host in cluster.of("haproxy"):
        if not host.addresses:
            continue
        source = host.address_of(vip.address.version)
        if source is None:
            problems.add(where, str(vip.address), f"is IPv{vip.address.version}, and no such address of {host.name} is known", f"list it in ha_extra_addresses of {host.name}")
        elif network.num_addresses > 1 and source not in network:
            problems.add(where, str(vip.address), f"is in {network}, but its balancer {host.name} is at {source}", "put both in one network, or correct the prefix length")


def _one_cluster_each(clusters: Iterable[Cluster], problems: Problems) -> None:
    home: dict[str, str] = {}
    for cluster in clusters:
        for host in cluster.hosts:
            if host.name in home:
                problems.add(f"{cluster.path}.groups", host.name, f"is already a member of {home[host.name]}", "give each cluster groups of its own and every host to one of them")
            home.setdefault(host.name, cluster.path)


def _distinct_addresses(clusters: Iterable[Cluster], problems: Problems) -> None:
    owner: dict[Address, str] = {}
    for host in {host.name: host for cluster in clusters for host in cluster.hosts}.values():
        for address in host.addresses:
            if owner.setdefault(address, host.name) != host.name:
                problems.add(f"{host.name}: ansible_host", str(address), f"is also the address of {owner[address]}", "give every host its own address")


def _router_ids(clusters: Iterable[Cluster], problems: Problems) -> None:
    """Ids must differ in a network: routers of both clusters hear each other's advertisements."""
    everyone = [(cluster, vip) for cluster in clusters for vip in cluster.vips]
    for (one, vip), (other, second) in combinations(everyone, 2):
        number = router_id(one, vip)
        if number != router_id(other, second) or not _overlap(vip, second):
            continue
        where = f"{other.path}.vips.{second.name}.virtual_router_id"
        origin = "" if second.virtual_router_id else " (derived from its name)"
        taken = {router_id(cluster, any_vip) for cluster, any_vip in everyone}
        free = next(candidate for candidate in range(1, 256) if candidate not in taken) if len(taken) < 255 else "a free number"
        problems.add(where, number, f"is also the id of {one.path}.vips.{vip.name}{origin}", f"set it to a number that is free in the network, like {free}")


def _overlap(one: Vip, other: Vip) -> bool:
    return one.address.version == other.address.version and one.address.network.overlaps(other.address.network)  # type: ignore[arg-type]


def _priorities(cluster: Cluster, problems: Problems) -> None:
    balancers = {host.name: host for host in cluster.of("haproxy")}
    for vip in cluster.vips:
        where = f"{cluster.path}.vips.{vip.name}.priorities"
        for name in vip.priorities or {}:
            if name not in balancers:
                problems.add(f"{where}.{name}", name, "is not a haproxy host of the cluster", f"use {', '.join(balancers) or 'none'}")
        holders: dict[int, str] = {}
        for host in balancers.values():
            number = explicit_priority(vip, host)
            if number is None:
                continue
            if number in holders:
                variable = f"{where}.{host.name}" if host.name in (vip.priorities or {}) else f"{host.name}: ha_vrrp_priority"
                problems.add(variable, number, f"is also the priority of {holders[number]} for the VIP {vip.name}", "give every balancer a different one, or none")
            holders.setdefault(number, host.name)


def _sync_groups(cluster: Cluster, problems: Problems) -> None:
    names = {vip.name for vip in cluster.vips}
    for group in cluster.sync_groups:
        where = f"{cluster.path}.vrrp_sync_groups.{group.name}"
        for name in group.instances:
            if name not in names:
                problems.add(where, name, "is not a VIP of the cluster", f"use {', '.join(sorted(names)) or 'none'}")
        members = [vip for vip in cluster.vips if vip.name in group.instances]
        if len(members) < 2:
            problems.add(where, list(group.instances), "has fewer than two VIPs to move together", "list two or more, or remove the group")
        for vip in members:
            if sync_group_of(cluster, vip) != group.name:
                problems.add(where, vip.name, f"already moves with the group {sync_group_of(cluster, vip)}", "keep each VIP in one group")
        rankings = {vip.name: _ranking(priorities(cluster, vip)) for vip in members}
        if len(set(rankings.values())) > 1:
            problems.add(where, list(rankings), "has VIPs whose priorities prefer different hosts", "order the hosts alike in the priorities of all of them")


def _ranking(numbers: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(sorted(numbers, key=lambda name: numbers[name]))


def _pools(cluster: Cluster, problems: Problems) -> None:
    for one, other in combinations(cluster.pools, 2):
        if one.port == other.port and _share_address(one, other):
            problems.add(f"{cluster.path}.pools.{other.name}.port", other.port, f"is also the port of the pool {one.name}", "give one of them another port or another VIP")


def _share_address(one: Pool, other: Pool) -> bool:
    return not one.vips or not other.vips or bool(set(one.vips) & set(other.vips))


def _ports(cluster: Cluster, problems: Problems) -> None:
    """Services of one host need different ports; a pool may not take one either, whatever its address."""
    for host in cluster.hosts:
        used: dict[int, str] = {}
        for where, port in _service_ports(cluster, cluster.components(host.name)):
            if port in used:
                problems.add(where, port, f"is also {used[port]} on {host.name}", "choose a free port")
            used.setdefault(port, where)


def _service_ports(cluster: Cluster, components: list[str]) -> list[tuple[str, int]]:
    ports: Ports = cluster.ports
    of = {"etcd": ("etcd_client", "etcd_peer"), "postgresql": ("postgresql", "patroni")}
    services = [(f"{cluster.path}.ports.{name}", getattr(ports, name)) for part in of if part in components for name in of[part]]
    if "haproxy" in components:
        taken = {port for _where, port in services}
        services += [(f"{cluster.path}.pools.{pool.name}.port", pool.port) for pool in cluster.pools if pool.port in taken]
    return services


def _sql(cluster: Cluster, problems: Problems) -> None:
    roles = [str(role["name"]) for role in cluster.roles]
    databases = [str(database["name"]) for database in cluster.databases]
    for kind, names in (("roles", roles), ("databases", databases)):
        for index, name in enumerate(names):
            where = f"{cluster.path}.{kind}[{index}].name"
            if name in names[:index]:
                problems.add(where, name, "is declared twice", "merge the two entries")
            if name in ("postgres", "template0", "template1") or name.startswith("pg_"):
                problems.add(where, name, "is PostgreSQL's own", "choose another name")
        if names and not cluster.of("postgresql"):
            problems.add(f"{cluster.path}.{kind}", names, "has no PostgreSQL to live in", f"name a postgresql group in {cluster.path}.groups")
    for index, database in enumerate(cluster.databases):
        if database["owner"] not in (*roles, "postgres"):
            problems.add(f"{cluster.path}.databases[{index}].owner", database["owner"], "is not a declared role", f"add '- name: {database['owner']}' to {cluster.path}.roles, or name one of {', '.join(roles) or 'them'}")
