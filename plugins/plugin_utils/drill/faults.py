# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults as data: whom they hit, what is done, how long it lasts, and what must hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Target(StrEnum):
    """Who is hit; roles are looked up in the cluster just before."""

    PRIMARY = "the primary (etcd is led elsewhere)"
    PRIMARY_LEADING_ETCD = "the primary, which leads etcd too"
    STANDBY = "each standby in turn"
    ALL_STANDBYS = "all standbys"
    ETCD_LEADER = "the host that leads etcd (not the primary)"
    ETCD_MAJORITY = "a majority of etcd's members"
    VIP_HOLDER = "the balancer that holds the virtual IP"
    BACKUP_HOST = "the repository host"
    CLUSTER = "every host of the cluster"
    ONE_BY_ONE = "every host of the cluster, one after the other"


class Scope(StrEnum):
    """Whom an isolated host no longer reaches."""

    EVERYBODY = "everybody"
    PEERS = "every host of the cluster but the balancers"
    ETCD = "etcd"
    STANDBYS = "the standbys' replication"


class Until(StrEnum):
    """What ends the fault, between its least and its most seconds."""

    WRITES = "writes flow again"
    FAILOVER = "writes flow again, on another member"
    TIME = "its time is over"


@dataclass(frozen=True, slots=True)
class PowerOff:
    """The link is cut, then the host goes off."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """The host's processes stand still; its kernel does not."""


@dataclass(frozen=True, slots=True)
class Isolate:
    """Packets are dropped; one way means that the host still hears, but is not heard."""

    scope: Scope
    one_way: bool = False


@dataclass(frozen=True, slots=True)
class Kill:
    """A process gets a signal: postmaster, backend, or the main process or all processes of a unit."""

    what: str
    signal: str = "KILL"


@dataclass(frozen=True, slots=True)
class ServiceDown:
    """A unit is killed and may not start."""

    unit: str


@dataclass(frozen=True, slots=True)
class FillDisk:
    """The volume of the data directory, or of its WAL, has no block left."""

    wal: bool


@dataclass(frozen=True, slots=True)
class Switchover:
    """Patroni is asked to let another member lead."""


@dataclass(frozen=True, slots=True)
class Reboot:
    """The hosts are shut down and started in order, each after the last one is back."""


Action = PowerOff | Freeze | Isolate | Kill | ServiceDown | FillDisk | Switchover | Reboot


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. on_hosts and in_containers tell people how; in_containers is "" where it can't be done safely."""

    name: str
    title: str
    target: Target
    action: Action
    until: Until
    least: float
    most: float
    on_hosts: str
    in_containers: str
    invariants: tuple[str, ...]
    needs: tuple[str, ...] = ("etcd", "postgresql")


NO_LOSS = "no acknowledged row is lost"
ONE_PRIMARY = "never two members that acknowledge writes"
ONE_HOLDER = "never two balancers with the virtual IP beyond the advert window"
READS_STAY = "readers are served"
WRITES_STAY = "writers are served"
REJOINED = "everybody is back afterwards, archiving included"
ALWAYS = (NO_LOSS, ONE_PRIMARY, ONE_HOLDER, REJOINED)

POWER_ON_HOSTS = "nft drops everything, then sysrq b: a reset, the host boots again by itself"
POWER_IN_CONTAINERS = "the links are set down inside, then the engine kills the container; later it starts it"
FREEZE_ON_HOSTS = "systemctl freeze (cgroup freezer) of patroni and etcd with all that runs in them; thawed later"
FREEZE_IN_CONTAINERS = "the engine pauses the container, later unpauses it"
NFT = "nft drops packets in tables holdfast_drill; SSH from the controller and loopback stay open"
SIGNAL = "a signal to the process"
MASKED = "systemctl mask --runtime and kill, later unmask and start"
API = "POST /switchover to Patroni"


def _power(name: str, title: str, target: Target, until: Until, *, needs: tuple[str, ...], most: float = 90.0) -> Fault:
    least = most if until is Until.TIME else 5.0
    return Fault(
        name, title, target, PowerOff(), until, least, most, POWER_ON_HOSTS, POWER_IN_CONTAINERS, ALWAYS, needs
    )


def _isolated(name: str, title: str, scope: Scope, until: Until, *, one_way: bool = False) -> Fault:
    least, most = (10.0, 60.0) if until is Until.FAILOVER else (20.0, 20.0)
    return Fault(name, title, Target.PRIMARY, Isolate(scope, one_way), until, least, most, NFT, NFT, ALWAYS, DATABASES)


DATABASES = ("etcd", "postgresql")
BACKUP = ("backup",)
BALANCERS = ("haproxy", "keepalived")

