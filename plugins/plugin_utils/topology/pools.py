# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy pools: PostgreSQL's by role, any other service by a group or a list of servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.haproxy import CHECKS

from ..reading.addresses import Network
from ..reading.node import Node, suggestion
from ..reading.problems import HIDDEN, OPAQUE, Problems
from .hosts import host_address
from .model import Check, Cluster, Host, Inventory, Pool, Pooler, Ports, Server

POSTGRESQL = "postgresql"
PGBOUNCER = "pgbouncer"
ROLE_PATHS = {"primary": "/primary", "standby": "/replica", "any": "/read-only"}
"""Patroni's REST endpoint that answers 200 on a member which may serve the role."""

SERVING = {"method": "GET", "body": '"state": "running"', "drains": '"state": "stopping"'}
"""Patroni calls a primary that it is stopping a primary until it has stopped, or its lease would have ended."""

WRITABLE = {**SERVING, "body_pattern": '"role": "(primary|master)"'}
"""Patroni says that a member is the primary once it leads; the role in the answer is PostgreSQL's, once promoted."""

DEFAULT_POOLS = {
    "primary": {"port": 5000, "service": POSTGRESQL, "role": "primary"},
    "standby": {"port": 5001, "service": POSTGRESQL, "role": "standby"},
}
POOLED = "pooled"
"""Name of the pool that leads to the poolers where none is declared."""

POOLED_CHECK = ("option tcp-check", "tcp-check send-binary 0000000804d21630", "tcp-check expect binary 4e")
"""GSSENCRequest, and PgBouncer's no. A frozen pooler does not answer, though its kernel still completes handshakes."""

EXTRA_KEYS = (
    "balance",
    "server_options",
    "bind_options",
    "frontend_options",
    "backend_options",
    "shutdown_sessions",
    "maxconn",
    "timeouts",
)
"""Passed on as they are; the haproxy role's argument spec judges them."""

OWN_FRONTENDS = frozenset({"stats", "monitor"})
"""Names of the frontends that HAProxy has beside the pools."""

POSTGRESQL_KEYS = ("port", "service", "vip", "clients", "role", *EXTRA_KEYS)
POOLED_KEYS = ("port", "service", "vip", "clients", *EXTRA_KEYS)
GENERIC_KEYS = ("port", "service", "vip", "clients", "mode", "servers", "check", *EXTRA_KEYS)
CHECK_EXTRA_KEYS = ("method", "host", "status", "body", "body_pattern", "drains")


@dataclass(frozen=True)
class Surroundings:
    """What a cluster's pools refer to."""

    members: Mapping[str, tuple[Host, ...]]
    ports: Ports
    vips: tuple[str, ...]
    inventory: Inventory
    pooler: Pooler | None = None


def read_pools(pools: Node, around: Surroundings) -> tuple[Pool, ...]:
    """The declared pools and the default ones of PostgreSQL and its poolers, sorted by port and name."""
    pools = _with_defaults(pools, around)
    named = [*pools.named(), *_pooled_by_default(pools, around)]
    for name, node in named:
        if name in OWN_FRONTENDS:
            node.fail(f"is the name of HAProxy's own {name} frontend", "rename it")
    read = [_pool(name, node, around) for name, node in named]
    found = sorted((pool for pool in read if pool), key=lambda pool: (pool.port, pool.name))
    primary = next((pool for pool in found if pool.role == "primary"), None)
    if primary and around.pooler and around.pooler.spare_primary:
        found = [_sparing(pool, primary) if pool.service == PGBOUNCER else pool for pool in found]
    return tuple(found)


def _with_defaults(pools: Node, around: Surroundings) -> Node:
    """The pools with PostgreSQL's default ones, but those that are declared otherwise or C(false)."""
    declared = {} if pools.value is None else pools.value
    if not isinstance(declared, dict):
        return pools
    defaults = DEFAULT_POOLS if {POSTGRESQL, "haproxy"} <= around.members.keys() else {}
    for name, pool in declared.items():
        if pool is False and name not in DEFAULT_POOLS:
            fix = f"remove it; false leaves out {' or '.join(DEFAULT_POOLS)}, the default pools"
            pools.at(str(name), pool).fail("is not a default pool", fix)
    wanted = {name: pool for name, pool in {**defaults, **declared}.items() if pool is not False}
    return Node(pools.path, wanted, pools.problems)


def _sparing(pool: Pool, primary: Pool) -> Pool:
    """The poolers' pool, which leads to those on the primary's host only where there are no others."""
    declared = pool.extra["backend_options"]
    if not isinstance(declared, list):
        return pool
    return replace(pool, extra={**pool.extra, "backend_options": [*declared, *_steering(pool, primary)]})


