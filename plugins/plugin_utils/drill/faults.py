# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults, one record each: target, action, duration, budget and prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.action import Action
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.disk import FillDisk
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.isolation import Isolate, Scope
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.power import Freeze, PowerOff, Reboot
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.processes import Kill, ServiceDown, Suspend
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.switchover import Switchover
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import budgets
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.alerts import Alerts, Due
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.budgets import until_healed, within
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Budget
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto import model as rto
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.model import Course


class Target(StrEnum):
    """The target; the drill looks roles up in the cluster just before the injection."""

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


class Takes(StrEnum):
    """The redundancy that is lost while a fault lasts."""

    PRIMARY = "the primary's host, with its etcd member"
    BALANCER = "a balancer"


class Until(StrEnum):
    """The condition that ends a fault, between its minimum and maximum seconds."""

    WRITES = "writes flow again"
    FAILOVER = "writes flow again on another member"
    TIME = "its time is over"


@dataclass(frozen=True, slots=True)
class Lasting:
    """The end condition of a fault, with its minimum and maximum seconds."""

    until: Until
    least: float
    most: float

    def __str__(self) -> str:
        if self.least == self.most:
            return f"{self.most:g} s" if self.most else ""
        return f"{self.least:g} to {self.most:g} s, until {self.until}"


@dataclass(frozen=True, slots=True)
class Fault:
    """The complete declaration of one fault.

    title: a description; target: the hosts; action: the harm; lasting: the duration, in a monitored cluster also until
    the alerts fire; budget: the permitted outage; course: how the cluster recovers, on which the prediction is based,
    or why there is none; alerts: those that must and may fire, no other one; takes: the redundancy that is lost
    meanwhile; headline: whether the status shows the prediction.
    """

    name: str
    title: str
    target: Target
    action: Action
    lasting: Lasting
    budget: budgets.Rule
    course: Course | str
    alerts: Alerts
    takes: Takes | None = None
    headline: bool = False

    def sentences(self, containers: bool) -> str:
        """Return a description of the fault and its injection, for a report."""
        happens = f"{self.title[:1].upper()}{self.title[1:]}: {self.action.words(containers)}."
        return f"{happens} The fault lasts {self.lasting}." if str(self.lasting) else happens

    @property
    def needs_standby(self) -> bool:
        """Whether recovery needs a standby, to take over or to acknowledge."""
        return isinstance(self.course, Course) and rto.standby in self.course.needs

    @property
    def needs(self) -> tuple[str, ...]:
        """The components that the target requires."""
        return NEEDS.get(self.target, ("etcd", "postgresql"))


ALWAYS = (
    "no acknowledged row is lost",
    "never two members that acknowledge writes",
    "never two balancers with the virtual IP beyond the advert window",
    "every host is back afterwards, archiving included",
)
"""The invariants of every fault, as text; ..invariants judges them."""

NEEDS: Mapping[Target, tuple[str, ...]] = {
    Target.VIP_HOLDER: ("haproxy", "keepalived"),
    Target.BACKUP_HOST: ("backup",),
}


def seconds(number: float) -> Lasting:
    """Return a fixed duration."""
    return Lasting(Until.TIME, number, number)


def writes(least: float, most: float) -> Lasting:
    """Return a duration that ends when writes flow again."""
    return Lasting(Until.WRITES, least, most)


def failover(least: float, most: float) -> Lasting:
    """Return a duration that ends when writes flow again on another member."""
    return Lasting(Until.FAILOVER, least, most)


def taken_over(stages: rto.Stages) -> Course:
    """Return the course of a fault that makes a standby take over."""
    return Course(stages, (rto.standby, rto.failover))


def stalled(stages: rto.Stages) -> Course:
    """Return the course of a fault that makes commits wait for standbys."""
    return Course(stages, (rto.standby,))


def moved(stages: rto.Stages) -> Course:
    """Return the course of a fault that makes the virtual IP move."""
    return Course(stages, (rto.virtual_ip,))


