# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for TCP ports: of pools among each other, and of all services of one host."""

from __future__ import annotations

from itertools import combinations

from .model import Cluster, Pool
from .problems import Problems

SERVICE_PORTS = {"etcd": ("etcd_client", "etcd_peer"), "postgresql": ("postgresql", "patroni")}


def check_ports(cluster: Cluster, problems: Problems) -> None:
    """Note ports that two listeners want."""
    for one, other in combinations(cluster.pools, 2):
        if one.port == other.port and _share_address(one, other):
            where = f"{cluster.path}.pools.{other.name}.port"
            fix = "give one of them another port or another VIP"
            problems.add(where, other.port, f"is also the port of the pool {one.name}", fix)
    for host in cluster.hosts:
        used: dict[int, str] = {}
        for where, port in _listeners(cluster, cluster.components(host.name)):
            if port in used:
                problems.add(where, port, f"is also {used[port]} on {host.name}", "choose another port for one of them")
            used.setdefault(port, where)


def _share_address(one: Pool, other: Pool) -> bool:
    return not one.vips or not other.vips or bool(set(one.vips) & set(other.vips))


def _listeners(cluster: Cluster, components: list[str]) -> list[tuple[str, int]]:
    """Where each port of a host's services is set. Two pools may share a port on different VIPs."""
    keys = [key for part, keys in SERVICE_PORTS.items() if part in components for key in keys]
    services = [(f"{cluster.path}.ports.{key}", getattr(cluster.ports, key)) for key in keys]
    taken = {port for _where, port in services}
    pools = cluster.pools if "haproxy" in components else ()
    return services + [(f"{cluster.path}.pools.{pool.name}.port", pool.port) for pool in pools if pool.port in taken]
