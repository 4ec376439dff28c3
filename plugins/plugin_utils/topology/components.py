# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of components: the collection's knowledge of each, besides its role and its playbook.

A component is a service that a cluster runs on some of its hosts. This module is pure data without imports, so that the
topology, the preflight, the secrets file and the comparison with the deployed state can read it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Port:
    """A TCP port that a component listens on.

    C(name): a key of C(clusters.<name>.ports), found in C(ha) at C(path); without a path a variable of the role.
    C(service): the program that listens. C(binds): to C(all) addresses, to the host's C(own) and the loopback one, or
    to C(chosen) ones, which only the role knows. C(is_tls): whether it presents the host's certificate and looks at
    that of a client. C(is_database): whether clients reach PostgreSQL on it. C(asked_by): the field of the cluster, and
    key of C(ha), without which it is closed. C(users): the components whose hosts connect to it, and C(clients) for the
    networks of the cluster's clients.
    """

    name: str
    service: str
    path: str = ""
    binds: Literal["all", "own", "chosen"] = "all"
    is_tls: bool = True
    is_database: bool = False
    asked_by: str = ""
    users: tuple[str, ...] = ()


@dataclass(frozen=True)
class Secret:
    """A key of C(ha_secrets).

    C(ends): the components whose hosts must all take part when it changes. C(stored): the files on hosts that hold it,
    besides Patroni's. C(sql_role): the variable with the name of its SQL role. C(etcd_user): the etcd user with this
    password. C(standin): whether services hold this login, so that another one stands in for it while it changes.
    C(needs_service): whether only a running service can replace the value. C(in_place): whether it can be replaced.
    """

    name: str
    ends: tuple[str, ...] = ()
    stored: str = ""
    sql_role: str = ""
    etcd_user: str = ""
    standin: bool = False
    needs_service: bool = False
    in_place: bool = True

    @property
    def is_login(self) -> bool:
        """Whether it opens a login that all hosts share."""
        return bool(self.sql_role or self.etcd_user)


Moment = Literal["start", "reload", "always"]


@dataclass(frozen=True)
class Reads:
    """When a service reads the authorities that it trusts, and its own certificate with its key.

    At its C(start), also at a C(reload), or C(always) when it needs them. C(amended): it reads the authorities at a
    reload only with the collection's amendments. C(guarded): only its own module restarts it.
    """

    authorities: Moment
    certificate: Moment
    amended: bool = False
    guarded: bool = False


@dataclass(frozen=True)
class Component:
    """A component.

    C(roles): the role that runs it, then others whose packages it needs. C(packages): its own, where its role runs
    several components.

    Hosts: those of a user's group, which C(groups) of the topology names by C(group), or by the component's name. Where
    C(beside) names components, they are the hosts of the first one, if the cluster has all of these and sets the field
    C(asked_by). With C(everywhere) they are all hosts of a cluster that sets the field. C(installed_beside): hosts of
    the named component also get this one's packages and ports, if the cluster has a host of this one.

    C(units): those that may own its ports; the first one is its service. C(configuration): the file that identifies a
    host which left the group.

    Only playbooks upgrade and restart what it runs: C(units) and C(other_units), patterns with C(*), and its roles'
    packages and C(other_packages), regular expressions of what is built together with them.

    C(reads): when its service reads certificates; without it, it reads none, or does not keep them. C(is_client): its
    hosts need a certificate for clients. C(behind_vips): clients of the virtual addresses see its
    certificate.
    C(sql_roles): variables that name its SQL roles, with their defaults. C(databases): names that it reserves.
    C(wired): variables that the playbooks set, with the setting to use instead.
    """

    name: str
    roles: tuple[str, ...]
    packages: tuple[str, ...] = ()
    group: str = ""
    beside: tuple[str, ...] = ()
    everywhere: bool = False
    asked_by: str = ""
    installed_beside: str = ""
    units: tuple[str, ...] = ()
    other_units: tuple[str, ...] = ()
    other_packages: tuple[str, ...] = ()
    configuration: str = ""
    ports: tuple[Port, ...] = ()
    secrets: tuple[Secret, ...] = ()
    reads: Reads | None = None
    is_client: bool = False
    behind_vips: bool = False
    sql_roles: Mapping[str, str] = field(default_factory=dict)
    databases: tuple[str, ...] = ()
    wired: Mapping[str, str] = field(default_factory=dict)

    @property
    def role(self) -> str:
        """The role that runs it."""
        return self.roles[0]

    @property
    def is_grouped(self) -> bool:
        """Whether a group of the user's has its hosts."""
        return not self.beside and not self.everywhere

    @property
    def key(self) -> str:
        """The key of C(groups) in the topology that names this group."""
        return self.group or self.name