SILENT = taken_over(partial(rto.after_silence, taken_out=rto.taken_out_silent))
UNHEARD = taken_over(partial(rto.after_silence, taken_out=rto.taken_out_demoted))

# The names and the seconds are those of the rules in roles/prometheus/files/rules.

LINGERING = frozenset({"EtcdElectsOften", "EtcdNetworkSlow", "JobFailed", "PostgreSQLRestarted", "PrimaryChanged"})
"""What is told for some time after it has happened, by any fault, or by several faults in a row."""
STALLED = frozenset({"NoPrimary", "PoolEmpty", "ProbeFails"})
"""What a long outage of the writes raises."""
MEMBER = frozenset({
    "EtcdNoSpare", "MemberDown", "NoStandby", "NoSynchronousStandby", "PatroniCutFromEtcd", "PoolerDown",
    "StandbyNotStreaming", "UnitDown",
})  # fmt: skip
"""What a database host raises that is lost, or comes back."""
BALANCER = frozenset({"OneBalancer", "ProbeFails", "UnitDown"})
EVERYTHING = STALLED | MEMBER | BALANCER | {"AddressLost", "EtcdNoQuorum", "HostDown", "RepositoryUnusable"}
NOTICED = 20.0
"""Seconds from the end of a rule's "for" until Alertmanager knows, beside the scrapes."""


def due(seconds: float, *names: str) -> Due:
    """Return that one of these alerts must fire, whose rules wait so many seconds."""
    return Due(names, seconds + NOTICED)


def raises(*must: Due, may: frozenset[str] = frozenset()) -> Alerts:
    """Return the alerts of a fault."""
    return Alerts(must, may, LINGERING)


NONE = raises()
HOST_DOWN = due(30, "HostDown")
PRIMARY_LOST = raises(HOST_DOWN, may=STALLED | MEMBER)
PRIMARY_CUT = raises(due(60, "HostDown", "PatroniCutFromEtcd"), may=STALLED | MEMBER)
CRASHED = raises(due(0, "PrimaryChanged", "PostgreSQLRestarted"), may=STALLED)
DISK_FULL = raises(due(60, "DiskNearlyFull"), may=STALLED | MEMBER)

