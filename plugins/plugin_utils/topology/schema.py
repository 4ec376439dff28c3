# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The topology file key by key: type, default, limits, meaning and example.

The parser uses it. C(make reference) generates the plugin's documentation, docs/topology.md and the JSON Schema from
it. Rules over several keys are in other modules. Meanings are in Ansible's markup.
"""
# ruff: noqa: RUF009 - a key is declared by a call

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.addresses import Address, Interface, Network
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.shapes import (
    Boolean,
    ByKey,
    Choice,
    Integer,
    IpAddress,
    IpInterface,
    IpNetwork,
    Later,
    ListOf,
    Named,
    OfRole,
    OrFalse,
    Refusal,
    Section,
    SectionOrList,
    Switch,
    Text,
    key,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import EXPORTERS
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.timing import DEFAULT_PROFILE, PROFILES

POSTGRESQL = "postgresql"
PGBOUNCER = "pgbouncer"
ROLE_PATHS = {"primary": "/primary", "standby": "/replica", "any": "/read-only"}
"""Roles of pools, and Patroni's REST endpoint that answers 200 on a member that may serve the role."""
DEFAULT_POOLS = {
    "primary": {"port": 5000, "service": POSTGRESQL, "role": "primary"},
    "standby": {"port": 5001, "service": POSTGRESQL, "role": "standby"},
}
LEAST_LEASE_WATCH = 2

PORT = Integer(1, 65535)
NETWORKS = ListOf(IpNetwork(), or_one=True)
VIPS = Later(ListOf(Text(), or_one=True))
GROUP = Later(Text())


@dataclass(frozen=True)
class Groups:
    """Groups of the inventory by component."""

    etcd: Any = key(GROUP, "Group of the etcd members, an odd number of hosts.", example="etcd")
    postgresql: Any = key(
        GROUP,
        "Group of the PostgreSQL members, which Patroni manages. It needs etcd, and may be the same group.",
        example="postgresql",
    )
    haproxy: Any = key(GROUP, "Group of the balancers. With C(vips) keepalived runs there as well.", example="haproxy")
    backup: Any = key(GROUP, "Group of the one host with the pgBackRest repository.", example="backup")
    monitoring: Any = key(
        GROUP,
        "Group of the one host with Prometheus and Alertmanager, which may have other components.",
        example="monitoring",
    )


@dataclass(frozen=True)
class Vip:
    """A virtual IP address."""

    address: Interface | None = key(
        IpInterface(),
        "A free address with the prefix length of its network. Every balancer has an address in this network.",
        required=True,
        example="192.0.2.100/24",
    )
    interface: str | None = key(
        Text(),
        "Network interface of the balancers. By default C(ha_interface) of the host, or the interface that has the"
        " host's address in this network.",
        example="eth0",
    )
    virtual_router_id: int | None = key(
        Integer(1, 255),
        "VRRP's virtual router ID, which must be free in the network. By default it is derived from the names of the"
        " cluster and the address.",
        example=51,
    )
    priorities: Mapping[str, int] | None = key(
        Named(Integer(1, 254), by="host"),
        "VRRP priority by balancer; the highest one holds the address. By default C(ha_vrrp_priority) of the host, or"
        " derived from the names.",
        example={"lb1": 150, "lb2": 100},
    )


@dataclass(frozen=True)
class GroupServers:
    """Servers that are the hosts of a group."""

    group: str | None = key(Text(), "Group of the inventory.", required=True, example="webservers")
    port: int | None = key(PORT, "Port of the service.", required=True, example=8080)
    check_port: int | None = key(PORT, "Port of the check, by default that of the service.", example=8081)


@dataclass(frozen=True)
class ListedServer:
    """A server that need not be a host of the inventory."""

    name: str | None = key(
        Text(r"[A-Za-z0-9_.:-]+", "a name of letters, digits and _.:-"),
        "Name of the server, which a check over TLS expects in its certificate.",
        required=True,
        example="web1",
    )
    address: Address | None = key(IpAddress(), "IP address of the server.", required=True, example="192.0.2.21")
    port: int | None = key(PORT, "Port of the service.", required=True, example=8080)
    check_port: int | None = key(PORT, "Port of the check, by default that of the service.", example=8081)