DECLARE = "declare it in clusters.<name>"
MONITOR = "prometheus"
"""The operating system's user that reads statistics of PostgreSQL and PgBouncer, and its SQL role."""


def _exporter(name: str, *beside: str, sql_roles: Mapping[str, str] | None = None) -> Component:
    """An exporter of Debian's: on all hosts, or beside another component."""
    return Component(
        f"{name}_exporter",
        roles=("exporters",),
        packages=(f"prometheus-{name}-exporter",),
        beside=beside,
        everywhere=not beside,
        asked_by="monitoring",
        units=(f"holdfast-{name}-exporter.service",),
        other_units=(f"prometheus-{name}-exporter.service",),
        ports=(
            Port(
                f"{name}_exporter",
                f"the {name} exporter",
                f"monitoring.ports.{name}_exporter",
                binds="own",
                users=("prometheus",),
            ),
        ),
        reads=Reads("start", "start"),
        sql_roles=sql_roles or {},
    )


COMPONENTS = (
    Component(
        "etcd",
        roles=("etcd",),
        units=("etcd.service",),
        configuration="/etc/default/etcd",
        ports=(
            Port("etcd_client", "etcd", "etcd.client_port", users=("etcd", "postgresql", "prometheus")),
            Port("etcd_peer", "etcd", "etcd.peer_port", users=("etcd",)),
        ),
        secrets=(
            Secret(
                "etcd_root",
                stored="/etc/holdfast/jobs/*.json",
                etcd_user="root",
                standin=True,
                needs_service=True,
            ),
        ),
        reads=Reads("start", "always", guarded=True),
        is_client=True,
        wired={
            "etcd_client_port": f"{DECLARE}.ports.etcd_client",
            "etcd_peer_port": f"{DECLARE}.ports.etcd_peer",
        },
    ),
    Component(
        "postgresql",
        roles=("patroni", "postgresql_objects"),
        units=("patroni.service",),
        other_units=("patroni@*.service", "postgresql.service", "postgresql@*.service"),
        other_packages=("postgresql(-.*)?", "libpq5"),
        configuration="/etc/patroni/config.yml",
        ports=(
            Port(
                "postgresql",
                "postgresql",
                "postgresql.port",
                is_database=True,
                users=("postgresql", "haproxy", "clients"),
            ),
            Port(
                "patroni",
                "patroni",
                "postgresql.rest_port",
                users=("postgresql", "haproxy", "etcd", "prometheus"),
            ),
        ),
        secrets=(
            Secret("etcd_patroni", ends=("etcd", "postgresql"), etcd_user="patroni", standin=True),
            Secret("patroni_rest", ends=("postgresql",)),
            Secret(
                "postgresql_replication",
                ends=("postgresql",),
                sql_role="patroni_replication_username",
                standin=True,
                needs_service=True,
            ),
            Secret(
                "postgresql_rewind",
                ends=("postgresql",),
                sql_role="patroni_rewind_username",
                standin=True,
                needs_service=True,
            ),
            # Patroni itself logs in over the socket, without a password.
            Secret(
                "postgresql_superuser",
                ends=("postgresql",),
                sql_role="patroni_superuser_username",
                needs_service=True,
            ),
        ),
        reads=Reads("reload", "reload", amended=True),
        is_client=True,
        behind_vips=True,
        sql_roles={
            "patroni_superuser_username": "postgres",
            "patroni_replication_username": "replicator",
            "patroni_rewind_username": "rewinder",
        },
        wired={
            "patroni_hba_clients": f"{DECLARE}.clients",
            "patroni_port": f"{DECLARE}.ports.postgresql",
            "patroni_postgresql_version": f"{DECLARE}.postgresql_version",
            "patroni_standins": "rotate.yml sets it",
            "patroni_rest_port": f"{DECLARE}.ports.patroni",
            "postgresql_objects_databases": f"{DECLARE}.databases",
            "postgresql_objects_extensions": f"{DECLARE}.extensions",
            "postgresql_objects_login_user": "the superuser has a fixed name",
            "postgresql_objects_passwords": "set ha_role_passwords",
            "postgresql_objects_roles": f"{DECLARE}.roles",
        },
    ),
    Component(
        "lease_watcher",
        roles=("lease_watcher",),
        beside=("etcd", "postgresql"),
        asked_by="lease_watch",
        units=("holdfast-lease-watcher.service",),
        secrets=(
            Secret(
                "etcd_lease_watcher",
                ends=("etcd", "lease_watcher"),
                stored="/etc/holdfast/lease-watcher.json",
                etcd_user="lease_watcher",
                standin=True,
            ),
        ),
        reads=Reads("start", "always"),
        wired={
            "lease_watcher_username": "etcd's user has a fixed name",
            "lease_watcher_password": "set ha_secrets.etcd_lease_watcher",
            "lease_watcher_seconds": f"{DECLARE}.lease_watch",
            "lease_watcher_state": f"{DECLARE}.lease_watch",
        },
    ),
    Component(
        "haproxy",
        roles=("haproxy",),
        units=("haproxy.service",),
        configuration="/etc/haproxy/haproxy.cfg",
        ports=(
            Port("haproxy_stats_port", "haproxy", binds="chosen", is_tls=False),
            Port("haproxy_monitor_port", "haproxy", binds="chosen", is_tls=False),
            Port(
                "haproxy_metrics",
                "haproxy",
                "monitoring.ports.haproxy_metrics",
                binds="own",
                asked_by="monitoring",
                users=("prometheus",),
            ),
        ),
        secrets=(Secret("haproxy_stats", stored="/etc/haproxy/haproxy.cfg"),),
        reads=Reads("reload", "reload"),
        wired={
            "haproxy_metrics_addresses": f"{DECLARE}.monitoring",
            "haproxy_metrics_port": f"{DECLARE}.ports.haproxy_metrics",
            "haproxy_pools": f"{DECLARE}.pools",
            "haproxy_stats_password": "set ha_secrets.haproxy_stats",
        },
    ),
    Component(
        "keepalived",
        roles=("keepalived",),
        beside=("haproxy",),
        asked_by="vips",
        units=("keepalived.service",),
        other_packages=("libnftables1",),
        configuration="/etc/keepalived/keepalived.conf",
        wired={
            "keepalived_instances": f"{DECLARE}.vips",
            "keepalived_sync_groups": f"{DECLARE}.vrrp_sync_groups",
        },
    ),
    Component(
        "pgbouncer",
        roles=("pgbouncer",),
        beside=("postgresql",),
        asked_by="pooler",
        units=("holdfast-pgbouncer.service", "pgbouncer.service"),
        ports=(
            Port(
                "pgbouncer",
                "pgbouncer",
                "pooler.port",
                binds="own",
                is_database=True,
                users=("postgresql", "haproxy", "clients"),
            ),
        ),
        secrets=(
            Secret(
                "pgbouncer",
                ends=("postgresql", "pgbouncer"),
                stored="/etc/holdfast/pgbouncer-users.txt",
                sql_role="pgbouncer_auth_username",
                standin=True,
            ),
        ),
        reads=Reads("reload", "reload"),
        sql_roles={"pgbouncer_auth_username": "pgbouncer", "pgbouncer_admin_username": "holdfast"},
        databases=("pgbouncer",),
        wired={
            "pgbouncer_auth_username": "the pooler's role has a fixed name",
            "pgbouncer_clients": f"{DECLARE}.clients",
            "pgbouncer_mode": f"{DECLARE}.pooler.mode",
            "pgbouncer_password": "set ha_secrets.pgbouncer",
            "pgbouncer_port": f"{DECLARE}.ports.pgbouncer",
            "pgbouncer_standin": "rotate.yml sets it",
            "pgbouncer_state": f"{DECLARE}.pooler",
        },
    ),
    Component(
        "backup",
        roles=("pgbackrest",),
        installed_beside="postgresql",
        units=("pgbackrest.service",),
        other_units=("pgbackrest-backup@*.service",),
        ports=(Port("pgbackrest_tls_port", "pgbackrest", users=("backup", "postgresql")),),
        secrets=(Secret("pgbackrest_cipher", in_place=False),),
        reads=Reads("reload", "reload"),
        is_client=True,
    ),
    Component(
        "prometheus",
        roles=("prometheus",),
        group="monitoring",
        units=("prometheus.service",),
        ports=(Port("prometheus", "prometheus", "monitoring.ports.prometheus", users=("prometheus",)),),
        is_client=True,
        wired={
            "prometheus_alertmanagers": f"{DECLARE}.groups.monitoring",
            "prometheus_interval": f"{DECLARE}.monitoring.interval",
            "prometheus_port": f"{DECLARE}.ports.prometheus",
            "prometheus_probes": f"{DECLARE}.pools",
            "prometheus_targets": f"{DECLARE}.groups",
        },
    ),
    Component(
        "alertmanager",
        roles=("alertmanager",),
        beside=("prometheus",),
        asked_by="monitoring",
        units=("prometheus-alertmanager.service",),
        ports=(Port("alertmanager", "alertmanager", "monitoring.ports.alertmanager", users=("prometheus",)),),
        wired={"alertmanager_port": f"{DECLARE}.ports.alertmanager"},
    ),
    Component(
        "metrics",
        roles=("metrics",),
        everywhere=True,
        asked_by="monitoring",
        units=("holdfast-metrics.service",),
        wired={"metrics_state": f"{DECLARE}.monitoring"},
    ),
    _exporter("node"),
    _exporter("postgres", "postgresql", sql_roles={"exporters_username": MONITOR}),
    _exporter("pgbouncer", "pgbouncer"),
    _exporter("pgbackrest", "backup"),
    _exporter("blackbox", "prometheus"),
)
"""All components, in the order of deployment."""

