# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The observed state of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.maintenance import Maintenance
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.outlook import Outlook

AUTHORITY = "ca.crt"
"""The file of the authorities, among a host's certificates."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds of problems: lag in bytes; ages of backups, of their verification and of waiting WAL in seconds.

    job_margin: the seconds by which a job's last success may be older than its schedule requires. A certificate that
    ends within certificate_end seconds is a problem; one that ends within certificate_notice seconds is a notice.
    """

    lag: int
    full_age: int
    any_age: int
    verified_age: int
    queue_age: int
    job_margin: int
    certificate_end: int
    certificate_notice: int


@dataclass(frozen=True, slots=True)
class Host:
    """One host's report.

    ha: what the topology derived for it; unreachable: why it could not be asked, None when it could;
    probes: results of the info modules by name, a failed one has ``failed`` and ``msg``;
    own_roles: the SQL roles that are the collection's own.
    """

    name: str
    ha: Mapping[str, Any]
    unreachable: str | None
    probes: Mapping[str, Mapping[str, Any]]
    own_roles: tuple[str, ...] = ()

    def has(self, component: str) -> bool:
        """Say whether the host has a component."""
        return component in self.ha["components"]

    def answer(self, probe: str) -> Mapping[str, Any] | None:
        """Return the result of a probe, None when it failed or never ran."""
        result = self.probes.get(probe)
        return None if result is None or result.get("failed") else result

    def failure(self, probe: str) -> str | None:
        """Return the message of a failed probe, None when it succeeded or never ran."""
        result = self.probes.get(probe) or {}
        return str(result.get("msg") or "no answer") if result.get("failed") else None


@dataclass(frozen=True, slots=True)
class Member:
    """A PostgreSQL member; lag is bytes behind the leader, None when unknown."""

    name: str
    role: str
    state: str
    timeline: int | None
    lag: int | None
    synchronous: bool
    pending_restart: bool


@dataclass(frozen=True, slots=True)
class PostgreSql:
    """The members as a majority sees them; doubts are Patroni's own messages on problems.

    undeclared are the names of members that the inventory lacks.
    """

    leader: str | None
    paused: bool
    members: tuple[Member, ...]
    doubts: tuple[str, ...]
    undeclared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EtcdMember:
    """An etcd member; error says why it isn't healthy, "" when it is."""

    name: str
    healthy: bool
    leader: bool
    version: str
    error: str


@dataclass(frozen=True, slots=True)
class Etcd:
    """The etcd cluster, and whether it refuses clients without password or without TLS; None when unknown.

    members are the inventory's. undeclared are the names of other members, which count for the quorum.
    """

    members: tuple[EtcdMember, ...]
    authentication: bool | None
    tls: bool | None
    undeclared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VirtualIp:
    """A virtual IP and the balancers that hold it."""

    name: str
    address: str
    holders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool as one balancer sees it; expected are the servers that should be up, None when unknown.

    held are those of down that are drained or in maintenance at HAProxy.
    """

    name: str
    port: int
    balancer: str
    up: tuple[str, ...]
    down: tuple[str, ...]
    expected: tuple[str, ...] | None
    held: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Backup:
    """The newest backup of a type; age in seconds, size in bytes in the repository."""

    type: str
    label: str
    age: int
    size: int | None


@dataclass(frozen=True, slots=True)
class Verification:
    """The last verified restore of a backup; its age and duration in seconds, None before the first one."""

    result: str
    error: str
    backup: str
    age: int | None
    passed_age: int | None
    canary_age: int | None
    seconds: float
    megabytes_per_second: float


@dataclass(frozen=True, slots=True)
class ArchiveQueue:
    """The WAL files on a host that wait to be archived, the oldest for age seconds; error is pgBackRest's or ""."""

    host: str
    waiting: int
    age: int | None
    error: str


@dataclass(frozen=True, slots=True)
class Store:
    """The backups in one repository; name distinguishes it from others, state is pgBackRest's status of the stanza."""

    name: str
    state: str
    backups: tuple[Backup, ...]


@dataclass(frozen=True, slots=True)
class Repository:
    """The backups of a cluster, in one or several repositories; check is the outcome of pgBackRest's, "" if not run.

    verification is None where none is scheduled; queue is the leader's, None when unknown. silent are the database
    hosts that answer but whose pgBackRest server does not.
    """

    host: str
    stores: tuple[Store, ...]
    check: str
    verification: Verification | None = None
    queue: ArchiveQueue | None = None
    silent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A scheduled job; age is that of its last run, success_age that of its last success, or of its timer before that.

    result is "" before the first run. allowed is the greatest success_age that its schedule permits, None when unknown.
    """

    host: str
    name: str
    scheduled: bool
    running: bool
    result: str
    exit_status: str
    age: int | None
    seconds: float | None
    success_age: int | None
    allowed: int | None
    consecutive_failures: int = 0


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate's file on a host; remaining: seconds until its end, None if it can't be read (see error)."""

    host: str
    name: str
    remaining: int | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Package:
    """A package that waits for an update; security says whether the update comes from a security suite."""

    name: str
    installed: str
    candidate: str
    security: bool


@dataclass(frozen=True, slots=True)
class Updates:
    """What waits on a host: its packages, the units that run what was replaced, and why it must reboot.

    units are the running ones with the reasons for their restart; reboot is empty when none is due.
    """

    host: str
    packages: tuple[Package, ...]
    units: tuple[tuple[str, tuple[str, ...]], ...]
    reboot: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Protection:
    """What upgrades by others may do on a host; see holdfast.ha.protection_info."""

    host: str
    policy: str
    unprotected: tuple[str, ...]
    upgradable: tuple[str, ...]
    restarts: bool
    reboots: bool


@dataclass(frozen=True, slots=True)
class Redundancy:
    """A part's members: their number, those that are down, and how many more the part can lose.

    spare is 0 when the next loss stops the part, -1 when it is stopped already.
    """

    name: str
    total: int
    lost: tuple[str, ...]
    spare: int

    @property
    def standing(self) -> str:
        """How many are up, such as "2 of 3 are up"."""
        return f"{self.total - len(self.lost)} of {self.total} are up"


@dataclass(frozen=True, slots=True)
class Cluster:
    """The state of one cluster; a part is None where the topology lacks it."""

    name: str
    hosts: tuple[Host, ...]
    postgresql: PostgreSql | None
    etcd: Etcd | None
    virtual_ips: tuple[VirtualIp, ...]
    pools: tuple[Pool, ...]
    repository: Repository | None
    outlook: Outlook | None = None
    jobs: tuple[Job, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    redundancy: tuple[Redundancy, ...] = ()
    updates: tuple[Updates, ...] = ()
    protection: tuple[Protection, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()

    @property
    def in_maintenance(self) -> frozenset[str]:
        """The hosts that are meant to be out, by their marks."""
        return frozenset(item.host for item in self.maintenance if item.agreed)


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem: its subject, its description and its fix."""

    subject: str
    text: str
    fix: str
