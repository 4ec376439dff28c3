# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns the topology file's plain data and the inventory's hosts into typed clusters."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.node import Node, suggestion
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import HIDDEN, Problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.shapes import Text, read
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology import schema
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import COMPONENTS
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.hosts import read_host
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import (
    Cluster,
    Host,
    Inventory,
    SqlObject,
    SyncGroup,
    Vip,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.pool_targets import with_guards
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.pools import Surroundings, read_pools
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.timing import DEFAULT_PROFILE, PROFILES

SQL_NAME = Text(r"[^\s\"'\\]+", "a PostgreSQL name without spaces, quotes and backslashes")


def parse(document: Any, inventory: Inventory, problems: Problems) -> tuple[Cluster, ...]:
    """Read the whole topology file.

    :arg document: the file's plain data.
    :returns: the readable parts of the clusters, sorted by name; C(problems) has the others.
    """
    declared = read(schema.Topology, Node("", document, problems)).clusters or {}
    place = Node("clusters", HIDDEN, problems)
    clusters = (_cluster(name, cluster, place.at(name, HIDDEN), inventory) for name, cluster in declared.items())
    return with_guards(tuple(clusters))


def _cluster(name: str, declared: schema.Cluster, place: Node, inventory: Inventory) -> Cluster:
    vips = _vips(declared)
    members = read_members(declared.groups, place.at("groups", None), inventory)
    monitoring = _monitoring(declared.monitoring, members)
    pooler = declared.pooler or None
    profile = declared.profile or DEFAULT_PROFILE
    has_lease = "postgresql" in members and "etcd" in members
    lease_watch = _lease_watch(declared.lease_watch, PROFILES[profile].lease_watch if has_lease else None)
    asked = {"vips": vips, "lease_watch": lease_watch, "pooler": pooler, "monitoring": monitoring}
    members = with_others(members, asked, monitoring.without if monitoring else ())
    around = Surroundings(members, declared.ports, tuple(declared.vips or ()), inventory, pooler)
    networks = declared.network or tuple(dict.fromkeys(vip.address.network for vip in vips))
    return Cluster(
        name=name,
        members=members,
        networks=networks,
        networks_declared=bool(declared.network),
        clients=networks if declared.clients is None else declared.clients,
        vips=vips,
        sync_groups=_sync_groups(declared),
        pools=read_pools(place.at("pools", declared.pools), around),
        pools_declared=declares_pools(declared.pools),
        databases=read_databases(place.at("databases", declared.databases)),
        roles=read_roles(place.at("roles", declared.roles)),
        ports=declared.ports,
        allow_single_etcd=declared.allow_single_etcd,
        profile=profile,
        lease_watch=lease_watch,
        lease_watch_declared=declared.lease_watch is not None or profile != DEFAULT_PROFILE,
        pooler=pooler,
        monitoring=monitoring,
        tuning=declared.tuning or None,
        firewall=declared.firewall or None,
    )


def _monitoring(
    declared: schema.Monitoring | Literal[False] | None, members: Mapping[str, tuple[Host, ...]]
) -> schema.Monitoring | None:
    """How the cluster is monitored, None where it is not."""
    if declared is None:
        return schema.Monitoring() if "prometheus" in members else None
    return declared or None


def _lease_watch(declared: int | Literal[False] | None, default: int | None) -> int | None:
    """Seconds until a silent leader's lease is revoked, None for never."""
    if declared is None:
        return default
    return None if declared is False else declared


def _vips(declared: schema.Cluster) -> tuple[Vip, ...]:
    return tuple(
        Vip(name, vip.address, vip.interface, vip.virtual_router_id, vip.priorities)
        for name, vip in (declared.vips or {}).items()
        if vip.address
    )


def _sync_groups(declared: schema.Cluster) -> tuple[SyncGroup, ...]:
    return tuple(SyncGroup(name, tuple(sorted(vips))) for name, vips in (declared.vrrp_sync_groups or {}).items())


def declares_pools(pools: Any) -> bool:
    """Whether the user declares a pool, readable or not."""
    return any(pool is not False for pool in pools.values()) if isinstance(pools, dict) else pools is not None


def read_members(groups: schema.Groups | None, place: Node, inventory: Inventory) -> dict[str, tuple[Host, ...]]:
    """Hosts by component. Without C(groups), every group with a component's name counts."""
    components = {component.key: component.name for component in COMPONENTS if component.is_grouped}
    if groups is None:
        named = {key: key for key in components if key in inventory.groups}
    else:
        named = {key: group for key in components if (group := getattr(groups, key)) is not None}
    return {
        components[key]: tuple(
            read_host(host, inventory, place.problems) for host in _group(key, place.at(key, group), inventory)
        )
        for key, group in named.items()
    }


def with_others(
    members: Mapping[str, tuple[Host, ...]], asked: Mapping[str, Any], without: Collection[str]
) -> dict[str, tuple[Host, ...]]:
    """The hosts by component, with the components that run beside others or everywhere where a field requests them.

    :arg without: exporters that are not wanted.
    """
    found = {name: hosts for name, hosts in members.items() if name != "prometheus" or asked["monitoring"]}
    everywhere = {host.name: host for hosts in found.values() for host in hosts}
    everyone = tuple(everywhere[name] for name in sorted(everywhere))
    refused = {f"{name}_exporter" for name in without}
    for component in (one for one in COMPONENTS if not one.is_grouped and one.name not in refused):
        if asked[component.asked_by] and found.keys() >= {*component.beside}:
            found[component.name] = everyone if component.everywhere else found[component.beside[0]]
    return found


def _group(component: str, node: Node, inventory: Inventory) -> list[str]:
    """The sorted host names of a component's group, which must not be empty."""
    group = node.text()
    if group is None:
        return []
    if group not in inventory.groups:
        known = sorted(set(inventory.groups) - {"all", "ungrouped"})
        node.fail("is not a group of the inventory", suggestion(group, known))
    elif not inventory.groups[group]:
        node.fail(f"is an empty group, so {component} has no host", "add a host to the group or remove the group")
    return sorted(inventory.groups.get(group, ()))


def read_databases(node: Node) -> tuple[SqlObject, ...]:
    """Databases; the owner is the role of the same name unless given."""
    return tuple(replace(item, values={"owner": item.name, **item.values}) for item in _sql_objects(node))


def read_roles(node: Node) -> tuple[SqlObject, ...]:
    """SQL roles."""
    return tuple(_sql_objects(node))


def _sql_objects(node: Node) -> Iterator[SqlObject]:
    """Entries with a name. The spec of the role that creates them judges their other keys."""
    for item in [] if node.value is None else node.items():
        entry = item.value if isinstance(item.value, dict) else {}
        if "password" in entry:
            fix = "move it to ha_role_passwords in your vaulted group_vars"
            item.problems.add(f"{item.path}.password", HIDDEN, "is a secret in a file that is not vaulted", fix)
        fields = item.fields({"name", *map(str, entry)}, required={"name": "a name"})
        name = SQL_NAME.read(fields["name"]) if "name" in fields else None
        if name:
            yield SqlObject(item.path, name, {key: field.value for key, field in fields.items() if key != "password"})
