# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns a valid cluster into one plain dict per host, and into groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from ipaddress import ip_network
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.deployed import STANDIN
from ansible_collections.holdfast.ha.plugins.module_utils.url import bracketed, https_url
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.addresses import Network
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import (
    COMMON_ROLE,
    COMPONENTS,
    FIREWALL_ROLE,
    SQL_ROLES,
    packages_variable,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.hosts import is_address
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import ETCD_PEERS, Cluster, Host, Pool
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.monitoring import monitoring
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.pool_targets import common_networks
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.pools import pool_dict, primary_pool
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import RoleSpec
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.timing import timing_dict
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.vrrp import priorities, router_id

NAMESPACE = "/service/"
"""The prefix of Patroni's keys of all clusters."""

_TLS_DIRECTORY = "/etc/holdfast/tls"
TLS = {
    "directory": _TLS_DIRECTORY,
    "ca": f"{_TLS_DIRECTORY}/ca.crt",
    "cert": f"{_TLS_DIRECTORY}/host.crt",
    "client_cert": f"{_TLS_DIRECTORY}/client.crt",
    "key": f"{_TLS_DIRECTORY}/host.key",
}
"""The paths of a host's certificates: for servers and clients, and, with the same key, for etcd's clients."""


REST_USER = "holdfast"
"""The user of Patroni's REST interface."""


def derive_host(
    cluster: Cluster, host: Host, labels: Mapping[str, int], roles: Mapping[str, RoleSpec]
) -> dict[str, Any]:
    """The host's C(ha): its identity and the data of its cluster; C(labels) is the result of C(count_labels)."""
    return {
        "cluster": cluster.name,
        "name": host.name,
        "address": host.address,
        "zone": host.zone,
        "components": cluster.components(host.name),
        "packages": packages(cluster, host, roles),
        "members": [
            {**_peer(member), "zone": member.zone, "components": cluster.components(member.name)}
            for member in cluster.hosts
        ],
        "certificate": certificate(cluster, host, labels),
        "tls": TLS,
        "etcd": etcd(cluster, host),
        "timing": timing_dict(cluster.profile, cluster.lease_watch),
        "lease_watch": lease_watch(cluster),
        "pooler": pooler(cluster),
        "postgresql": postgresql(cluster, host, roles),
        "pools": pools(cluster),
        "vrrp": vrrp(cluster, host),
        "backup": backup(cluster, host),
        "monitoring": monitoring(cluster, host),
        "tuning": asdict(cluster.tuning) if cluster.tuning else None,
        "firewall": firewall(cluster),
    }


def derive_groups(clusters: Iterable[Cluster]) -> dict[str, list[str]]:
    """Host names by group; every component has a group, which may be empty."""
    clusters = tuple(clusters)
    groups = {"holdfast": [host.name for cluster in clusters for host in cluster.hosts]}
    for name in (component.name for component in COMPONENTS):
        groups[f"holdfast_{name}"] = [host.name for cluster in clusters for host in cluster.of(name)]
    groups["holdfast_backup_jobs"] = [host.name for cluster in clusters for host in cluster.hosts if host.declares_jobs]
    for cluster in clusters:
        groups[f"holdfast_cluster_{cluster.name}"] = [host.name for host in cluster.hosts]
    return groups


def packages(cluster: Cluster, host: Host, roles: Mapping[str, RoleSpec]) -> list[str]:
    """All Debian packages of the roles of the host's components, and those that its variables add, sorted."""
    installed = cluster.installed(host)
    common = [COMMON_ROLE, *([FIREWALL_ROLE] if cluster.firewall else [])]
    needed = [*common, *(role for component in installed for role in component.roles)]
    wanted = (package for role in needed if role in roles for package in roles[role].defaults[packages_variable(role)])
    own = (package for component in installed for package in component.packages)
    return sorted({*wanted, *own, *(package for role in needed for package in host.packages.get(role, ()))})


def count_labels(clusters: Iterable[Cluster]) -> Mapping[str, int]:
    """The number of hosts by name, full or first label; case is ignored."""
    hosts = [host for cluster in clusters for host in cluster.hosts]
    return Counter(label for host in hosts for label in sorted({host.name.lower(), _first_label(host)}))


def _first_label(host: Host) -> str:
    return host.name.partition(".")[0].lower()


def certificate(cluster: Cluster, host: Host, labels: Mapping[str, int]) -> dict[str, Any]:
    """Names and addresses by which others reach the host, without an ambiguous short name."""
    is_name = host.name != host.address
    short = [host.name.partition(".")[0]] if labels[_first_label(host)] == 1 and not is_address(host.name) else []
    names = [host.name, *short] if is_name else []
    components = [component for component in COMPONENTS if host in cluster.of(component.name)]
    is_behind = any(component.behind_vips for component in components)
    virtual = [str(vip.address.ip) for vip in cluster.vips] if is_behind else []
    addresses = [*map(str, host.addresses), "127.0.0.1", "::1", *virtual]
    of_peers = [etcd_peer_name(cluster)] if host in cluster.of("etcd") else []
    # pgBackRest before 2.53 looks up an address among the DNS names only.
    dns = _unique([*names, "localhost", *map(str, host.addresses), *of_peers])
    is_client = any(component.is_client for component in components)
    return {"common_name": host.name, "client": is_client, "dns": dns, "ip": _unique(addresses)}


def etcd(cluster: Cluster, host: Host) -> dict[str, Any] | None:
    """The etcd cluster, or None; C(nearest) are its members as host:port, the host's own first.

    Patroni's keys begin with C(prefix).
    """
    members = cluster.of("etcd")
    if not members:
        return None
    places = {member.name: f"{bracketed(member.address)}:{cluster.ports.etcd_client}" for member in members}
    return {
        "token": f"holdfast-{cluster.name}",
        "client_port": cluster.ports.etcd_client,
        "peer_port": cluster.ports.etcd_peer,
        "peer_name": etcd_peer_name(cluster),
        "members": [_peer(host) for host in members],
        "endpoints": [f"https://{place}" for place in places.values()],
        "nearest": sorted(places.values(), key=lambda place: place != places.get(host.name)),
        "prefix": f"{NAMESPACE}{cluster.name}/",
    }


def etcd_peer_name(cluster: Cluster) -> str:
    """The name in the certificates of this etcd cluster's members, and in no other host's."""
    return f"{cluster.name}.{ETCD_PEERS}"


def lease_watch(cluster: Cluster) -> dict[str, Any] | None:
    """The watch over the leader's lease, or None."""
    if not cluster.of("lease_watcher"):
        return None
    return {"seconds": cluster.lease_watch, "declared": cluster.lease_watch_declared}


def pooler(cluster: Cluster) -> dict[str, Any] | None:
    """PgBouncer's port and mode, and its address of the primary, or None."""
    primary = primary_pool(cluster)
    if cluster.pooler is None or primary is None:
        return None
    virtual = {vip.name: str(vip.address.ip) for vip in cluster.vips}
    addresses = [virtual[name] for name in primary.vips[:1]] or [host.address for host in cluster.of("haproxy")]
    return {
        "port": cluster.ports.pgbouncer,
        "mode": cluster.pooler.mode,
        "users": {"lookup": SQL_ROLES["pgbouncer_auth_username"], "admin": SQL_ROLES["pgbouncer_admin_username"]},
        "clients": clients(cluster),
        "target": {
            "addresses": addresses,
            "port": primary.port,
            # PostgreSQL's certificates contain the virtual addresses, but not the balancers' own.
            "sslmode": "verify-full" if primary.vips else "verify-ca",
        },
    }


def postgresql(cluster: Cluster, host: Host, roles: Mapping[str, RoleSpec]) -> dict[str, Any] | None:
    """The Patroni cluster, or None.

    C(endpoints) are its REST interfaces, C(endpoint) is the host's own or None. C(reserved) are names of its own SQL
    roles and their stand-ins, with the variables that fix them.
    """
    members = cluster.of("postgresql")
    if not members:
        return None
    fixed = {name for spec in roles.values() for name in spec.wired}
    names = {name: variable for component in cluster.parts for variable, name in component.sql_roles.items()}
    own = names | {f"{name}{STANDIN}": variable for name, variable in names.items()}
    rest = {member.name: https_url(member.address, cluster.ports.patroni) for member in members}
    return {
        "namespace": NAMESPACE,
        "scope": cluster.name,
        "port": cluster.ports.postgresql,
        "rest_port": cluster.ports.patroni,
        "endpoints": list(rest.values()),
        "endpoint": rest.get(host.name),
        "users": {"superuser": SQL_ROLES["patroni_superuser_username"], "rest": REST_USER},
        "data_directory": f"/var/lib/postgresql/{cluster.name}",
        "members": [{**_peer(host), "failover_priority": host.failover_priority} for host in members],
        "clients": clients(cluster),
        "databases": [dict(database.values) for database in cluster.databases],
        "roles": [dict(role.values) for role in cluster.roles],
        "reserved": {name: variable for name, variable in own.items() if variable in fixed},
    }


def clients(cluster: Cluster) -> list[str]:
    """Networks that may log in. The balancers are among them: PostgreSQL sees their address, not the client's."""
    return _with_hosts(cluster.clients, cluster.of("haproxy"))


def pool_clients(cluster: Cluster, pool: Pool) -> list[str] | None:
    """Networks that a balancer admits to a pool; None for all.

    PostgreSQL and the poolers see the balancer's address only, so the balancer must refuse other clients.
    """
    if not pool.guards:
        return None if pool.clients is None else _with_hosts(pool.clients, ())
    poolers = cluster.of("pgbouncer") if pool == primary_pool(cluster) else ()
    networks = common_networks(pool.guards) if pool.clients is None else pool.clients
    return _with_hosts(networks, (*cluster.of("haproxy"), *poolers))


def _with_hosts(networks: Iterable[Network], hosts: Iterable[Host]) -> list[str]:
    """The networks, and the addresses of hosts outside all of them."""
    networks = list(networks)
    for address in (address for host in hosts for address in host.addresses):
        if not any(address in network for network in networks):
            networks.append(ip_network(address))
    return _unique(map(str, networks))


def pools(cluster: Cluster) -> list[dict[str, Any]]:
    """The pools with the addresses they listen on (none: all of the balancer's)."""
    addresses = {vip.name: str(vip.address.ip) for vip in cluster.vips}
    return [
        pool_dict(pool, [addresses[name] for name in pool.vips if name in addresses], pool_clients(cluster, pool))
        for pool in cluster.pools
    ]


def vrrp(cluster: Cluster, host: Host) -> dict[str, Any]:
    """VRRP instances of this host; on other hosts priority and source are None."""
    instances = []
    for vip in cluster.vips:
        version = vip.address.version
        peers = [str(peer.address_of(version)) for peer in cluster.of("haproxy") if peer.name != host.name]
        is_balancer = host in cluster.of("haproxy")
        instances.append(
            {
                "name": vip.name,
                "virtual_router_id": router_id(cluster, vip),
                "priority": priorities(cluster, vip).get(host.name),
                "source": str(host.address_of(version)) if is_balancer else None,
                "peers": peers,
                "addresses": [str(vip.address)],
                "interface": vip.interface or host.interface,
            }
        )
    return {
        "instances": instances,
        "sync_groups": [{"name": group.name, "instances": list(group.instances)} for group in cluster.sync_groups],
    }


def backup(cluster: Cluster, host: Host) -> dict[str, Any] | None:
    """The pgBackRest stanza and the kinds of pgBackRest host that this host is, or None."""
    if not cluster.of("backup"):
        return None
    kinds = {"database": "postgresql", "repository": "backup"}
    databases = [{**_peer(host), "port": cluster.ports.postgresql} for host in cluster.of("postgresql")]
    return {
        "stanza": cluster.name,
        "kinds": [kind for kind, component in kinds.items() if host in cluster.of(component)],
        "repository": _peer(cluster.of("backup")[0]),
        "databases": databases,
    }


def firewall(cluster: Cluster) -> dict[str, Any] | None:
    """What the user declares of the firewall, or None. Its rules follow from the rest: plugin_utils/firewall.py."""
    declared = cluster.firewall
    if declared is None:
        return None
    return {
        "ssh": list(map(str, declared.ssh)),
        "others": declared.others,
        "allow": [
            {"port": port, "sources": list(map(str, opening.sources))}
            for opening in declared.allow
            for port in opening.port or ()
        ],
    }


def _peer(host: Host) -> dict[str, Any]:
    return {"name": host.name, "address": host.address}


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