MONITORS = ("prometheus", *(component.name for component in COMPONENTS if component.asked_by == "monitoring"))
"""The components of the monitoring."""

EXPORTERS = tuple(name.removesuffix("_exporter") for name in MONITORS if name.endswith("_exporter"))
"""The exporters, without the ending of their components' names."""

COMMON_ROLE = "certificates"
"""The role that every host of a cluster needs."""

FIREWALL_ROLE = "firewall"
"""The role that every host of a cluster with a firewall needs."""

PACKAGE_ROLES = tuple(
    dict.fromkeys((COMMON_ROLE, FIREWALL_ROLE, *(role for component in COMPONENTS for role in component.roles)))
)
"""Roles with a variable for their packages, to which a host's own variable adds."""

ROLES = (*PACKAGE_ROLES, "backup_jobs", "connections", "job_record", "journal", "packages", "restore_verify")
"""Roles whose variables are checked; each variable begins with its role's name."""

SECRETS = tuple(secret for component in COMPONENTS for secret in component.secrets)

ROLE_PASSWORDS = "ha_role_passwords"
"""The variable with the passwords of the users' own SQL roles."""

SECRET_VARIABLES = ("ha_secrets", ROLE_PASSWORDS)

FORMER_SECRETS = {variable: f"{variable}_previous" for variable in SECRET_VARIABLES}
"""The variables with the former values of secrets that are being rotated."""

ETCD_USERS = {secret.name: secret.etcd_user for secret in SECRETS if secret.etcd_user}
"""etcd's users by the secret with their password, the superuser first."""

SQL_ROLES = {variable: name for component in COMPONENTS for variable, name in component.sql_roles.items()}
"""Variables that name the collection's own SQL roles, and their defaults."""


def installed_on(components: Collection[str], everywhere: Collection[str]) -> list[Component]:
    """The components whose software a host needs: its own C(components), and those installed beside them.

    C(everywhere): the components of all hosts of its cluster.
    """
    return [
        component
        for component in COMPONENTS
        if component.name in components or (component.installed_beside in components and component.name in everywhere)
    ]


def packages_variable(role: str) -> str:
    """The variable of a role that holds its packages."""
    return f"{role}_packages"
