# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model of a cluster: typed, frozen, without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.addresses import Address, Interface, Network
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import (
    COMPONENTS,
    Component,
    Port,
    installed_on,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.schema import (
    Firewall,
    Monitoring,
    Pooler,
    Ports,
    Tuning,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.timing import DEFAULT_PROFILE

ETCD_PEERS = "etcd.holdfast.internal"
"""The domain of each cluster's name for its etcd members; no host may have a name in it."""


@dataclass(frozen=True)
class Inventory:
    """The inventory's existing data: variables by host, host names by group."""

    hosts: Mapping[str, Mapping[str, Any]]
    groups: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Host:
    """A member of a cluster; C(addresses) is empty when none could be read."""

    name: str
    addresses: tuple[Address, ...] = ()
    zone: str = "default"
    failover_priority: int = 1
    vrrp_priority: int | None = None
    interface: str | None = None
    declares_jobs: bool = False
    """Whether it has the variable backup_jobs."""
    packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Debian packages that its variables add, by role."""

    @property
    def address(self) -> str:
        """The address the other members use."""
        return str(self.addresses[0])

    def address_of(self, version: int) -> Address | None:
        """The host's first address of IP version 4 or 6."""
        return next((address for address in self.addresses if address.version == version), None)


@dataclass(frozen=True)
class Vip:
    """A virtual IP address with its network."""

    name: str
    address: Interface
    interface: str | None = None
    virtual_router_id: int | None = None
    priorities: Mapping[str, int] | None = None


@dataclass(frozen=True)
class SyncGroup:
    """VRRP instances that move together."""

    name: str
    instances: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """HAProxy's check of a server."""

    type: str = "tcp"
    path: str | None = None
    tls: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Server:
    """One server of a pool."""

    name: str
    address: str
    port: int
    check_port: int


@dataclass(frozen=True)
class Pool:
    """A named HAProxy service with its backend; C(path) is where it is declared."""

    path: str
    name: str
    port: int
    service: str
    role: str | None
    mode: str
    vips: tuple[str, ...]
    servers: tuple[Server, ...]
    check: Check
    extra: Mapping[str, Any]
    clients: tuple[Network, ...] | None = None
    """Networks that it admits, where declared."""
    guards: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)
    """Networks that the target PostgreSQL admits, by the place of their declaration."""


@dataclass(frozen=True)
class SqlObject:
    """A database or an SQL role; values are those of the postgresql_objects role, passwords never among them."""

    path: str
    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Cluster:
    """One cluster as declared.

    C(members) has a key for every declared component with its hosts by name; there are none if its group is refused.
    """

    name: str
    members: Mapping[str, tuple[Host, ...]]
    networks: tuple[Network, ...] = ()
    networks_declared: bool = False
    clients: tuple[Network, ...] = ()
    vips: tuple[Vip, ...] = ()
    sync_groups: tuple[SyncGroup, ...] = ()
    pools: tuple[Pool, ...] = ()
    pools_declared: bool = False
    databases: tuple[SqlObject, ...] = ()
    roles: tuple[SqlObject, ...] = ()
    ports: Ports = field(default_factory=Ports)
    allow_single_etcd: bool = False
    profile: str = DEFAULT_PROFILE
    lease_watch: int | None = None
    """Seconds without a renewal after which the leader's lease is revoked; None: it only expires in etcd."""
    lease_watch_declared: bool = False
    """Whether the user chose it, directly or with a profile. The default waits longer if Patroni's timing requires."""
    pooler: Pooler | None = None
    monitoring: Monitoring | None = None
    tuning: Tuning | None = None
    firewall: Firewall | None = None

    @property
    def path(self) -> str:
        """The cluster's path in the topology file."""
        return f"clusters.{self.name}"

    def of(self, component: str) -> tuple[Host, ...]:
        """The hosts of a component, sorted by name."""
        return self.members.get(component, ())

    @property
    def hosts(self) -> tuple[Host, ...]:
        """All hosts of the cluster, sorted by name."""
        unique = {host.name: host for hosts in self.members.values() for host in hosts}
        return tuple(unique[name] for name in sorted(unique))

    @property
    def parts(self) -> list[Component]:
        """The cluster's components."""
        return [component for component in COMPONENTS if component.name in self.members]

    def port(self, port: Port) -> int | None:
        """The number of a component's port, None where it is closed or a variable of its role sets it."""
        is_open = not port.asked_by or getattr(self, port.asked_by)
        number: int | None = getattr(self.ports, port.name) if port.path and is_open else None
        return number

    def components(self, host: str) -> list[str]:
        """The components of a host, in the order of deployment."""
        names = [component.name for component in COMPONENTS]
        return [name for name in names if any(member.name == host for member in self.of(name))]

    def installed(self, host: Host) -> list[Component]:
        """Components whose software a host needs: its own, and pgBackRest beside a database with backups."""
        return installed_on(self.components(host.name), [part.name for part in COMPONENTS if self.of(part.name)])
