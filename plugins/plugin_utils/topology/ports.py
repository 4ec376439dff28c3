# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for TCP ports: between pools, and between all services of a host."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import Problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import Component
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Cluster, Host, Inventory, Pool
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.pools import left_out
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import RoleSpec


def check_ports(cluster: Cluster, inventory: Inventory, roles: Mapping[str, RoleSpec], problems: Problems) -> None:
    """Note ports with two listeners."""
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
    """The settings of each port on a host. Pools count against services only: two may share a port on two VIPs."""
    installed = cluster.installed(host)
    services = _service_ports(cluster, installed) + _role_ports(inventory.hosts[host.name], installed, roles)
    taken = {port for _where, port in services}
    pools = cluster.pools if host in cluster.of("haproxy") else ()
    clashing = [pool for pool in pools if pool.port in taken and not _beside_service(cluster, pool)]
    return services + [(f"{pool.path}.port", pool.port) for pool in clashing]


def _beside_service(cluster: Cluster, pool: Pool) -> bool:
    """Whether a pool may share a service's port on a host: one binds its VIP, the other the host's address."""
    ports = [port for component in cluster.parts for port in component.ports]
    return bool(pool.vips) and any(port.binds == "own" and pool.port == cluster.port(port) for port in ports)


def _share_address(one: Pool, other: Pool) -> bool:
    return not one.vips or not other.vips or bool(set(one.vips) & set(other.vips))


def _service_ports(cluster: Cluster, installed: list[Component]) -> list[tuple[str, int]]:
    ports = [(port.name, cluster.port(port)) for component in installed for port in component.ports]
    return [(f"{cluster.path}.ports.{name}", number) for name, number in ports if number]


def _role_ports(
    variables: Mapping[str, Any], installed: list[Component], roles: Mapping[str, RoleSpec]
) -> list[tuple[str, int]]:
    """Ports that are variables of a role."""
    ports = []
    for component in (component for component in installed if component.role in roles):
        defaults = roles[component.role].defaults
        names = [port.name for port in component.ports if not port.path]
        values = [(name, variables.get(name, defaults.get(name))) for name in names]
        ports += [(name, value) for name, value in values if isinstance(value, int)]
    return ports
