# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for TCP ports: of pools among each other, and of all services of one host."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from ..reading.problems import Problems
from .model import Cluster, Host, Inventory, Pool
from .pools import left_out
from .roles import RoleSpec

SERVICE_PORTS = {
    "etcd": ("etcd_client", "etcd_peer"),
    "postgresql": ("postgresql", "patroni"),
    "pgbouncer": ("pgbouncer",),
}
ROLE_PORTS = {
    "haproxy": ("haproxy", ("haproxy_stats_port", "haproxy_monitor_port")),
    "backup": ("pgbackrest", ("pgbackrest_tls_port",)),
}
"""By component its role and those variables of the role that are ports."""


def check_ports(cluster: Cluster, inventory: Inventory, roles: Mapping[str, RoleSpec], problems: Problems) -> None:
    """Note ports that two listeners want."""
    for one, other in combinations(cluster.pools, 2):
        if one.port == other.port and _share_address(one, other):
            fix = f"give one of them another port or another VIP{left_out(one.name) or left_out(other.name)}"
            problems.add(f"{other.path}.port", other.port, f"is also the port of the pool {one.name}", fix)
    for host in cluster.hosts:
        used: dict[int, str] = {}
        for where, port in _listeners(cluster, host, inventory, roles):
            if port in used:
                problems.add(where, port, f"is also {used[port]} on {host.name}", "choose another port for one of them")
            used.setdefault(port, where)


def _listeners(
    cluster: Cluster, host: Host, inventory: Inventory, roles: Mapping[str, RoleSpec]
) -> list[tuple[str, int]]:
    """Where each port on a host is set. Pools count where a service has their port: two may share one on two VIPs."""
    services = _service_ports(cluster, host) + _role_ports(inventory.hosts[host.name], cluster.installed(host), roles)
    taken = {port for _where, port in services}
    pools = cluster.pools if host in cluster.of("haproxy") else ()
    clashing = [pool for pool in pools if pool.port in taken and not _beside_pooler(cluster, pool)]
    return services + [(f"{pool.path}.port", pool.port) for pool in clashing]


def _beside_pooler(cluster: Cluster, pool: Pool) -> bool:
    """Whether a pool may have PgBouncer's port on one host: one binds its VIP, the other the host's address."""
    return bool(pool.vips) and cluster.pooler is not None and pool.port == cluster.ports.pgbouncer


def _share_address(one: Pool, other: Pool) -> bool:
    return not one.vips or not other.vips or bool(set(one.vips) & set(other.vips))


def _service_ports(cluster: Cluster, host: Host) -> list[tuple[str, int]]:
    keys = [key for part, keys in SERVICE_PORTS.items() if host in cluster.of(part) for key in keys]
    return [(f"{cluster.path}.ports.{key}", getattr(cluster.ports, key)) for key in keys]


def _role_ports(
    variables: Mapping[str, Any], components: list[str], roles: Mapping[str, RoleSpec]
) -> list[tuple[str, int]]:
    """Ports that are plain variables of a role."""
    ports = []
    for component, (role, names) in ROLE_PORTS.items():
        if component in components and role in roles:
            values = [(name, variables.get(name, roles[role].defaults.get(name))) for name in names]
            ports += [(name, value) for name, value in values if isinstance(value, int)]
    return ports
