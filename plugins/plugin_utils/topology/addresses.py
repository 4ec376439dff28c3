# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for addresses: of hosts, of virtual IPs, and of the networks they lie in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.addresses import Address
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import OPAQUE, Problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.hosts import is_address, known_addresses
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Cluster, Inventory, Pool, Vip
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.pool_targets import common_networks, is_part


def check_addresses(clusters: tuple[Cluster, ...], inventory: Inventory, problems: Problems) -> None:
    """Note addresses that are taken, outside their network or unreachable for their peers."""
    _host_addresses(clusters, inventory, problems)
    _vip_addresses(clusters, inventory, problems)
    for cluster in clusters:
        if cluster.networks_declared:
            _declared_network(cluster, inventory, problems)
        for vip in cluster.vips:
            _vip_network(cluster, vip, problems)
        _clients(cluster, problems)


def _clients(cluster: Cluster, problems: Problems) -> None:
    """PostgreSQL has clients, the balancers refuse all others, and a pool can't admit more networks than PostgreSQL."""
    where, fix = f"{cluster.path}.clients", "list the networks of PostgreSQL's clients, like [192.0.2.0/24]"
    only_vips = cluster.clients == tuple(dict.fromkeys(vip.address.network for vip in cluster.vips))
    if cluster.of("postgresql") and not cluster.clients:
        problems.add(where, OPAQUE, "is missing: no client could log in", fix)
    elif cluster.of("postgresql") and only_vips and not _holds_others(cluster):
        default = ", ".join(map(str, cluster.clients))
        what = f"is missing, and its default {default}, the virtual addresses' networks, has no address for a client"
        problems.add(where, OPAQUE, what, f"{fix}, or correct the prefix lengths of the virtual addresses")
    for pool in cluster.pools:
        _pool_clients(pool, problems)


def _pool_clients(pool: Pool, problems: Problems) -> None:
    for where, networks in pool.guards.items():
        for network in pool.clients or ():
            if not any(is_part(network, whole) for whole in networks):
                what = f"is not a part of {where}, the networks that PostgreSQL admits"
                problems.add(f"{pool.path}.clients", str(network), what, f"add it to {where}, or remove it here")
    if pool.clients is None and len(pool.guards) > 1 and not common_networks(pool.guards):
        what = f"leads to PostgreSQL, and {' and '.join(pool.guards)} have no network in common: no client could pass"
        problems.add(f"{pool.path}.servers", OPAQUE, what, "give each of them a pool of its own")


def _holds_others(cluster: Cluster) -> bool:
    """Whether any network of clients has an address besides that of a VIP."""
    return any(network.num_addresses > 1 for network in cluster.clients)


def vip_path(cluster: Cluster, vip: Vip) -> str:
    """The path of a VIP's address."""
    return f"{cluster.path}.vips.{vip.name}.address"


def _host_addresses(clusters: Iterable[Cluster], inventory: Inventory, problems: Problems) -> None:
    owner: dict[Address, str] = {}
    for host in {host.name: host for cluster in clusters for host in cluster.hosts}.values():
        for address in host.addresses:
            if owner.setdefault(address, host.name) != host.name:
                where = f"{host.name}: {_variable_of(address, inventory.hosts[host.name])}"
                what = f"is also the address of {owner[address]}"
                problems.add(where, str(address), what, "give every host its own address")
    for cluster in clusters:
        for host in cluster.hosts:
            named = owner.get(ip_address(host.name), host.name) if is_address(host.name) else host.name
            if named != host.name:
                what = f"is also the address of {named}, and the host's certificate would contain it"
                problems.add(f"{cluster.path}.groups", host.name, what, "rename the host in the inventory")


def _variable_of(address: Address, variables: Mapping[str, Any]) -> str:
    """The variable that gives a host an address."""
    if str(variables.get("ha_address", variables.get("ansible_host"))) != str(address):
        return "ha_extra_addresses"
    return "ha_address" if "ha_address" in variables else "ansible_host"


def _vip_addresses(clusters: Iterable[Cluster], inventory: Inventory, problems: Problems) -> None:
    hosts = known_addresses(inventory)
    seen: dict[Address, str] = {}
    for cluster in clusters:
        for vip in cluster.vips:
            where, address = vip_path(cluster, vip), vip.address.ip
            fix = f"choose a free address in {vip.address.network}"
            if address in hosts:
                problems.add(where, str(vip.address), f"is the address of the host {hosts[address][0]}", fix)
            if address in seen:
                problems.add(where, str(vip.address), f"is also {seen[address]}", fix)
            seen[address] = where


def _declared_network(cluster: Cluster, inventory: Inventory, problems: Problems) -> None:
    declared = ", ".join(map(str, cluster.networks))
    for vip in cluster.vips:
        if not _within(vip.address.ip, cluster):
            fix = f"choose a free address in {declared}, or correct {cluster.path}.network"
            problems.add(vip_path(cluster, vip), str(vip.address), f"is outside the cluster's network {declared}", fix)
    for host in cluster.hosts:
        if host.addresses and not any(_within(address, cluster) for address in host.addresses):
            fix = f"correct the address (or ha_address), or list its network in {cluster.path}.network"
            where = f"{host.name}: {_variable_of(host.addresses[0], inventory.hosts[host.name])}"
            problems.add(where, host.address, f"is outside the cluster's network {declared}", fix)


def _within(address: Address, cluster: Cluster) -> bool:
    return any(address in network for network in cluster.networks)


def _vip_network(cluster: Cluster, vip: Vip, problems: Problems) -> None:
    """A balancer can hold a VIP only where it has an address of its own in the VIP's network."""
    where, shown, network = vip_path(cluster, vip), str(vip.address), vip.address.network
    if network.num_addresses > 2 and vip.address.ip in (network.network_address, network.broadcast_address):
        problems.add(where, shown, f"is not a host address in {network}", "choose one between the first and the last")
    for host in cluster.of("haproxy"):
        source = host.address_of(vip.address.version)
        if host.addresses and source is None:
            what = f"is IPv{vip.address.version}, and no such address of its balancer {host.name} is known"
            problems.add(where, shown, what, f"list one in ha_extra_addresses of {host.name}")
        elif source and network.num_addresses > 1 and source not in network:
            what = f"lies in {network}, but its balancer {host.name} is at {source}"
            problems.add(where, shown, what, "put both into one network, or correct the prefix length")
