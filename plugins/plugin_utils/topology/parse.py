# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the topology file's plain data and the inventory's hosts to typed clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .hosts import read_host
from .model import GROUP_COMPONENTS, Cluster, Host, Inventory, Network, Ports, SyncGroup, Vip
from .node import Node, suggestion
from .pools import read_pools
from .problems import Problems

CLUSTER_KEYS = (
    "groups", "network", "clients", "vips", "vrrp_sync_groups", "pools", "databases", "roles", "ports", "allow_single_etcd",
)  # fmt: skip
SQL_NAME = r"[^\s\"'\\]{1,63}"
SQL_NAME_MEANING = "a PostgreSQL name of 1 to 63 characters without spaces or quotes"


def parse(document: Any, inventory: Inventory, problems: Problems) -> tuple[Cluster, ...]:
    """Read the whole topology file.

    :arg document: the file's plain data, C({plugin, clusters: {name: {...}}}).
    :returns: the clusters as far as they could be read, sorted by name; what could not is in C(problems).
    """
    root = Node("", document, problems).fields(("plugin", "clusters"), required=("clusters",))
    if "clusters" not in root:
        return ()
    named = root["clusters"].named()
    if root["clusters"].value == {}:
        root["clusters"].fail("names no cluster", "add one, like 'clusters: {main: {}}'")
    return tuple(_cluster(name, node, inventory) for name, node in sorted(named))


def _cluster(name: str, node: Node, inventory: Inventory) -> Cluster:
    fields = Node(node.path, {} if node.value is None else node.value, node.problems).fields(CLUSTER_KEYS)
    vips = read_vips(fields.get("vips"))
    members = read_members(node, fields.get("groups"), inventory, bool(vips))
    ports = read_ports(fields.get("ports"))
    declared = read_networks(fields.get("network"))
    networks = declared or tuple(dict.fromkeys(vip.address.network for vip in vips))
    return Cluster(
        name=name,
        members=members,
        networks=networks,
        networks_declared=bool(declared),
        clients=read_networks(fields.get("clients")) or networks,
        vips=vips,
        sync_groups=read_sync_groups(fields.get("vrrp_sync_groups")),
        pools=read_pools(node, fields.get("pools"), fields.get("vips"), members, ports, inventory),
        databases=read_databases(fields.get("databases")),
        roles=read_roles(fields.get("roles")),
        ports=ports,
        allow_single_etcd="allow_single_etcd" in fields and fields["allow_single_etcd"].boolean() is True,
    )


def read_members(cluster: Node, groups: Node | None, inventory: Inventory, has_vips: bool) -> dict[str, tuple[Host, ...]]:
    """Hosts by component. Without C(groups) every group that has a component's name counts."""
    members: dict[str, tuple[Host, ...]] = {}
    for component, node in _group_nodes(cluster, groups, inventory).items():
        names = inventory.groups.get(str(node.value))
        if names is None:
            node.fail("is not a group of the inventory", suggestion(str(node.value), sorted(set(inventory.groups) - {"all", "ungrouped"})))
        elif not names:
            node.fail(f"is an empty group, so {component} has no host", "add a host to the group or remove the group")
        else:
            members[component] = tuple(read_host(name, inventory, cluster.problems) for name in sorted(names))
    if has_vips and "haproxy" in members:
        members["keepalived"] = members["haproxy"]
    return members


def _group_nodes(cluster: Node, groups: Node | None, inventory: Inventory) -> dict[str, Node]:
    if groups is not None:
        fields = groups.fields(GROUP_COMPONENTS)
        return {component: node for component, node in fields.items() if node.text() is not None}
    default = cluster.at("groups", None)
    return {component: default.at(component, component) for component in GROUP_COMPONENTS if component in inventory.groups}


def read_networks(node: Node | None) -> tuple[Network, ...]:
    """One network or a list of them."""
    read = [item.network() for item in node.one_or_more()] if node else []
    return tuple(network for network in read if network is not None)


def read_ports(node: Node | None) -> Ports:
    """The services' ports; those not given keep their defaults."""
    known = tuple(Ports.__dataclass_fields__)
    read = {key: field.port() for key, field in node.fields(known).items()} if node else {}
    return Ports(**{key: port for key, port in read.items() if port is not None})


def read_vips(node: Node | None) -> tuple[Vip, ...]:
    """The virtual IP addresses, sorted by name."""
    read = [_vip(name, vip) for name, vip in sorted(node.named())] if node else []
    return tuple(vip for vip in read if vip is not None)


def _vip(name: str, node: Node) -> Vip | None:
    fields = node.fields(("address", "interface", "virtual_router_id", "priorities"), required=("address",))
    address = fields["address"].interface() if "address" in fields else None
    interface = fields["interface"].text() if "interface" in fields else None
    router_id = fields["virtual_router_id"].integer(1, 255) if "virtual_router_id" in fields else None
    priorities = _priorities(fields["priorities"]) if "priorities" in fields else None
    return Vip(name, address, interface, router_id, priorities) if address else None


def _priorities(node: Node) -> Mapping[str, int]:
    if not isinstance(node.value, dict):
        node.fail("is not a mapping", "write it as 'host: priority' lines")
        return {}
    read = {str(host): node.at(str(host), value).integer(1, 254) for host, value in node.value.items()}
    return {host: priority for host, priority in read.items() if priority is not None}


def read_sync_groups(node: Node | None) -> tuple[SyncGroup, ...]:
    """VRRP sync groups, sorted by name."""
    groups = []
    for name, group in sorted(node.named()) if node else []:
        names = [item.text() for item in group.items()]
        groups.append(SyncGroup(name, tuple(sorted(name for name in names if name))))
    return tuple(groups)


def read_databases(node: Node | None) -> tuple[Mapping[str, Any], ...]:
    """Databases, each a mapping with at least name and owner."""
    known = ("name", "owner", "encoding", "lc_collate", "lc_ctype", "template", "extensions", "conn_limit", "comment")
    return tuple(
        {"owner": entry["name"], **entry} for entry in _entries(node, known)
    )  # fmt: skip


def read_roles(node: Node | None) -> tuple[Mapping[str, Any], ...]:
    """SQL roles, each a mapping with at least a name; never a password."""
    for item in node.items() if node else []:
        if isinstance(item.value, dict) and "password" in item.value:
            item.problems.add(f"{item.path}.password", None, "is a secret in a file that is not one", "move it to ha_role_passwords in your vaulted group_vars")
    return tuple(_entries(node, ("name", "password", "login", "flags", "member_of", "connection_limit", "comment")))


def _entries(node: Node | None, known: tuple[str, ...]) -> list[dict[str, Any]]:
    entries = []
    for item in node.items() if node else []:
        fields = item.fields(known, required=("name",))
        if "name" in fields and fields["name"].matching(SQL_NAME, SQL_NAME_MEANING):
            entries.append({key: field.value for key, field in fields.items() if key != "password"})
    return entries
