# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy pools: PostgreSQL's by role, any other service by a group or a list of servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .hosts import host_address
from .model import Check, Host, Inventory, Pool, Ports, Server
from .node import Node, suggestion

POSTGRESQL = "postgresql"
ROLE_PATHS = {"primary": "/primary", "standby": "/replica", "any": "/read-only"}
"""Patroni's REST endpoint that answers 200 on a member which may serve the role."""

DEFAULT_POOLS = {
    "primary": {"port": 5000, "service": POSTGRESQL, "role": "primary"},
    "standby": {"port": 5001, "service": POSTGRESQL, "role": "standby"},
}
BALANCES = ("roundrobin", "static-rr", "leastconn", "first", "source")
POSTGRESQL_KEYS = ("port", "service", "vip", "balance", "role")
GENERIC_KEYS = ("port", "service", "vip", "balance", "mode", "servers", "check")


def read_pools(
    cluster: Node, pools: Node | None, vips: Node | None, members: Mapping[str, tuple[Host, ...]], ports: Ports, inventory: Inventory
) -> tuple[Pool, ...]:
    """The pools, sorted by port and name; where none are declared PostgreSQL gets its two."""
    if pools is None:
        wanted = POSTGRESQL in members and "haproxy" in members
        pools = cluster.at("pools", DEFAULT_POOLS if wanted else {})
    vip_names = sorted(vips.value) if vips and isinstance(vips.value, dict) else []
    read = [_pool(name, node, vip_names, members, ports, inventory) for name, node in pools.named()]
    return tuple(sorted((pool for pool in read if pool), key=lambda pool: (pool.port, pool.name)))


def _pool(
    name: str, node: Node, vip_names: list[str], members: Mapping[str, tuple[Host, ...]], ports: Ports, inventory: Inventory
) -> Pool | None:
    service = node.value.get("service", POSTGRESQL) if isinstance(node.value, dict) else POSTGRESQL
    is_postgresql = service == POSTGRESQL
    required = ("port", "role") if is_postgresql else ("port", "servers")
    fields = node.fields(POSTGRESQL_KEYS if is_postgresql else GENERIC_KEYS, required)
    port = fields["port"].port() if "port" in fields else None
    role = fields["role"].choice(ROLE_PATHS) if is_postgresql and "role" in fields else None
    if is_postgresql:
        servers = _postgresql_servers(node, members, ports)
        check = Check("http", ROLE_PATHS.get(role or ""), tls=True)
    else:
        servers = _servers(fields["servers"], inventory) if "servers" in fields else ()
        check = _check(fields.get("check"))
    vip = _vips(node, fields.get("vip"), vip_names)
    balance = fields["balance"].choice(BALANCES) if "balance" in fields else None
    mode = (fields["mode"].choice(("tcp", "http")) if "mode" in fields else None) or "tcp"
    if port is None:
        return None
    return Pool(name, port, str(service), role, mode, balance, vip, servers, check)


def _vips(node: Node, declared: Node | None, vip_names: list[str]) -> tuple[str, ...]:
    """Names of the VIPs a pool listens on; empty means every address of the balancer."""
    if declared is None:
        if len(vip_names) > 1 and "main" not in vip_names:
            node.at("vip", None).fail("is missing, and the cluster has several VIPs", f"add 'vip:' with one or more of {', '.join(vip_names)}")
        return ("main",) if "main" in vip_names else tuple(vip_names[:1])
    names = []
    for item in declared.one_or_more():
        if item.value in vip_names:
            names.append(item.value)
        else:
            item.fail("is not a VIP of the cluster", suggestion(str(item.value), vip_names))
    return tuple(dict.fromkeys(names))


def _postgresql_servers(node: Node, members: Mapping[str, tuple[Host, ...]], ports: Ports) -> tuple[Server, ...]:
    if POSTGRESQL not in members:
        node.fail("serves PostgreSQL, but the cluster has no postgresql hosts", "name a postgresql group, or give the pool another service and its servers")
    return tuple(
        Server(host.name, host.address, ports.postgresql, ports.patroni) for host in members.get(POSTGRESQL, ()) if host.addresses
    )  # fmt: skip


def _servers(node: Node, inventory: Inventory) -> tuple[Server, ...]:
    """Servers from C({group, port}) or from a list of C({name, address, port})."""
    servers = _listed_servers(node) if isinstance(node.value, list) else _group_servers(node, inventory)
    seen: set[str] = set()
    for server in servers:
        if server.name in seen:
            node.problems.add(f"{node.path}.{server.name}", server.name, "is named twice", "give every server a name of its own")
        seen.add(server.name)
    return servers


def _group_servers(node: Node, inventory: Inventory) -> tuple[Server, ...]:
    fields = node.fields(("group", "port", "check_port"), required=("group", "port"))
    port = fields["port"].port() if "port" in fields else None
    check_port = fields["check_port"].port() if "check_port" in fields else port
    names = inventory.groups.get(str(fields["group"].value)) if "group" in fields else ()
    if not names and "group" in fields:
        fields["group"].fail("is not a group with hosts in the inventory", suggestion(str(fields["group"].value), sorted(inventory.groups)))
    servers = []
    for name in names or ():
        address = host_address(Node(name, inventory.hosts.get(name, {}), node.problems))
        if address and port:
            servers.append(Server(name, str(address), port, check_port or port))
    return tuple(servers)


def _listed_servers(node: Node) -> tuple[Server, ...]:
    servers = []
    for item in node.items():
        fields = item.fields(("name", "address", "port", "check_port"), required=("name", "address", "port"))
        name = fields["name"].matching(r"[A-Za-z0-9_.:-]+", "a server name of letters, digits and _.:-") if "name" in fields else None
        address = fields["address"].address() if "address" in fields else None
        port = fields["port"].port() if "port" in fields else None
        check_port = fields["check_port"].port() if "check_port" in fields else port
        if name and address and port:
            servers.append(Server(name, str(address), port, check_port or port))
    if not node.value:
        node.fail("names no server", "add one like {name: web1, address: 192.0.2.21, port: 8080}")
    return tuple(servers)


def _check(node: Node | None) -> Check:
    """C({type: tcp|http, path, tls}); a plain TCP connection when not given."""
    if node is None:
        return Check()
    fields = node.fields(("type", "path", "tls"), required=("type",))
    kind = fields["type"].choice(("tcp", "http")) if "type" in fields else None
    path = fields["path"].matching(r"/\S*", "a path that begins with /") if "path" in fields else None
    if path and kind == "tcp":
        fields["path"].fail("has no meaning for a tcp check", "remove it or set type to http")
    tls = "tls" in fields and fields["tls"].boolean() is True
    return Check(kind or "tcp", path or ("/" if kind == "http" else None), tls)


def pool_dict(pool: Pool, addresses: list[str]) -> dict[str, Any]:
    """A pool in the shape of the haproxy role's input."""
    plain: dict[str, Any] = {
        "name": pool.name,
        "port": pool.port,
        "addresses": addresses,
        "service": pool.service,
        "role": pool.role,
        "mode": pool.mode,
        "servers": [vars(server).copy() for server in pool.servers],
        "check": {"type": pool.check.type, "path": pool.check.path, "tls": pool.check.tls},
    }
    return plain if pool.balance is None else {**plain, "balance": pool.balance}