def _steering(pool: Pool, primary: Pool) -> Iterator[str]:
    """HAProxy's rules: who leads is up in the primary's pool, one of the other servers is drawn.

    What is asked is the backend that checks: to srv_is_up a server that tracks is always up. HAProxy goes on to the
    next rule where a server is down, so after the draw all are named once more.
    """
    for own in primary.servers:
        leads = f"if {{ srv_is_up({primary.name}{CHECKS}/{own.name}) }}"
        others = [server.name for server in pool.servers if server.name != own.name]
        for at, name in enumerate(others[:-1]):
            yield f"use-server {name} {leads} {{ rand({len(others) - at}) lt 1 }}"
        yield from (f"use-server {name} {leads}" for name in reversed(others))


def _pooled_by_default(pools: Node, around: Surroundings) -> list[tuple[str, Node]]:
    """The pool that leads to the poolers, as declared with them, unless the user has one among the others."""
    declared = pools.value if isinstance(pools.value, dict) else {}
    if around.pooler is None or not {PGBOUNCER, "haproxy"} <= around.members.keys():
        return []
    if any(_service(pool) == PGBOUNCER for pool in declared.values()):
        return []
    if POOLED in declared:
        fix = f"rename it, or give it 'service: {PGBOUNCER}' and no role, servers or check"
        pools.at(POOLED, HIDDEN).fail("has the name of the pool that leads to the poolers", fix)
        return []
    pool = {"service": PGBOUNCER, "port": around.pooler.port, "vip": around.pooler.vip}
    return [(POOLED, Node(f"{pools.path.rpartition('.')[0]}.pooler", pool, pools.problems))]


def _service(pool: Any) -> Any:
    return pool.get("service", POSTGRESQL) if isinstance(pool, dict) else POSTGRESQL


def _pool(name: str, node: Node, around: Surroundings) -> Pool | None:
    service = _service(node.value)
    if service == PGBOUNCER and around.pooler is not None:
        return _pooled(name, node, around)
    is_postgresql = service == POSTGRESQL
    required = ("port", "role") if is_postgresql else ("port", "servers")
    fields = node.fields(POSTGRESQL_KEYS if is_postgresql else GENERIC_KEYS, required)
    port = fields["port"].port() if "port" in fields else None
    role = fields["role"].choice(ROLE_PATHS) if is_postgresql and "role" in fields else None
    if is_postgresql:
        servers = _postgresql_servers(node, around)
        check = Check("http", ROLE_PATHS.get(role or ""), tls=True, extra=WRITABLE if role == "primary" else SERVING)
    else:
        servers = _servers(fields["servers"], around.inventory) if "servers" in fields else ()
        check = _check(fields.get("check"))
    vips = _vips(node, fields.get("vip"), around.vips)
    mode = (fields["mode"].choice(("tcp", "http")) if "mode" in fields else None) or "tcp"
    extra = {key: fields[key].value for key in EXTRA_KEYS if key in fields}
    clients = _clients(fields.get("clients"))
    return Pool(node.path, name, port, str(service), role, mode, vips, servers, check, extra, clients) if port else None


def _pooled(name: str, node: Node, around: Surroundings) -> Pool | None:
    """A pool whose servers are the poolers."""
    fields = node.fields(POOLED_KEYS, required=("port",))
    port = fields["port"].port() if "port" in fields else None
    hosts = around.members.get(PGBOUNCER, ())
    own = around.ports.pgbouncer
    servers = tuple(Server(host.name, host.address, own, own) for host in hosts if host.addresses)
    vips = _vips(node, fields.get("vip"), around.vips)
    extra = {"balance": "leastconn", **{key: fields[key].value for key in EXTRA_KEYS if key in fields}}
    declared = extra.get("backend_options", [])
    extra["backend_options"] = [*POOLED_CHECK, *declared] if isinstance(declared, list) else declared
    clients = _clients(fields.get("clients"))
    return Pool(node.path, name, port, PGBOUNCER, None, "tcp", vips, servers, Check(), extra, clients) if port else None


def _clients(node: Node | None) -> tuple[Network, ...] | None:
    """Networks a pool lets in, one or a list; None where none are declared."""
    if node is None:
        return None
    if node.value == []:
        node.fail("lets nobody in", "list networks, like [192.0.2.0/24], or remove it")
    read = [item.network() for item in node.one_or_more()]
    return tuple(network for network in read if network is not None)


