# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cost of a fault: a sum of stages, each an interval with a median. Pure: settings in, predictions out.

A prediction is of the same time that a drill measures: from the last write acknowledged before the fault to the first
one after it. The medians are added too, which is exact for symmetric intervals and close enough for these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.settings import PATRONI_POLL, Checks, Settings, Vrrp


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of an outage, in seconds; a negative one is time during which writes still succeed."""

    name: str
    best: float
    median: float
    worst: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """How long one fault stops writes, in seconds."""

    fault: str
    stages: tuple[Stage, ...]

    @property
    def best(self) -> float:
        """The least."""
        return max(0.0, sum(stage.best for stage in self.stages))

    @property
    def median(self) -> float:
        """The sum of the medians."""
        return max(0.0, sum(stage.median for stage in self.stages))

    @property
    def worst(self) -> float:
        """The upper bound, as long as no process waits for a processor."""
        return max(0.0, sum(stage.worst for stage in self.stages))

    @property
    def largest(self) -> Stage:
        """The stage that costs most."""
        return max(self.stages, key=lambda stage: stage.median)


Stages = Callable[[Settings], Iterator[Stage]]
Need = Callable[[Settings], str]
"""Why a fault does not take its course in a cluster, "" when it does."""


@dataclass(frozen=True, slots=True)
class Course:
    """The stages from a fault until writes are acknowledged again, and the parts that the cluster must have."""

    stages: Stages
    needs: tuple[Need, ...] = ()

    def hindrance(self, settings: Settings) -> str:
        """Return what the cluster lacks for this course, "" if nothing."""
        return next(filter(None, (need(settings) for need in self.needs)), "")


Courses = Mapping[str, Course | str]
"""{fault: its course, or why there is no prediction}"""

# Constants that no setting changes, measured on idle machines.
SLACK = Stage("slack", 0.0, 0.0, 0.5)  # for hosts with a free processor; a busy one needs more
EXPIRY = Stage("expiry", 0.0, 0.25, 0.6)  # etcd looks for expired leases twice a second, and revokes them by a write
AT_ONCE = 0.05  # seconds until Patroni notices a dead postmaster, when it waits for that
LOOK = Stage("look", 0.0, 0.1, 0.2)  # the watcher's interval when its decision is near
NOTICE = Stage("notice", 0.05, 0.1, 0.3)  # by a watch on the leader key
NOTICE_BY_TIMEOUT = 1.1  # by a Patroni whose connection was to the lost etcd member
RACE = Stage("race", 0.05, 0.1, 0.3)  # among members that all answer
PROMOTION = Stage("promotion", 0.2, 0.4, 1.0)
SHUTDOWN = Stage("shutdown", 0.4, 1.5, 2.8)  # with its last segment archived; Patroni looks once a second
PROMPT_SHUTDOWN = Stage("shutdown", 0.2, 0.5, 2.8)  # Patroni looks ten times
RESTART_IN_PLACE = Stage("restart", 0.2, 0.5, 2.0)  # PostgreSQL after a crash, with little to recover
PATRONI_RESTART = Stage("restart", 2.0, 3.0, 4.5)  # a second until systemd tries, then Python and the first cycle
HAPROXY_RESTART = Stage("restart", 0.15, 0.4, 3.0)
CHECK = Stage("check", 0.01, 0.03, 0.1)  # HAProxy's question and Patroni's answer
RECONNECT = Stage("client", 0.0, 0.1, 0.5)  # to a balancer that answers
SYN_RETRY = Stage("client", 0.05, 0.35, 1.2)  # to an address that was silent: the kernel retries after a second


def uniform(name: str, low: float, high: float) -> Stage:
    """Return a stage whose duration is uniformly distributed between two bounds."""
    return Stage(name, low, (low + high) / 2, high)


def joined(name: str, *stages: Stage) -> Stage:
    """Return successive stages as one."""
    return Stage(
        name,
        sum(stage.best for stage in stages),
        sum(stage.median for stage in stages),
        sum(stage.worst for stage in stages),
    )


# Stages


def renewal_age(settings: Settings) -> Stage:
    """The lease's age at the fault, as time saved: any part of a loop_wait."""
    return Stage("renewed before", -settings.patroni.loop_wait, -settings.patroni.loop_wait / 2, 0.0)


def silence(settings: Settings) -> Stage:
    """From a lease's last renewal to its end."""
    ttl, watcher = settings.patroni.ttl, settings.watcher
    if watcher is None:
        return joined("silence", Stage("ttl", ttl, ttl, ttl), EXPIRY)
    seconds = watcher.seconds
    fenced = seconds if watcher.fencing_after is None else min(seconds, watcher.fencing_after)
    return joined("silence", Stage("watch", fenced, seconds, seconds), LOOK)


def lease(settings: Settings) -> Stage:
    """From the fault to the end of a silent leader's lease."""
    return joined("lease", silence(settings), renewal_age(settings))