# fmt: off
_FAULTS = (
    # The primary
    Fault(
        "primary_power_loss", "the primary loses power",
        Target.PRIMARY, PowerOff(), failover(5, 90),
        budget=within(lambda t: t.lease_takeover),
        course=SILENT,
        alerts=PRIMARY_LOST,
        takes=Takes.PRIMARY,
        headline=True,
    ),
    Fault(
        "primary_etcd_leader_power_loss", "the primary, which also leads etcd, loses power",
        Target.PRIMARY_LEADING_ETCD, PowerOff(), failover(5, 90),
        budget=within(lambda t: t.lease_takeover + budgets.ETCD_ELECTION),
        course=taken_over(rto.with_etcd_leader),
        alerts=PRIMARY_LOST,
        takes=Takes.PRIMARY,
        headline=True,
    ),
    Fault(
        "primary_hang", "the primary freezes, and thaws later",
        Target.PRIMARY, Freeze(), failover(5, 90),
        budget=within(lambda t: t.lease_takeover),
        course=SILENT,
        alerts=raises(due(60, "HostDown", "MemberDown"), may=STALLED | MEMBER),
        takes=Takes.PRIMARY,
    ),
    Fault(
        "patroni_hang", "the primary's Patroni hangs, its PostgreSQL goes on",
        Target.PRIMARY, Suspend("patroni.service"), failover(10, 90),
        budget=within(lambda t: t.lease_takeover),
        course=taken_over(rto.patroni_hang),
        alerts=raises(due(60, "MemberDown"), may=STALLED | MEMBER),
    ),
    Fault(
        "primary_isolated", "the primary is cut off from all other hosts",
        Target.PRIMARY, Isolate(Scope.EVERYBODY), failover(10, 60),
        budget=within(lambda t: t.lease_takeover),
        course=SILENT,
        alerts=PRIMARY_LOST,
        takes=Takes.PRIMARY,
    ),
    Fault(
        "primary_cut_from_peers", "the primary is cut off from its peers, the balancers still reach it",
        Target.PRIMARY, Isolate(Scope.PEERS), failover(10, 60),
        budget=within(lambda t: t.lease_takeover),
        course=UNHEARD,
        alerts=PRIMARY_CUT,
        takes=Takes.PRIMARY,
    ),
    Fault(
        "primary_cut_from_etcd", "the primary is cut off from etcd only",
        Target.PRIMARY, Isolate(Scope.ETCD), failover(10, 60),
        budget=within(lambda t: t.lease_takeover),
        course=taken_over(rto.cut_from_etcd),
        alerts=raises(due(60, "PatroniCutFromEtcd"), may=STALLED | MEMBER),
    ),
    Fault(
        "primary_cut_from_standbys", "the primary is cut off from its standbys only",
        Target.PRIMARY, Isolate(Scope.STANDBYS), seconds(20),
        budget=within(lambda t: t.standby_stall),
        course=stalled(rto.synchronous_stall),
        alerts=raises(due(60, "NoStandby", "NoSynchronousStandby"), may=STALLED | MEMBER),
        headline=True,
    ),
    Fault(
        "primary_cut_one_way", "the primary hears its peers, they don't hear it",
        Target.PRIMARY, Isolate(Scope.PEERS, one_way=True), failover(10, 60),
        budget=within(lambda t: max(t.lease_takeover, t.standby_stall)),
        course=UNHEARD,
        alerts=PRIMARY_CUT,
        takes=Takes.PRIMARY,
    ),
    Fault(
        "postmaster_killed", "the primary's postmaster is killed",
        Target.PRIMARY, Kill("postmaster"), writes(5, 60),
        budget=within(lambda t: t.crash),
        course=taken_over(rto.postmaster_killed),
        alerts=CRASHED,
        headline=True,
    ),
    Fault(
        "patroni_killed", "the primary's Patroni is killed",
        Target.PRIMARY, Kill("patroni.service"), writes(10, 60),
        budget=within(lambda t: budgets.SERVICE_RESTART + t.takeover),
        course=Course(rto.patroni_killed),
        alerts=NONE,
    ),
    Fault(
        "backend_segfault", "a backend of the primary crashes",
        Target.PRIMARY, Kill("backend", "SEGV"), writes(5, 60),
        budget=within(lambda t: t.crash),
        course=taken_over(rto.backend_segfault),
        alerts=CRASHED,
    ),
    Fault(
        "data_disk_full", "the volume of the primary's data directory is full",
        Target.PRIMARY, FillDisk(wal=False), seconds(20),
        budget=until_healed(lambda t: t.takeover),
        course="only healing ends it",
        alerts=DISK_FULL,
    ),
    Fault(
        "wal_disk_full", "the volume of the primary's WAL is full",
        Target.PRIMARY, FillDisk(wal=True), seconds(20),
        budget=until_healed(lambda t: t.takeover),
        course="PostgreSQL decides whether it gives up, no setting does; else only healing ends it",
        alerts=DISK_FULL,
    ),
    Fault(
        "switchover", "a planned switchover",
        Target.PRIMARY, Switchover(), failover(3, 60),
        budget=lambda t: Budget(writes=t.takeover, pooled=t.takeover, pooled_errors=0),
        course=taken_over(rto.switchover),
        alerts=NONE,
        headline=True,
    ),
    # The standbys
    Fault(
        "standby_lost", "a standby loses power",
        Target.STANDBY, PowerOff(), seconds(15),
        budget=within(lambda t: t.one_standby_stall),
        course=stalled(rto.standby_lost),
        alerts=raises(HOST_DOWN, may=MEMBER),
    ),
    Fault(
        "both_standbys_lost", "all standbys lose power",
        Target.ALL_STANDBYS, PowerOff(), seconds(25),
        budget=until_healed(lambda t: t.standby_stall),
        course="only healing ends it",
        alerts=raises(HOST_DOWN, due(60, "NoStandby"), may=STALLED | MEMBER | {"EtcdNoQuorum"}),
    ),
    # etcd
    Fault(
        "etcd_leader_lost", "etcd's leader is killed and stays down",
        Target.ETCD_LEADER, ServiceDown("etcd.service"), seconds(15),
        budget=within(lambda t: budgets.ETCD_ELECTION + t.end),
        course="writes go on, unless etcd's election outlasts retry_timeout",
        alerts=raises(due(60, "EtcdNoSpare"), may=frozenset({"UnitDown"})),
    ),
    Fault(
        "etcd_quorum_lost", "etcd loses its quorum, and regains it",
        Target.ETCD_MAJORITY, ServiceDown("etcd.service"), seconds(30),
        budget=until_healed(lambda t: t.lease_takeover),
        course="only healing ends it",
        alerts=raises(due(30, "EtcdNoQuorum"), may=STALLED | MEMBER),
    ),
    # The balancers
    Fault(
        "balancer_power_loss", "the active balancer loses power",
        Target.VIP_HOLDER, PowerOff(), writes(5, 90),
        budget=within(lambda t: t.vip_move),
        course=moved(rto.balancer_silent),
        alerts=raises(HOST_DOWN, may=BALANCER),
        takes=Takes.BALANCER,
        headline=True,
    ),
    Fault(
        "haproxy_killed", "the active balancer's HAProxy is killed",
        Target.VIP_HOLDER, Kill("haproxy.service"), writes(5, 60),
        budget=within(lambda t: t.vip_move),
        course=moved(rto.haproxy_killed),
        alerts=NONE,
        headline=True,
    ),
    Fault(
        "keepalived_killed", "the active balancer's keepalived is killed",
        Target.VIP_HOLDER, Kill("keepalived.service"), writes(10, 60),
        budget=within(lambda t: t.vip_move),
        course=moved(rto.keepalived_killed),
        alerts=NONE,
        takes=Takes.BALANCER,
    ),
    Fault(
        "balancer_isolated", "the active balancer is cut off from all other hosts",
        Target.VIP_HOLDER, Isolate(Scope.EVERYBODY), writes(10, 60),
        budget=within(lambda t: t.vip_move),
        course=moved(rto.balancer_silent),
        alerts=raises(HOST_DOWN, may=BALANCER),
        takes=Takes.BALANCER,
    ),
    # The repository, and the whole
    Fault(
        "backup_host_lost", "the repository loses power",
        Target.BACKUP_HOST, PowerOff(), seconds(20),
        budget=within(lambda t: t.end),
        course="writes go on",
        alerts=raises(HOST_DOWN, may=frozenset({"RepositoryUnusable", "UnitDown"})),
    ),
    Fault(
        "whole_cluster_power_loss", "every host loses power, and all start cold",
        Target.CLUSTER, PowerOff(), seconds(5),
        budget=until_healed(lambda t: budgets.COLD_START + t.lease_takeover),
        course="only healing ends it",
        alerts=raises(may=EVERYTHING),
    ),
    Fault(
        "rolling_reboot", "every host is rebooted, one after the other",
        Target.ONE_BY_ONE, Reboot(), seconds(0),
        budget=within(lambda t: budgets.SHUTDOWN + t.lease_takeover),
        course="several faults in a row: see switchover and balancer_power_loss",
        alerts=raises(may=EVERYTHING),
    ),
)
# fmt: on

CATALOGUE: Mapping[str, Fault] = {fault.name: fault for fault in _FAULTS}
BUDGETS: Mapping[str, budgets.Rule] = {fault.name: fault.budget for fault in _FAULTS}
COURSES: rto.Courses = {fault.name: fault.course for fault in _FAULTS}
LOSSES: rto.Courses = {fault.name: fault.course for fault in _FAULTS if fault.takes is Takes.PRIMARY}
"""The courses of the faults that the cluster survives without its primary."""
HEADLINES = tuple(fault.name for fault in _FAULTS if fault.headline)