@dataclass(frozen=True)
class Check:
    """HAProxy's check of a server."""

    type: str | None = key(
        Choice(("tcp", "http", "none")),
        "V(tcp) opens a connection, V(http) sends a request, V(none) trusts the server blindly. The other keys but"
        " C(tls) go with V(http) only.",
        required=True,
        example="http",
    )
    path: str | None = key(
        Text(r"/\S*", "a path that begins with /"), "Path of the request, by default V(/).", example="/healthz"
    )
    tls: bool = key(
        Boolean(),
        "Whether the check speaks TLS. The server's certificate must come from the cluster's authority.",
        default=False,
    )
    method: Any = key(OfRole("haproxy_pools.check.method"), example="GET")
    host: Any = key(OfRole("haproxy_pools.check.host"), example="www.example.com")
    status: Any = key(OfRole("haproxy_pools.check.status"))
    body: Any = key(OfRole("haproxy_pools.check.body"), example='"state": "running"')
    body_pattern: Any = key(OfRole("haproxy_pools.check.body_pattern"), example="ready|live")
    drains: Any = key(OfRole("haproxy_pools.check.drains"), example='"state": "stopping"')


@dataclass(frozen=True)
class Pool:
    """The keys of every pool."""

    port: int | None = key(PORT, "Port of the balancers on which the pool listens.", required=True, example=5000)
    service: str = key(
        Text(),
        "What the pool serves. V(postgresql) leads to the cluster's PostgreSQL, V(pgbouncer) to its poolers"
        " (C(pooler)), any other name to C(servers).",
        default=POSTGRESQL,
        example="web",
    )
    vip: Any = key(
        VIPS,
        "Names of the virtual IP addresses on which the pool listens. By default V(main) or the only one. Without any"
        " virtual address the pool listens on every address of the balancers.",
        example=["main", "main6"],
    )
    clients: tuple[Network, ...] | None = key(
        ListOf(
            IpNetwork(),
            or_one=True,
            empty=Refusal("admits no client", "list networks, like [192.0.2.0/24], or remove it"),
        ),
        "Networks that the balancers let in. A pool that leads to PostgreSQL lets in the cluster's C(clients) by"
        " default, and its own networks must be parts of these. Any other pool lets in everyone by default. A pool"
        " leads to PostgreSQL, whatever its service is called, where one of its servers, or an address in"
        " C(backend_options), is a PostgreSQL, a pooler or such a pool of any cluster in the file. The address of the"
        " connection itself counts, not that of a PROXY header.",
        example=["192.0.2.0/24"],
    )
    balance: Any = key(OfRole("haproxy_pools.balance"))
    server_options: Any = key(OfRole("haproxy_pools.server_options"), example="maxconn 100")
    bind_options: Any = key(OfRole("haproxy_pools.bind_options"))
    frontend_options: Any = key(OfRole("haproxy_pools.frontend_options"), example=["option httplog"])
    backend_options: Any = key(OfRole("haproxy_pools.backend_options"), example=["retries 1"])
    shutdown_sessions: Any = key(OfRole("haproxy_pools.shutdown_sessions"), example=False)
    maxconn: Any = key(OfRole("haproxy_pools.maxconn"), example=500)
    timeouts: Any = key(OfRole("haproxy_pools.timeouts"), example={"client": "1h", "server": "1h"})


@dataclass(frozen=True)
class PostgresqlPool(Pool):
    """A pool that leads to PostgreSQL by the members' roles."""

    role: str | None = key(
        Choice(tuple(ROLE_PATHS)),
        "Members that serve, by their role in Patroni.",
        required=True,
        example="primary",
    )


@dataclass(frozen=True)
class PoolerPool(Pool):
    """A pool that leads to the poolers."""


@dataclass(frozen=True)
class ServicePool(Pool):
    """A pool that leads to any other service."""

    mode: str = key(Choice(("tcp", "http")), "What HAProxy understands of the traffic.", default="tcp")
    servers: GroupServers | tuple[ListedServer, ...] | None = key(
        SectionOrList(
            GroupServers,
            ListedServer,
            Refusal("names no server", "add one like {name: web1, address: 192.0.2.21, port: 8080}"),
        ),
        "Servers of the pool. A mapping takes the hosts of a group; a list names each server.",
        required=True,
        example={"group": "webservers", "port": 8080},
    )
    check: Check | None = key(
        Section(Check),
        "How HAProxy judges whether a server can serve. By default it opens a connection.",
        example={"type": "http", "path": "/healthz"},
    )


POOL: ByKey[Pool] = ByKey(
    "service", {POSTGRESQL: (PostgresqlPool,), PGBOUNCER: (PoolerPool, ServicePool)}, other=ServicePool
)
"""In a cluster without a pooler, C(pgbouncer) is a service like any other."""