def election(settings: Settings) -> Stage:
    """etcd elects a new leader: the member whose timeout ends first wins; a split vote costs the same again."""
    timeout = settings.etcd.election_timeout
    return Stage("etcd election", timeout, 1.5 * timeout, 4 * timeout + settings.etcd.heartbeat_interval)


def extension(settings: Settings) -> Stage:
    """A new etcd leader extends every lease to its full TTL plus an election timeout."""
    timeout = settings.etcd.election_timeout
    return joined("lease", silence(settings), Stage("extension", timeout, timeout, timeout))


def notice(settings: Settings) -> Stage:
    """The standbys learn that the leader key is gone, after the loss of the primary's host."""
    worst = NOTICE_BY_TIMEOUT if settings.etcd.beside_databases else NOTICE.worst
    return Stage("notice", NOTICE.best, NOTICE.median, worst)


def silent_race(settings: Settings) -> Stage:
    """The standbys ask every member for its WAL position, and wait for a silent one unless a watcher set it aside."""
    wait = settings.race_poll
    return joined("race", Stage("poll", wait, wait, max(wait, PATRONI_POLL)), Stage("answer", 0.05, 0.1, 0.1))


def put_in(checks: Checks | None) -> Stage:
    """HAProxy's check finds the new primary; without HAProxy, clients find it themselves."""
    if checks is None:
        return Stage("routing", 0.0, 0.0, 0.0)
    return joined("routing", uniform("up", 0.0, checks.up), CHECK)


def routing(settings: Settings, before: list[Stage], taken_out: Stage) -> Stage:
    """HAProxy puts the new primary in, and takes the old one out, which also starts at the fault.

    :arg before: the stages that must come first.
    :arg taken_out: from the fault until HAProxy sends no more clients to the old primary.
    """
    up, elapsed = put_in(settings.checks), joined("elapsed", *before)
    if settings.checks is None:
        return up
    return Stage(
        "routing",
        max(up.best, taken_out.best - elapsed.best),
        max(up.median, taken_out.median - elapsed.median),
        max(up.worst, taken_out.worst - elapsed.worst),
    )


def taken_out_silent(settings: Settings) -> Stage:
    """HAProxy takes a silent primary out."""
    checks = settings.checks or Checks()
    return uniform("out", checks.silent_down - checks.inter, checks.silent_down)


def taken_out_demoted(settings: Settings) -> Stage:
    """A primary that the balancers still reach stays in until it has demoted itself."""
    patroni, checks = settings.patroni, settings.checks or Checks()
    latest = patroni.demotion + checks.refusing_down
    return Stage("out", patroni.retry_timeout, patroni.retry_timeout + patroni.loop_wait / 2, latest)


# Faults


def after_silence(settings: Settings, taken_out: Callable[[Settings], Stage]) -> Iterator[Stage]:
    """The primary falls silent; its lease must run out."""
    before = [lease(settings), notice(settings), silent_race(settings), PROMOTION]
    yield from [*before, routing(settings, before, taken_out(settings)), RECONNECT, SLACK]


def with_etcd_leader(settings: Settings) -> Iterator[Stage]:
    """The same, and etcd has to elect a leader first, which extends the lease."""
    before = [election(settings), extension(settings), notice(settings), silent_race(settings), PROMOTION]
    yield from [*before, routing(settings, before, taken_out_silent(settings)), RECONNECT, SLACK]


def cut_from_etcd(settings: Settings) -> Iterator[Stage]:
    """The primary continues until it demotes itself, and answers the standbys; the lease runs out meanwhile."""
    patroni = settings.patroni
    still = Stage("still writing", -patroni.demotion, -(patroni.retry_timeout + patroni.loop_wait / 2), 0.0)
    yield from [lease(settings), still, notice(settings), RACE, PROMOTION, put_in(settings.checks), RECONNECT, SLACK]


def patroni_hang(settings: Settings) -> Iterator[Stage]:
    """The primary continues until HAProxy takes it out, as its Patroni is silent; the lease runs out meanwhile."""
    out = taken_out_silent(settings)
    still = Stage("still writing", -out.worst, -out.median, 0.0)
    yield from [lease(settings), still, notice(settings), silent_race(settings), PROMOTION, put_in(settings.checks)]
    yield from [RECONNECT, SLACK]


def released(settings: Settings) -> Iterator[Stage]:
    """A leader released its lease in an orderly way: the standbys race at once, and all members answer."""
    yield from [NOTICE, RACE, PROMOTION, put_in(settings.checks), RECONNECT, SLACK]


def postmaster_killed(settings: Settings) -> Iterator[Stage]:
    """Patroni notices it at once or in its next cycle, and tries to restart PostgreSQL for primary_start_timeout."""
    patience, cycle = settings.patroni.primary_start_timeout, settings.patroni.loop_wait
    yield Stage("detection", 0.0, AT_ONCE, cycle) if settings.amended else uniform("detection", 0.0, cycle)
    if patience:
        yield Stage("start in place", min(1.0, patience), min(3.0, patience), patience)
    yield from released(settings)


