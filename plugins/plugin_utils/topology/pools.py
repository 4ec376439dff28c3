# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy pools: PostgreSQL's by role, any other service by a group or a list of servers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.haproxy import CHECKS
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.node import Node, suggestion
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import HIDDEN, OPAQUE, Problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.shapes import handed_on, keys, read
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology import schema
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.hosts import host_address
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import (
    Check,
    Cluster,
    Host,
    Inventory,
    Pool,
    Server,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.schema import (
    DEFAULT_POOLS,
    PGBOUNCER,
    POOL,
    POSTGRESQL,
    ROLE_PATHS,
    Pooler,
    Ports,
)

SERVING = {"method": "GET", "body": '"state": "running"', "drains": '"state": "stopping"'}
"""Patroni reports a primary that it is stopping as primary until it has stopped, or its lease would have ended."""

WRITABLE = {**SERVING, "body_pattern": '"role": "(primary|master)"'}
"""Patroni reports a member as primary once it is leader; the role in the answer is PostgreSQL's, after promotion."""

POOLED = "pooled"
"""Name of the pool that leads to the poolers where none is declared."""

POOLED_CHECK = ("option tcp-check", "tcp-check send-binary 0000000804d21630", "tcp-check expect binary 4e")
"""GSSENCRequest and PgBouncer's refusal. A frozen pooler does not answer, though its kernel completes handshakes."""

OWN_FRONTENDS = frozenset({"stats", "monitor"})
"""Names of HAProxy's frontends besides the pools."""


@dataclass(frozen=True)
class Surroundings:
    """The data to which a cluster's pools refer."""

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
    """The pools, including PostgreSQL's default ones unless they are declared differently or C(false)."""
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
    """The poolers' pool, which leads to the primary's host only if there is no other pooler."""
    declared = pool.extra["backend_options"]
    if not isinstance(declared, list):
        return pool
    return replace(pool, extra={**pool.extra, "backend_options": [*declared, *_steering(pool, primary)]})


def _steering(pool: Pool, primary: Pool) -> Iterator[str]:
    """HAProxy's rules: the leader is the server that is up in the primary's pool; one of the others is drawn at random.

    The rules query the checking backend, because srv_is_up always reports a tracking server as up. HAProxy continues
    with the next rule if a server is down, so all servers are listed again after the random choice. A drained server
    is not down for it, but has no weight.
    """
    for own in primary.servers:
        leads = f"if {{ srv_is_up({primary.name}{CHECKS}/{own.name}) }}"
        others = [server.name for server in pool.servers if server.name != own.name]
        rules = [f"use-server {name} {leads} {{ srv_weight({pool.name}/{name}) gt 0 }}" for name in others]
        for at, rule in enumerate(rules[:-1]):
            yield f"{rule} {{ rand({len(others) - at}) lt 1 }}"
        yield from reversed(rules)


def _pooled_by_default(pools: Node, around: Surroundings) -> list[tuple[str, Node]]:
    """The poolers' pool from their own declaration, unless the user declares one among the pools."""
    declared = pools.value if isinstance(pools.value, dict) else {}
    if around.pooler is None or not {PGBOUNCER, "haproxy"} <= around.members.keys():
        return []
    if any(POOL.choice(pool) == PGBOUNCER for pool in declared.values()):
        return []
    if POOLED in declared:
        fix = f"rename it, or give it 'service: {PGBOUNCER}' and no role, servers or check"
        pools.at(POOLED, HIDDEN).fail("has the name of the pool that leads to the poolers", fix)
        return []
    pool = {"service": PGBOUNCER, "port": around.pooler.port, "vip": around.pooler.vip}
    return [(POOLED, Node(f"{pools.path.rpartition('.')[0]}.pooler", pool, pools.problems))]


def _pool(name: str, node: Node, around: Surroundings) -> Pool | None:
    without_pooler = around.pooler is None and POOL.choice(node.value) == PGBOUNCER
    declared = read(schema.ServicePool, node) if without_pooler else POOL.read(node)
    vips = _vips(node, declared.vip, around.vips)
    servers = _servers(node, declared, around)
    check = _check(node.at("check", HIDDEN), declared)
    if declared.port is None:
        return None
    return Pool(
        path=node.path,
        name=name,
        port=declared.port,
        service=declared.service,
        role=declared.role if isinstance(declared, schema.PostgresqlPool) else None,
        mode=declared.mode if isinstance(declared, schema.ServicePool) else "tcp",
        vips=vips,
        servers=servers,
        check=check,
        extra=_extra(declared),
        clients=declared.clients,
    )


def _extra(declared: schema.Pool) -> dict[str, Any]:
    """Options that the haproxy role takes unchanged."""
    extra = handed_on(declared)
    if not isinstance(declared, schema.PoolerPool):
        return extra
    options = extra.get("backend_options", [])
    checked = [*POOLED_CHECK, *options] if isinstance(options, list) else options
    return {"balance": "leastconn", **extra, "backend_options": checked}


def _vips(pool: Node, declared: Any, known: tuple[str, ...]) -> tuple[str, ...]:
    """Names of a pool's VIPs; empty means every address of the balancer."""
    node = pool.at("vip", declared)
    if declared is None:
        if len(known) > 1 and "main" not in known:
            fix = f"add 'vip:' with one or more of {', '.join(known)}"
            node.fail("is missing, and the cluster has several VIPs", fix)
        return ("main",) if "main" in known else known[:1]
    names = []
    for item in node.one_or_more():
        if item.value in known:
            names.append(item.value)
        else:
            item.fail("is not a VIP of the cluster", suggestion(str(item.value), known))
    return tuple(dict.fromkeys(names))


def _servers(node: Node, declared: schema.Pool, around: Surroundings) -> tuple[Server, ...]:
    match declared:
        case schema.PostgresqlPool():
            return _postgresql_servers(node, around)
        case schema.ServicePool(servers=schema.GroupServers() as group):
            return _group_servers(node.at("servers", HIDDEN), group, around.inventory)
        case schema.ServicePool(servers=tuple() as listed):
            return _listed_servers(node.at("servers", HIDDEN), listed)
        case schema.PoolerPool():
            own = around.ports.pgbouncer
            hosts = around.members.get(PGBOUNCER, ())
            return tuple(Server(host.name, host.address, own, own) for host in hosts if host.addresses)
    return ()


def _postgresql_servers(node: Node, around: Surroundings) -> tuple[Server, ...]:
    hosts = around.members.get(POSTGRESQL, ())
    if POSTGRESQL not in around.members:
        fix = "name a postgresql group, or give the pool another service and its servers"
        node.at("service", POSTGRESQL).fail("has no hosts in the cluster", fix)
    ports = around.ports
    return tuple(Server(host.name, host.address, ports.postgresql, ports.patroni) for host in hosts if host.addresses)


def _group_servers(node: Node, declared: schema.GroupServers, inventory: Inventory) -> tuple[Server, ...]:
    names = inventory.groups.get(declared.group or "", ())
    if declared.group and not names:
        fix = suggestion(declared.group, sorted(inventory.groups))
        node.at("group", declared.group).fail("is not a group with hosts", fix)
    servers = []
    for name in names:
        address = host_address(Node(name, inventory.hosts.get(name, {}), node.problems))
        if address and declared.port:
            servers.append(Server(name, str(address), declared.port, declared.check_port or declared.port))
    return tuple(servers)


def _listed_servers(node: Node, declared: Iterable[schema.ListedServer]) -> tuple[Server, ...]:
    servers: dict[str, Server] = {}
    for index, one in enumerate(declared):
        if one.name in servers:
            node.at(index, HIDDEN).at("name", one.name).fail("is declared twice", "give every server a name of its own")
        if one.name and one.address and one.port:
            servers[one.name] = Server(one.name, str(one.address), one.port, one.check_port or one.port)
    return tuple(servers.values())


def _check(node: Node, declared: schema.Pool) -> Check:
    """How HAProxy judges the servers of a pool."""
    match declared:
        case schema.PostgresqlPool(role=role):
            answer = WRITABLE if role == "primary" else SERVING
            return Check("http", ROLE_PATHS.get(role or ""), tls=True, extra=answer)
        case schema.ServicePool(check=schema.Check() as check):
            return _declared_check(node, check)
    return Check()


def _declared_check(node: Node, declared: schema.Check) -> Check:
    kind = declared.type
    for key in keys(schema.Check):
        value = getattr(declared, key)
        if key not in {"type", "tls"} and value is not None and kind not in {None, "http"}:
            node.at(key, value).fail(f"has no meaning for a check of the type {kind}", "remove it or set type to http")
    path = declared.path or ("/" if kind == "http" else None)
    return Check(kind or "tcp", path, declared.tls, handed_on(declared))


def left_out(name: str) -> str:
    """How to leave a default pool out, as an addition to another fix, or C("")."""
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
    """A pool in the format of the haproxy role's input."""
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