def _vips(node: Node, declared: Node | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the VIPs a pool listens on; empty means every address of the balancer."""
    if declared is None:
        if len(known) > 1 and "main" not in known:
            fix = f"add 'vip:' with one or more of {', '.join(known)}"
            node.at("vip", None).fail("is missing, and the cluster has several VIPs", fix)
        return ("main",) if "main" in known else known[:1]
    names = []
    for item in declared.one_or_more():
        if item.value in known:
            names.append(item.value)
        else:
            item.fail("is not a VIP of the cluster", suggestion(str(item.value), known))
    return tuple(dict.fromkeys(names))


def _postgresql_servers(node: Node, around: Surroundings) -> tuple[Server, ...]:
    hosts = around.members.get(POSTGRESQL, ())
    if POSTGRESQL not in around.members:
        fix = "name a postgresql group, or give the pool another service and its servers"
        node.at("service", POSTGRESQL).fail("has no hosts in the cluster", fix)
    ports = around.ports
    return tuple(Server(host.name, host.address, ports.postgresql, ports.patroni) for host in hosts if host.addresses)


def _servers(node: Node, inventory: Inventory) -> tuple[Server, ...]:
    """Servers from C({group, port}) or from a list of C({name, address, port})."""
    return _listed_servers(node) if isinstance(node.value, list) else _group_servers(node, inventory)


def _group_servers(node: Node, inventory: Inventory) -> tuple[Server, ...]:
    fields = node.fields(("group", "port", "check_port"), required=("group", "port"))
    port = fields["port"].port() if "port" in fields else None
    check_port = fields["check_port"].port() if "check_port" in fields else None
    names = inventory.groups.get(str(fields["group"].value), ()) if "group" in fields else ()
    if not names and "group" in fields:
        group = fields["group"]
        group.fail("is not a group with hosts", suggestion(str(group.value), sorted(inventory.groups)))
    servers = []
    for name in names:
        address = host_address(Node(name, inventory.hosts.get(name, {}), node.problems))
        if address and port:
            servers.append(Server(name, str(address), port, check_port or port))
    return tuple(servers)


def _listed_servers(node: Node) -> tuple[Server, ...]:
    if not node.value:
        node.fail("names no server", "add one like {name: web1, address: 192.0.2.21, port: 8080}")
    servers: dict[str, Server] = {}
    for item in node.items():
        server = _listed_server(item)
        if server and server.name in servers:
            item.at("name", server.name).fail("is declared twice", "give every server a name of its own")
        if server:
            servers[server.name] = server
    return tuple(servers.values())


def _listed_server(node: Node) -> Server | None:
    fields = node.fields(("name", "address", "port", "check_port"), required=("name", "address", "port"))
    name = (
        fields["name"].matching(r"[A-Za-z0-9_.:-]+", "a name of letters, digits and _.:-") if "name" in fields else None
    )
    address = fields["address"].address() if "address" in fields else None
    port = fields["port"].port() if "port" in fields else None
    check_port = fields["check_port"].port() if "check_port" in fields else None
    return Server(name, str(address), port, check_port or port) if name and address and port else None


def _check(node: Node | None) -> Check:
    """C({type: tcp|http|none, path, tls, ...}); a plain TCP connection when not given."""
    if node is None:
        return Check()
    fields = node.fields(("type", "path", "tls", *CHECK_EXTRA_KEYS), required=("type",))
    kind = fields["type"].choice(("tcp", "http", "none")) if "type" in fields else None
    path = fields["path"].matching(r"/\S*", "a path that begins with /") if "path" in fields else None
    for key in ("path", *CHECK_EXTRA_KEYS):
        if key in fields and kind and kind != "http":
            fields[key].fail(f"has no meaning for a check of the type {kind}", "remove it or set type to http")
    tls = "tls" in fields and fields["tls"].boolean() is True
    extra = {key: fields[key].value for key in CHECK_EXTRA_KEYS if key in fields}
    return Check(kind or "tcp", path or ("/" if kind == "http" else None), tls, extra)


def left_out(name: str) -> str:
    """How to do without a pool: C(""), or words to put behind another fix."""
    return f", or leave the default pool out with '{name}: false'" if name in DEFAULT_POOLS else ""


def primary_pool(cluster: Cluster) -> Pool | None:
    """The first pool that leads to the primary, by port and name."""
    return next((pool for pool in cluster.pools if pool.role == "primary"), None)


def check_pooled(cluster: Cluster, problems: Problems) -> None:
    """PgBouncer reaches the primary through HAProxy."""
    if cluster.pooler is None:
        return
    where = f"{cluster.path}.pooler"
    for part in ("postgresql", "haproxy"):
        if part not in cluster.members:
            problems.add(where, OPAQUE, f"has no {part} to work with", f"remove it or add {cluster.path}.groups.{part}")
    if {"postgresql", "haproxy"} <= cluster.members.keys() and primary_pool(cluster) is None:
        fix = f"add a pool with 'role: primary' to {cluster.path}.pools"
        problems.add(where, OPAQUE, "has no pool that leads to the primary", fix)


def pool_dict(pool: Pool, addresses: list[str], clients: list[str] | None) -> dict[str, Any]:
    """A pool in the shape of the haproxy role's input."""
    return {
        "name": pool.name,
        "port": pool.port,
        "addresses": addresses,
        "service": pool.service,
        "role": pool.role,
        "mode": pool.mode,
        "servers": [vars(server).copy() for server in pool.servers],
        "check": {"type": pool.check.type, "path": pool.check.path, "tls": pool.check.tls, **pool.check.extra},
        **({} if clients is None else {"clients": clients}),
        **({"reconnect": True} if pool.role == "primary" else {}),
        **pool.extra,
    }