@dataclass(frozen=True)
class Ports:
    """TCP ports of the services on the members."""

    postgresql: int = key(PORT, "PostgreSQL.", default=5432)
    patroni: int = key(PORT, "Patroni's REST API.", default=8008)
    etcd_client: int = key(PORT, "etcd, for its clients.", default=2379)
    etcd_peer: int = key(PORT, "etcd, between its members.", default=2380)
    pgbouncer: int = key(PORT, "PgBouncer.", default=6432)
    node_exporter: int = key(PORT, "Metrics of the host.", default=9100)
    postgres_exporter: int = key(PORT, "Metrics of PostgreSQL.", default=9187)
    pgbouncer_exporter: int = key(PORT, "Metrics of PgBouncer.", default=9127)
    pgbackrest_exporter: int = key(PORT, "Metrics of the backups.", default=9854)
    blackbox_exporter: int = key(PORT, "Metrics of the probes through the virtual addresses.", default=9115)
    haproxy_metrics: int = key(PORT, "Metrics of HAProxy.", default=8406)
    prometheus: int = key(PORT, "Prometheus.", default=9090)
    alertmanager: int = key(PORT, "Alertmanager.", default=9093)


@dataclass(frozen=True)
class Pooler:
    """PgBouncer beside every PostgreSQL."""

    port: int = key(PORT, "Port of the pool V(pooled), through which clients reach the poolers.", default=6432)
    mode: str = key(
        Choice(("session", "transaction", "statement")),
        "When a server connection returns to PgBouncer's pool.",
        default="transaction",
    )
    vip: Any = key(VIPS, "Names of the virtual IP addresses of the pool V(pooled), with the default of any pool.")
    spare_primary: bool = key(
        Boolean(),
        "Whether clients get a pooler of another host than the primary's, as long as one is up.",
        default=True,
    )


@dataclass(frozen=True)
class Monitoring:
    """Metrics of every host, for Prometheus."""

    external: bool = key(
        Boolean(),
        "Whether a Prometheus of your own reads the metrics. Then there are exporters only.",
        default=False,
    )
    interval: int = key(Integer(5, 300), "Seconds between two readings.", default=15)
    without: tuple[str, ...] = key(
        ListOf(Choice(EXPORTERS[1:]), or_one=True),
        "Exporters that don't run. Debian 12 has no package of V(pgbackrest). The one of the host always runs.",
        default=(),
        example=["pgbackrest"],
    )


@dataclass(frozen=True)
class Tuning:
    """What the database hosts are tuned for."""

    workload: str = key(
        Choice(("oltp", "analytics")),
        "V(oltp) for many short transactions, V(analytics) for few long queries.",
        default="oltp",
    )
    storage: str = key(
        Choice(("ssd", "hdd")),
        "What the data is stored on. V(ssd) for everything without moving parts, also behind a network.",
        default="ssd",
    )
    host: bool = key(
        Boolean(),
        "Whether the database hosts' kernels are tuned as well. This affects all that runs on them, so it is refused in"
        " a container.",
        default=False,
    )


@dataclass(frozen=True)
class Opening:
    """TCP ports that are open besides those of the cluster's own services."""

    port: tuple[int, ...] | None = key(
        ListOf(PORT, or_one=True, empty=Refusal("opens no port", "name one, or remove it")),
        "TCP ports.",
        required=True,
        example=[9100, 9187],
    )
    sources: tuple[Network, ...] = key(
        NETWORKS, "Networks from which they are open. By default all.", default=(), example="192.0.2.0/24"
    )


@dataclass(frozen=True)
class Firewall:
    """Who may open TCP connections to a host."""

    ssh: tuple[Network, ...] = key(
        NETWORKS, "Networks that may use SSH, the controller's among them. By default all.", default=()
    )
    allow: tuple[Opening, ...] = key(
        ListOf(Section(Opening)),
        "Ports that are open besides those of the cluster's own services, on all of its hosts.",
        default=(),
        example=[{"port": [9090, 9093], "sources": ["192.0.2.0/24"]}],
    )
    others: str = key(Choice(("drop", "accept")), "What happens to connections to all other ports.", default="drop")


