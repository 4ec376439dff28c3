# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the topology file's plain data and the inventory's hosts to typed clusters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..reading.addresses import Network
from ..reading.node import Node, suggestion
from ..reading.problems import HIDDEN, Problems
from .components import COMPONENTS, GROUPS
from .hosts import read_host
from .model import Cluster, Host, Inventory, Pooler, Ports, SqlObject, SyncGroup, Vip
from .pool_targets import with_guards
from .pools import Surroundings, read_pools
from .timing import DEFAULT_PROFILE, PROFILES

CLUSTER_KEYS = (
    "groups",
    "network",
    "clients",
    "vips",
    "vrrp_sync_groups",
    "pools",
    "databases",
    "roles",
    "ports",
    "allow_single_etcd",
    "profile",
    "lease_watch",
    "pooler",
)
LEAST_LEASE_WATCH = 2
POOL_MODES = ("session", "transaction", "statement")
SQL_NAME = r"[^\s\"'\\]+"
SQL_NAME_MEANING = "a PostgreSQL name without spaces, quotes and backslashes"


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
    return with_guards(tuple(_cluster(name, node, inventory) for name, node in sorted(named)))


def _cluster(name: str, node: Node, inventory: Inventory) -> Cluster:
    fields = Node(node.path, {} if node.value is None else node.value, node.problems).fields(CLUSTER_KEYS)
    vips = read_vips(fields.get("vips"))
    members = read_members(node, fields.get("groups"), inventory)
    profile = (fields["profile"].choice(PROFILES) if "profile" in fields else None) or DEFAULT_PROFILE
    has_lease = "postgresql" in members and "etcd" in members
    if "lease_watch" in fields:
        lease_watch = read_lease_watch(fields["lease_watch"])
    else:
        lease_watch = PROFILES[profile].lease_watch if has_lease else None
    pooler = read_pooler(fields.get("pooler"))
    members |= members_beside(members, {"vips": vips, "lease_watch": lease_watch, "pooler": pooler})
    ports = read_ports(fields.get("ports"))
    declared = read_networks(fields.get("network"))
    around = Surroundings(members, ports, declared_names(fields.get("vips")), inventory, pooler)
    networks = declared or tuple(dict.fromkeys(vip.address.network for vip in vips))
    return Cluster(
        name=name,
        members=members,
        networks=networks,
        networks_declared=bool(declared),
        clients=read_networks(fields["clients"]) if "clients" in fields else networks,
        vips=vips,
        sync_groups=read_sync_groups(fields.get("vrrp_sync_groups")),
        pools=read_pools(fields.get("pools") or node.at("pools", None), around),
        pools_declared=declares_pools(fields.get("pools")),
        databases=read_databases(fields.get("databases")),
        roles=read_roles(fields.get("roles")),
        ports=ports,
        allow_single_etcd="allow_single_etcd" in fields and fields["allow_single_etcd"].boolean() is True,
        profile=profile,
        lease_watch=lease_watch,
        lease_watch_declared=bool({"profile", "lease_watch"} & fields.keys()),
        pooler=pooler,
    )


def declares_pools(pools: Node | None) -> bool:
    """Whether the user wants a pool, readable or not."""
    return bool(
        pools and (not isinstance(pools.value, dict) or any(pool is not False for pool in pools.value.values()))
    )


def read_members(cluster: Node, groups: Node | None, inventory: Inventory) -> dict[str, tuple[Host, ...]]:
    """Hosts by component. Without C(groups) every group that has a component's name counts."""
    return {
        component: tuple(read_host(name, inventory, cluster.problems) for name in _group(component, node, inventory))
        for component, node in _group_nodes(cluster, groups, inventory).items()
    }


def members_beside(members: Mapping[str, tuple[Host, ...]], asked: Mapping[str, Any]) -> dict[str, tuple[Host, ...]]:
    """Hosts of the components that run beside others, where the cluster's field asks for them."""
    return {
        component.name: members[component.beside[0]]
        for component in COMPONENTS
        if component.beside and asked[component.asked_by] and members.keys() >= {*component.beside}
    }


def _group_nodes(cluster: Node, groups: Node | None, inventory: Inventory) -> dict[str, Node]:
    if groups is not None:
        return groups.fields(GROUPS)
    default = cluster.at("groups", None)
    return {name: default.at(name, name) for name in GROUPS if name in inventory.groups}


def _group(component: str, node: Node, inventory: Inventory) -> list[str]:
    """The sorted host names of a component's group, which must have some."""
    group = node.text()
    if group is None:
        return []
    if group not in inventory.groups:
        known = sorted(set(inventory.groups) - {"all", "ungrouped"})
        node.fail("is not a group of the inventory", suggestion(group, known))
    elif not inventory.groups[group]:
        node.fail(f"is an empty group, so {component} has no host", "add a host to the group or remove the group")
    return sorted(inventory.groups.get(group, ()))


def read_networks(node: Node | None) -> tuple[Network, ...]:
    """One network or a list of them."""
    read = [item.network() for item in node.one_or_more()] if node else []
    return tuple(network for network in read if network is not None)


def read_ports(node: Node | None) -> Ports:
    """The services' ports; those not given keep their defaults."""
    known = tuple(Ports.__dataclass_fields__)
    read = {key: field.port() for key, field in node.fields(known).items()} if node else {}
    return Ports(**{key: port for key, port in read.items() if port is not None})


def read_lease_watch(node: Node) -> int | None:
    """Seconds until a silent leader's lease is revoked; false is never."""
    return None if node.value is False else node.integer(LEAST_LEASE_WATCH, 3600)


def read_pooler(node: Node | None) -> Pooler | None:
    """The pooler: true for all defaults; false, like nothing at all, is none."""
    if node is None or node.value is False:
        return None
    fields = {} if node.value is True else node.fields(tuple(Pooler.__dataclass_fields__))
    port = fields["port"].port() if "port" in fields else None
    mode = fields["mode"].choice(POOL_MODES) if "mode" in fields else None
    vip = fields["vip"].value if "vip" in fields else None
    spare = fields["spare_primary"].boolean() if "spare_primary" in fields else None
    return Pooler(port or Pooler.port, mode or Pooler.mode, vip, spare is not False)


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


def declared_names(node: Node | None) -> tuple[str, ...]:
    """The keys of a mapping, whether or not their values could be read."""
    return tuple(sorted(map(str, node.value))) if node and isinstance(node.value, dict) else ()


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


def read_databases(node: Node | None) -> tuple[SqlObject, ...]:
    """Databases; the owner is the role of the same name unless given."""
    return tuple(replace(item, values={"owner": item.name, **item.values}) for item in _sql_objects(node))


def read_roles(node: Node | None) -> tuple[SqlObject, ...]:
    """SQL roles."""
    return tuple(_sql_objects(node))


def _sql_objects(node: Node | None) -> Iterator[SqlObject]:
    """Entries with a name. What else they may hold is for the spec of the role that makes them to say."""
    for item in node.items() if node else []:
        entry = item.value if isinstance(item.value, dict) else {}
        if "password" in entry:
            fix = "move it to ha_role_passwords in your vaulted group_vars"
            item.problems.add(f"{item.path}.password", HIDDEN, "is a secret in a file that is not vaulted", fix)
        fields = item.fields({"name", *map(str, entry)}, required=("name",))
        name = fields["name"].matching(SQL_NAME, SQL_NAME_MEANING) if "name" in fields else None
        if name:
            yield SqlObject(item.path, name, {key: field.value for key, field in fields.items() if key != "password"})