def backend_segfault(settings: Settings) -> Iterator[Stage]:
    """PostgreSQL restarts itself; a Patroni whose cycle falls into the restart may still fail over."""
    crash = Prediction("", tuple(postmaster_killed(settings)))
    yield Stage("restart", RESTART_IN_PLACE.best, RESTART_IN_PLACE.median, max(RESTART_IN_PLACE.worst, crash.worst))
    yield RECONNECT


def patroni_killed(settings: Settings) -> Iterator[Stage]:
    """HAProxy takes the primary out until its Patroni answers again; PostgreSQL continues."""
    checks = settings.checks
    if checks is None:
        yield RECONNECT
    else:
        yield Stage("still writing", -checks.refusing_down, -checks.refusing_down / 2, 0.0)
        yield from [PATRONI_RESTART, put_in(checks), RECONNECT]
    yield SLACK


def switchover(settings: Settings) -> Iterator[Stage]:
    """The old primary stops in an orderly way, then a standby takes over. A named one is followed later."""
    yield PROMPT_SHUTDOWN if settings.amended else SHUTDOWN
    yield from released(settings)


def synchronous_stall(settings: Settings) -> Iterator[Stage]:
    """Commits wait for the synchronous standbys until the walsenders time out and Patroni requires fewer."""
    patroni = settings.patroni
    if patroni.synchronous_mode:
        limit = patroni.wal_sender_timeout
        yield Stage("walsender", limit, limit, limit + 0.1)
        yield Stage("synchronous set", 0.0, patroni.loop_wait / 2, 2 * patroni.loop_wait)
    yield from [RECONNECT, SLACK]


def standby_lost(settings: Settings) -> Iterator[Stage]:
    """A quorum with a spare standby does not wait."""
    if settings.patroni.synchronous_mode == "quorum" and settings.standbys > 1:
        yield from [RECONNECT, SLACK]
    else:
        yield from synchronous_stall(settings)


def adverts(vrrp: Vrrp, passed: float) -> Stage:
    """The other balancer misses adverts; at most the passed seconds had elapsed when writes stopped."""
    first, last = vrrp.takeover(vrrp.most_priority), vrrp.takeover(vrrp.least_priority)
    return Stage("adverts", max(0.0, first - passed), (first + last - passed) / 2, last)


def balancer_silent(settings: Settings) -> Iterator[Stage]:
    """The other balancer takes the address over; clients that tried the silent one connect again."""
    vrrp = settings.vrrp or Vrrp()
    yield from [adverts(vrrp, vrrp.advert_int), SYN_RETRY, SLACK]


def keepalived_killed(settings: Settings) -> Iterator[Stage]:
    """The address stays until systemd restarts keepalived, which drops it; then as for a silent balancer."""
    vrrp = settings.vrrp or Vrrp()
    yield adverts(vrrp, 3 * vrrp.advert_int)
    yield from [Stage("client", SYN_RETRY.best, 0.15, SYN_RETRY.worst), SLACK]


def address_handed_over(settings: Settings) -> Iterator[Stage]:
    """keepalived stops in an orderly way: its last advert has priority 0, the others wait for their skew only."""
    vrrp = settings.vrrp or Vrrp()
    first, last = vrrp.skew(vrrp.most_priority), vrrp.skew(vrrp.least_priority)
    yield uniform("farewell", first, last)
    yield from [Stage("client", SYN_RETRY.best, 0.15, SYN_RETRY.worst), SLACK]


def haproxy_killed(settings: Settings) -> Iterator[Stage]:
    """systemd restarts it, or the track script moves the address, whichever comes first."""
    vrrp, restart = settings.vrrp or Vrrp(), HAPROXY_RESTART
    moved = vrrp.script + vrrp.advert_int
    yield from [replace(restart, worst=max(restart.median, min(restart.worst, moved))), RECONNECT, SLACK]


# What a cluster must have


def standby(settings: Settings) -> str:
    """A standby that can take over, or acknowledge."""
    return "" if settings.standbys else "the cluster has no standby"


def failover(settings: Settings) -> str:
    """A Patroni that fails over."""
    return "Patroni is paused: no failover" if settings.patroni.paused else ""


def virtual_ip(settings: Settings) -> str:
    """An address that moves."""
    return "" if settings.vrrp else "the cluster has no virtual IP"


# Planned work that is no fault

HANDOVERS: Courses = {"virtual_ip_handed_over": Course(address_handed_over, (virtual_ip,))}


# All faults


def unpredicted(courses: Courses, settings: Settings) -> dict[str, str]:
    """Return why a fault has no prediction in a cluster: {fault: reason}."""
    reasons = {
        fault: course if isinstance(course, str) else course.hindrance(settings) for fault, course in courses.items()
    }
    return {fault: reason for fault, reason in reasons.items() if reason}


def predict(courses: Courses, settings: Settings) -> dict[str, Prediction]:
    """Return the cost of each fault: {fault: prediction}, without those of unpredicted()."""
    left_out = unpredicted(courses, settings)
    return {
        fault: Prediction(fault, tuple(course.stages(settings)))
        for fault, course in courses.items()
        if not isinstance(course, str) and fault not in left_out
    }