@dataclass(frozen=True)
class Cluster:
    """One cluster."""

    groups: Groups | None = key(
        Section(Groups),
        "Groups of the inventory by component. The cluster has only the components named here. By default it has the"
        " groups with these names, as far as the inventory has them.",
        example={"etcd": "shop_db", "postgresql": "shop_db", "haproxy": "shop_lb"},
    )
    network: tuple[Network, ...] = key(
        NETWORKS,
        "Networks in which hosts and virtual addresses must lie. Without it balancers must lie in the networks of their"
        " virtual addresses, and other hosts may lie anywhere.",
        default=(),
        example="192.0.2.0/24",
    )
    clients: tuple[Network, ...] | None = key(
        NETWORKS,
        "Networks that may log in to PostgreSQL. By default C(network), or the networks of the virtual addresses."
        " PostgreSQL, PgBouncer and the pools that lead to them refuse all others. PostgreSQL sees only the balancer's"
        " address of connections through a balancer.",
        example=["192.0.2.0/24", "198.51.100.0/24"],
    )
    vips: Mapping[str, Vip] | None = key(
        Named(Section(Vip)), "Virtual IP addresses by name. keepalived moves them between the balancers."
    )
    vrrp_sync_groups: Mapping[str, tuple[str, ...]] | None = key(
        Named(ListOf(Text())),
        "Virtual IP addresses that move together, by name of the sync group.",
        example={"both": ["main", "main6"]},
    )
    pools: Any = key(
        Later(Named(OrFalse(POOL))),
        "HAProxy's pools by name. PostgreSQL has the pools"
        f" {' and '.join(f'V({name}) on port ' + str(pool['port']) for name, pool in DEFAULT_POOLS.items())}"
        " unless pools of these names are declared here. V(false) leaves one out.",
    )
    databases: Any = key(
        OfRole("postgresql_objects_databases"),
        "Databases. The owner is by default the role with the database's name.",
        example=[{"name": "app", "owner": "app"}],
    )
    roles: Any = key(
        OfRole("postgresql_objects_roles"),
        "SQL roles. Their passwords stand in C(ha_role_passwords), vaulted.",
        example=[{"name": "app"}],
    )
    ports: Ports = key(Section(Ports), "TCP ports of the services on the members.", default=Ports())
    allow_single_etcd: bool = key(
        Boolean(), "Whether a single etcd member is allowed, which survives no failure.", default=False
    )
    profile: str | None = key(
        Choice(tuple(PROFILES)),
        "How soon silence counts as a failure. It sets the defaults of the timing variables of etcd, Patroni, HAProxy,"
        " keepalived and the lease watcher together. Variables that you set take precedence.",
        implied=DEFAULT_PROFILE,
    )
    lease_watch: int | Literal[False] | None = key(
        OrFalse(Integer(LEAST_LEASE_WATCH, 3600)),
        "Seconds without a renewal after which a watcher beside every etcd member revokes the leader's lease. By"
        " default those of the profile. V(false) runs no watcher; then only the end of C(patroni_ttl) ends the lease."
        " It must be at least C(patroni_loop_wait) + 1 with synchronous replication. Without, it must be at least 4 *"
        " C(patroni_retry_timeout) + 2, and C(patroni_loop_wait) + 2 * C(patroni_retry_timeout) + 1"
        " (C(docs/lease-watcher.md) says why).",
        example=8,
    )
    pooler: Pooler | Literal[False] | None = key(
        Switch(Pooler),
        "PgBouncer beside every PostgreSQL. Each one reaches the primary through the first pool with the role"
        " V(primary). V(true) takes all defaults. A pool with C(service) V(pgbouncer)"
        " replaces the pool V(pooled).",
    )
    monitoring: Monitoring | Literal[False] | None = key(
        Switch(Monitoring),
        "Metrics of every host, over TLS with client certificates. V(true) takes all defaults, and is the default where"
        " the group C(monitoring) exists. V(false) has neither exporters nor Prometheus.",
    )
    tuning: Tuning | Literal[False] | None = key(
        Switch(Tuning),
        "Settings of PostgreSQL from the hosts' memory and processors and the workload, beyond sizes of memory"
        " (C(docs/tuning.md)). V(true) takes all defaults. By default there are none. Parameters that you set take"
        " precedence.",
    )
    firewall: Firewall | Literal[False] | None = key(
        Switch(Firewall),
        "A firewall on every host, which opens each port to those who need it. V(true) takes all defaults. By default"
        " there is none.",
    )


@dataclass(frozen=True)
class Topology:
    """The whole file."""

    plugin: str | None = key(Choice(("holdfast.ha.topology",)), "Marks the file as one for this plugin.", required=True)
    clusters: Mapping[str, Cluster] | None = key(
        Named(
            Section(Cluster, or_null=True),
            empty=Refusal("names no cluster", "add one, like 'clusters: {main: {}}'"),
        ),
        "The clusters by name. A name has lower-case letters, digits and C(_), a letter first, at most 31. It is also"
        " Patroni's scope and pgBackRest's stanza.",
        required=True,
    )
