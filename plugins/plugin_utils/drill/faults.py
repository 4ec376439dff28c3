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
class Suspend:
    """The main process of a unit stands still; what it started goes on."""

    unit: str


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
    """Another member is to lead, in order, as users do it."""


@dataclass(frozen=True, slots=True)
class Reboot:
    """The hosts are shut down and started in order, each after the last one is back."""


Action = PowerOff | Freeze | Suspend | Isolate | Kill | ServiceDown | FillDisk | Switchover | Reboot


@dataclass(frozen=True, slots=True)
class Lasting:
    """What ends a fault, and after how many seconds at the least and at the most."""

    until: Until
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: its name, whom it hits, what is done, how long it lasts, and what happens, in words."""

    name: str
    target: Target
    action: Action
    lasting: Lasting
    title: str

    @property
    def on_hosts(self) -> str:
        """How it is done on real hosts, for people."""
        return HOW[type(self.action)][0]

    @property
    def in_containers(self) -> str:
        """How it is done in containers, for people."""
        return HOW[type(self.action)][1]

    @property
    def needs(self) -> tuple[str, ...]:
        """The components without which nobody could be hit."""
        return NEEDS.get(self.target, ("etcd", "postgresql"))


ALWAYS = (
    "no acknowledged row is lost",
    "never two members that acknowledge writes",
    "never two balancers with the virtual IP beyond the advert window",
    "everybody is back afterwards, archiving included",
)
"""What must hold around every fault, for people; ..invariants judges it."""

NEEDS: Mapping[Target, tuple[str, ...]] = {
    Target.VIP_HOLDER: ("haproxy", "keepalived"),
    Target.BACKUP_HOST: ("backup",),
}

NFT = "nft drops packets in tables holdfast_drill; SSH from the controller and loopback stay open"
SIGNAL = "a signal to the process"
STOPPED = "SIGSTOP to the unit's main process alone, later SIGCONT"
MASKED = "systemctl mask --runtime and kill, later unmask and start"
API = "as playbooks/switchover.yml does, poolers held where there are some"
FILLED = "fallocate takes what is free on a volume of its own, a writer fills the rest; removed later"
HOW: Mapping[type[Action], tuple[str, str]] = {  # on real hosts, in containers
    PowerOff: (
        "nft drops everything, then sysrq b: a reset, the host boots again by itself",
        "the links are set down inside, then the engine kills the container; later it starts it",
    ),
    Freeze: (
        "systemctl freeze (cgroup freezer) of patroni and etcd with all that runs in them; thawed later",
        "the engine pauses the container, later unpauses it",
    ),
    Suspend: (STOPPED, STOPPED),
    Isolate: (NFT, NFT),
    Kill: (SIGNAL, SIGNAL),
    ServiceDown: (MASKED, MASKED),
    FillDisk: (FILLED, FILLED),
    Switchover: (API, API),
    Reboot: (
        "systemctl reboot, then the gate, then the next host",
        "the engine stops and starts the container, then the gate, then the next",
    ),
}


def seconds(number: float) -> Lasting:
    """Return what lasts for its time."""
    return Lasting(Until.TIME, number, number)


def writes(least: float, most: float) -> Lasting:
    """Return what lasts until writes flow again."""
    return Lasting(Until.WRITES, least, most)


def failover(least: float, most: float) -> Lasting:
    """Return what lasts until writes flow again on another member."""
    return Lasting(Until.FAILOVER, least, most)


# fmt: off
_FAULTS = (
    # The primary
    Fault("primary_power_loss", Target.PRIMARY, PowerOff(), failover(5, 90),
          "the primary loses power"),
    Fault("primary_etcd_leader_power_loss", Target.PRIMARY_LEADING_ETCD, PowerOff(), failover(5, 90),
          "the primary, which also leads etcd, loses power"),
    Fault("primary_hang", Target.PRIMARY, Freeze(), failover(5, 90),
          "the primary freezes, and thaws later"),
    Fault("patroni_hang", Target.PRIMARY, Suspend("patroni.service"), failover(10, 90),
          "the primary's Patroni hangs, its PostgreSQL goes on"),
    Fault("primary_isolated", Target.PRIMARY, Isolate(Scope.EVERYBODY), failover(10, 60),
          "the primary is cut off from everybody"),
    Fault("primary_cut_from_peers", Target.PRIMARY, Isolate(Scope.PEERS), failover(10, 60),
          "the primary is cut off from its peers, the balancers still reach it"),
    Fault("primary_cut_from_etcd", Target.PRIMARY, Isolate(Scope.ETCD), failover(10, 60),
          "the primary is cut off from etcd only"),
    Fault("primary_cut_from_standbys", Target.PRIMARY, Isolate(Scope.STANDBYS), seconds(20),
          "the primary is cut off from its standbys only"),
    Fault("primary_cut_one_way", Target.PRIMARY, Isolate(Scope.PEERS, one_way=True), failover(10, 60),
          "the primary hears its peers, they don't hear it"),
    Fault("postmaster_killed", Target.PRIMARY, Kill("postmaster"), writes(5, 60),
          "the primary's postmaster is killed"),
    Fault("patroni_killed", Target.PRIMARY, Kill("patroni.service"), writes(10, 60),
          "the primary's Patroni is killed"),
    Fault("backend_segfault", Target.PRIMARY, Kill("backend", "SEGV"), writes(5, 60),
          "a backend of the primary crashes"),
    Fault("data_disk_full", Target.PRIMARY, FillDisk(wal=False), seconds(20),
          "the volume of the primary's data directory is full"),
    Fault("wal_disk_full", Target.PRIMARY, FillDisk(wal=True), seconds(20),
          "the volume of the primary's WAL is full"),
    Fault("switchover", Target.PRIMARY, Switchover(), failover(3, 60),
          "a planned switchover"),
    # The standbys
    Fault("standby_lost", Target.STANDBY, PowerOff(), seconds(15),
          "a standby loses power"),
    Fault("both_standbys_lost", Target.ALL_STANDBYS, PowerOff(), seconds(25),
          "all standbys lose power"),
    # etcd
    Fault("etcd_leader_lost", Target.ETCD_LEADER, ServiceDown("etcd.service"), seconds(15),
          "etcd's leader is killed and stays down"),
    Fault("etcd_quorum_lost", Target.ETCD_MAJORITY, ServiceDown("etcd.service"), seconds(30),
          "etcd loses its quorum, and regains it"),
    # The balancers
    Fault("balancer_power_loss", Target.VIP_HOLDER, PowerOff(), writes(5, 90),
          "the active balancer loses power"),
    Fault("haproxy_killed", Target.VIP_HOLDER, Kill("haproxy.service"), writes(5, 60),
          "the active balancer's HAProxy is killed"),
    Fault("keepalived_killed", Target.VIP_HOLDER, Kill("keepalived.service"), writes(10, 60),
          "the active balancer's keepalived is killed"),
    Fault("balancer_isolated", Target.VIP_HOLDER, Isolate(Scope.EVERYBODY), writes(10, 60),
          "the active balancer is cut off from everybody"),
    # The repository, and the whole
    Fault("backup_host_lost", Target.BACKUP_HOST, PowerOff(), seconds(20),
          "the repository loses power"),
    Fault("whole_cluster_power_loss", Target.CLUSTER, PowerOff(), seconds(5),
          "every host loses power, and all start cold"),
    Fault("rolling_reboot", Target.ONE_BY_ONE, Reboot(), seconds(0),
          "every host is rebooted, one after the other"),
)
# fmt: on

CATALOGUE: Mapping[str, Fault] = {fault.name: fault for fault in _FAULTS}