_FAULTS = (
    _power("primary_power_loss", "the primary loses power", Target.PRIMARY, Until.FAILOVER, needs=DATABASES),
    _power(
        "primary_etcd_leader_power_loss",
        "the primary, which also leads etcd, loses power",
        Target.PRIMARY_LEADING_ETCD,
        Until.FAILOVER,
        needs=DATABASES,
    ),
    Fault(
        "primary_hang",
        "the primary freezes, and thaws later",
        Target.PRIMARY,
        Freeze(),
        Until.FAILOVER,
        5.0,
        90.0,
        FREEZE_ON_HOSTS,
        FREEZE_IN_CONTAINERS,
        ALWAYS,
    ),
    _isolated("primary_isolated", "the primary is cut off from everybody", Scope.EVERYBODY, Until.FAILOVER),
    _isolated(
        "primary_cut_from_peers",
        "the primary is cut off from its peers, the balancers still reach it",
        Scope.PEERS,
        Until.FAILOVER,
    ),
    _isolated("primary_cut_from_etcd", "the primary is cut off from etcd only", Scope.ETCD, Until.FAILOVER),
    _isolated("primary_cut_from_standbys", "the primary is cut off from its standbys only", Scope.STANDBYS, Until.TIME),
    _isolated(
        "primary_cut_one_way",
        "the primary hears its peers, they don't hear it",
        Scope.PEERS,
        Until.FAILOVER,
        one_way=True,
    ),
    Fault(
        "postmaster_killed",
        "the primary's postmaster is killed",
        Target.PRIMARY,
        Kill("postmaster"),
        Until.WRITES,
        5.0,
        60.0,
        SIGNAL,
        SIGNAL,
        ALWAYS,
    ),
    Fault(
        "patroni_killed",
        "the primary's Patroni is killed",
        Target.PRIMARY,
        Kill("patroni.service"),
        Until.WRITES,
        10.0,
        60.0,
        SIGNAL,
        SIGNAL,
        (*ALWAYS, WRITES_STAY),
    ),
    Fault(
        "backend_segfault",
        "a backend of the primary crashes",
        Target.PRIMARY,
        Kill("backend", "SEGV"),
        Until.WRITES,
        5.0,
        60.0,
        SIGNAL,
        SIGNAL,
        ALWAYS,
    ),
    Fault(
        "data_disk_full",
        "the volume of the primary's data directory is full",
        Target.PRIMARY,
        FillDisk(wal=False),
        Until.TIME,
        20.0,
        20.0,
        "fallocate takes what is free but for a reserve, which a writer then fills; removed later",
        "",
        ALWAYS,
    ),
    Fault(
        "wal_disk_full",
        "the volume of the primary's WAL is full",
        Target.PRIMARY,
        FillDisk(wal=True),
        Until.TIME,
        20.0,
        20.0,
        "fallocate takes what is free on the volume of pg_wal; removed later",
        "",
        ALWAYS,
    ),
    Fault(
        "switchover",
        "a planned switchover",
        Target.PRIMARY,
        Switchover(),
        Until.FAILOVER,
        3.0,
        60.0,
        API,
        API,
        ALWAYS,
    ),
    _power("standby_lost", "a standby loses power", Target.STANDBY, Until.TIME, needs=DATABASES, most=15.0),
    _power(
        "both_standbys_lost", "all standbys lose power", Target.ALL_STANDBYS, Until.TIME, needs=DATABASES, most=25.0
    ),
    Fault(
        "etcd_leader_lost",
        "etcd's leader is killed and stays down",
        Target.ETCD_LEADER,
        ServiceDown("etcd.service"),
        Until.TIME,
        15.0,
        15.0,
        MASKED,
        MASKED,
        (*ALWAYS, WRITES_STAY),
    ),
    Fault(
        "etcd_quorum_lost",
        "etcd loses its quorum, and regains it",
        Target.ETCD_MAJORITY,
        ServiceDown("etcd.service"),
        Until.TIME,
        30.0,
        30.0,
        MASKED,
        MASKED,
        ALWAYS,
    ),
    _power("balancer_power_loss", "the active balancer loses power", Target.VIP_HOLDER, Until.WRITES, needs=BALANCERS),
    Fault(
        "haproxy_killed",
        "the active balancer's HAProxy is killed",
        Target.VIP_HOLDER,
        Kill("haproxy.service"),
        Until.WRITES,
        5.0,
        60.0,
        SIGNAL,
        SIGNAL,
        ALWAYS,
        BALANCERS,
    ),
    Fault(
        "keepalived_killed",
        "the active balancer's keepalived is killed",
        Target.VIP_HOLDER,
        Kill("keepalived.service"),
        Until.WRITES,
        10.0,
        60.0,
        SIGNAL,
        SIGNAL,
        ALWAYS,
        BALANCERS,
    ),
    Fault(
        "balancer_isolated",
        "the active balancer is cut off from everybody",
        Target.VIP_HOLDER,
        Isolate(Scope.EVERYBODY),
        Until.WRITES,
        10.0,
        60.0,
        NFT,
        NFT,
        ALWAYS,
        BALANCERS,
    ),
    _power("backup_host_lost", "the repository loses power", Target.BACKUP_HOST, Until.TIME, needs=BACKUP, most=20),
    _power(
        "whole_cluster_power_loss",
        "every host loses power, and all start cold",
        Target.CLUSTER,
        Until.TIME,
        needs=DATABASES,
        most=5.0,
    ),
    Fault(
        "rolling_reboot",
        "every host is rebooted, one after the other",
        Target.ONE_BY_ONE,
        Reboot(),
        Until.TIME,
        0.0,
        0.0,
        "systemctl reboot, then the gate, then the next host",
        "the engine stops and starts the container, then the gate, then the next",
        ALWAYS,
    ),
)

CATALOGUE: Mapping[str, Fault] = {fault.name: fault for fault in _FAULTS}
