# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of faults that a schedule is made of, one record each; the harm itself is the drill's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.action import Action
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.isolation import CutPair, Isolate, Scope
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.power import Freeze, PowerOff
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.processes import Kill, ServiceDown, Suspend
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.pulses import Disk, Flap, Pause, Rhythm, StallDisk
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.majority import Loss, Part, Shape
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import (
    BALANCER,
    ETCD_LEADER,
    LEADER,
    PRIMARY,
    Step,
)

WHOLE = frozenset(Part)
DATABASE = frozenset({Part.DATABASE})
ETCD = frozenset({Part.ETCD})
SHORT = (0.5, 5.0)
LONG = (60.0, 120.0)
RHYTHMS = (0.2, 3.0)
"""The bounds of both parts of a rhythm."""


class Family(StrEnum):
    """What harms a host in the same way; a host bears one of each at a time, and a loss of power alone."""

    POWER = "power"
    LINK = "link"
    FREEZER = "freezer"
    PROCESS = "process"
    DISK = "disk"


class Hits(StrEnum):
    """The hosts that a kind may hit."""

    DATABASES = "database hosts"
    ETCD = "etcd's hosts"
    BALANCERS = "balancers"
    BACKUP = "repository hosts"
    PRIMARY = "the primary"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    spans: the durations to choose from, each as often as the others; takes: the parts of its target that can't serve;
    returns: seconds after the end until they can; stops: whether writes may stop as long as it lasts; rhythmic: whether
    it comes and goes; pair: whether it cuts the link to a second host.
    """

    name: str
    title: str
    action: Callable[[Step], Action]
    hits: tuple[Hits, ...]
    spans: tuple[tuple[float, float], ...]
    family: Family
    takes: frozenset[Part] = WHOLE
    returns: float = 0.0
    stops: bool = False
    rhythmic: bool = False
    pair: bool = False

    @property
    def least(self) -> float:
        """The shortest duration."""
        return min(low for low, _high in self.spans)

    @property
    def most(self) -> float:
        """The longest duration."""
        return max(high for _low, high in self.spans)


def rhythm(step: Step) -> Rhythm:
    """Return the rhythm of a step: one harm, or as many as fit into its seconds."""
    if not step.on:
        return Rhythm(step.seconds)
    return Rhythm(step.on, step.off, max(1, int((step.seconds + step.off) / (step.on + step.off))))


DATABASES, ALL_OF_ETCD, BALANCERS = (Hits.DATABASES,), (Hits.ETCD,), (Hits.BALANCERS,)
SERVING = (*DATABASES, *BALANCERS)
MOMENT = ((0.0, 0.0),)
AGAIN = 5.0
"""Seconds until systemd has started a killed service again."""
BOOT = 20.0

# fmt: off
_KINDS = (
    # Whole hosts
    Kind("power_loss", "the host loses power", lambda _step: PowerOff(),
         (*SERVING, Hits.BACKUP), ((10.0, 60.0),), Family.POWER, returns=BOOT),
    Kind("hang", "the host freezes", lambda _step: Freeze(),
         DATABASES, ((5.0, 60.0),), Family.POWER),
    Kind("pause", "the host's services freeze for a moment", lambda step: Pause(rhythm(step)),
         SERVING, (SHORT,), Family.FREEZER),
    # Links
    Kind("isolate", "the host is cut off from all others", lambda _step: Isolate(Scope.EVERYBODY),
         SERVING, ((5.0, 60.0), LONG), Family.LINK),
    Kind("cut_from_peers", "the host is cut off from its peers, the balancers still reach it",
         lambda _step: Isolate(Scope.PEERS), DATABASES, ((5.0, 60.0), LONG), Family.LINK),
    Kind("cut_one_way", "the host hears its peers, they don't hear it",
         lambda _step: Isolate(Scope.PEERS, one_way=True), DATABASES, ((5.0, 60.0), LONG), Family.LINK),
    Kind("cut_from_etcd", "the host is cut off from etcd's other members",
         lambda _step: Isolate(Scope.ETCD), DATABASES, ((5.0, 60.0), LONG), Family.LINK),
    Kind("cut_from_standbys", "the primary is cut off from its standbys' replication",
         lambda _step: Isolate(Scope.STANDBYS), (Hits.PRIMARY,), ((5.0, 60.0),), Family.LINK, takes=DATABASE),
    Kind("cut_pair", "two hosts don't reach each other", lambda _step: CutPair(),
         DATABASES, ((5.0, 60.0), LONG), Family.LINK, takes=frozenset(), pair=True),
    Kind("cut_pair_one_way", "one host does not hear another one", lambda _step: CutPair(one_way=True),
         DATABASES, ((5.0, 60.0), LONG), Family.LINK, takes=frozenset(), pair=True),
    Kind("flap", "the host's links come and go", lambda step: Flap(rhythm(step), Isolate(Scope.EVERYBODY)),
         DATABASES, ((10.0, 40.0),), Family.LINK, stops=True, rhythmic=True),
    Kind("blip", "the host's links are cut for a moment", lambda step: Flap(rhythm(step), Isolate(Scope.EVERYBODY)),
         DATABASES, (SHORT,), Family.LINK),
    Kind("blip_etcd", "the host's links to etcd are cut for a moment",
         lambda step: Flap(rhythm(step), Isolate(Scope.ETCD)), DATABASES, (SHORT,), Family.LINK),
    # Processes
    Kind("patroni_hang", "Patroni hangs, its PostgreSQL goes on", lambda _step: Suspend("patroni.service"),
         DATABASES, ((1.0, 30.0),), Family.PROCESS, takes=DATABASE),
    Kind("kill_postmaster", "the postmaster is killed", lambda _step: Kill("postmaster"),
         DATABASES, MOMENT, Family.PROCESS, takes=DATABASE, returns=AGAIN),
    Kind("kill_patroni", "Patroni is killed", lambda _step: Kill("patroni.service"),
         DATABASES, MOMENT, Family.PROCESS, takes=DATABASE, returns=AGAIN),
    Kind("kill_etcd", "etcd is killed", lambda _step: Kill("etcd.service"),
         ALL_OF_ETCD, MOMENT, Family.PROCESS, takes=ETCD, returns=AGAIN),
    Kind("etcd_down", "etcd is killed and stays down", lambda _step: ServiceDown("etcd.service"),
         ALL_OF_ETCD, ((5.0, 60.0),), Family.PROCESS, takes=ETCD, returns=AGAIN),
    Kind("pause_etcd", "etcd freezes for a moment", lambda step: Pause(rhythm(step), ("etcd.service",)),
         ALL_OF_ETCD, (SHORT,), Family.FREEZER, takes=ETCD),
    Kind("kill_haproxy", "HAProxy is killed", lambda _step: Kill("haproxy.service"),
         BALANCERS, MOMENT, Family.PROCESS, returns=AGAIN),
    Kind("kill_keepalived", "keepalived is killed", lambda _step: Kill("keepalived.service"),
         BALANCERS, MOMENT, Family.PROCESS, returns=AGAIN),
    # Disks
    Kind("stutter_etcd", "etcd stands still again and again, as on a slow disk",
         lambda step: Pause(rhythm(step), ("etcd.service",)),
         ALL_OF_ETCD, ((10.0, 40.0),), Family.FREEZER, takes=ETCD, stops=True, rhythmic=True),
    Kind("stall_wal", "the WAL's volume stalls", lambda step: StallDisk(rhythm(step), Disk.WAL),
         DATABASES, ((0.5, 10.0),), Family.DISK, takes=DATABASE, stops=True),
    Kind("slow_wal", "the WAL's volume stalls again and again", lambda step: StallDisk(rhythm(step), Disk.WAL),
         DATABASES, ((10.0, 40.0),), Family.DISK, takes=DATABASE, stops=True, rhythmic=True),
    Kind("stall_etcd", "etcd's volume stalls", lambda step: StallDisk(rhythm(step), Disk.ETCD),
         ALL_OF_ETCD, ((0.5, 10.0),), Family.DISK, takes=ETCD, stops=True),
    Kind("slow_etcd", "etcd's volume stalls again and again", lambda step: StallDisk(rhythm(step), Disk.ETCD),
         ALL_OF_ETCD, ((10.0, 40.0),), Family.DISK, takes=ETCD, stops=True, rhythmic=True),
)
# fmt: on

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _KINDS}


def targets(kind: Kind, shape: Shape) -> Iterator[str]:
    """Yield the roles that a kind may hit in a cluster; shape has roles in place of hosts."""
    every = {
        Hits.DATABASES: (*shape.databases, LEADER),
        Hits.ETCD: (*shape.etcd, ETCD_LEADER),
        Hits.BALANCERS: shape.balancers,
        Hits.BACKUP: shape.backup,
        Hits.PRIMARY: (PRIMARY, LEADER),
    }
    for hits in kind.hits:
        yield from every[hits]


def loss(kind: Kind, host: str, other: str = "") -> Loss:
    """Return what a fault takes from a host."""
    return Loss(host, kind.takes, other if kind.pair else "")


def taken_until(step: Step) -> float:
    """Return the time at which a step's target serves again."""
    return step.end + KINDS[step.kind].returns


def agree(one: Kind, other: Kind) -> bool:
    """Return whether a host can bear both at once."""
    families = {one.family, other.family}
    if len(families) == 1 or Family.POWER in families:
        return False
    return families != {Family.DISK, Family.FREEZER}  # what waits for a disk can't be frozen


def courses(steps: Sequence[Step]) -> tuple[str, ...]:
    """Return the drill's faults whose predictions bound the outage after these steps."""
    balancer = BALANCER.partition("-")[0]
    hit = {step.target.partition("-")[0] for step in steps}
    databases = DATABASE_COURSES if hit - {balancer, "backup"} else ()
    return (*databases, *(BALANCER_COURSES if balancer in hit else ()))


DATABASE_COURSES = (
    "primary_power_loss",
    "primary_etcd_leader_power_loss",
    "primary_cut_from_etcd",
    "primary_cut_from_standbys",
    "patroni_hang",
)
BALANCER_COURSES = ("balancer_power_loss", "keepalived_killed", "haproxy_killed")
