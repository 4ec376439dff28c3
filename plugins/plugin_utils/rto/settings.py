# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The running settings that decide how long a failover takes; in seconds unless said otherwise."""

from __future__ import annotations

from dataclasses import dataclass

PATRONI_POLL = 2.0
"""How long a standby waits for each member's answer in a leader race: a constant of Patroni."""


@dataclass(frozen=True, slots=True)
class Patroni:
    """Its dynamic configuration; synchronous_mode is "quorum", true or false."""

    ttl: float = 30.0
    loop_wait: float = 10.0
    retry_timeout: float = 10.0
    primary_start_timeout: float = 300.0
    wal_sender_timeout: float = 60.0
    synchronous_mode: str | bool = False
    paused: bool = False

    @property
    def demotion(self) -> float:
        """Until a leader that can't renew has demoted itself, unless etcd fell silent right after a renewal.

        That cycle of Patroni's waits for etcd too: docs/model.md.
        """
        return self.loop_wait + 2 * self.retry_timeout


@dataclass(frozen=True, slots=True)
class Etcd:
    """etcd's timing; beside_databases: a lost database host takes an etcd member with it."""

    heartbeat_interval: float = 0.1
    election_timeout: float = 1.0
    beside_databases: bool = True


@dataclass(frozen=True, slots=True)
class Watcher:
    """The lease watcher: the silence after which it revokes, and after which it fences the leader (None: never)."""

    seconds: float
    fencing_after: float | None = None


@dataclass(frozen=True, slots=True)
class Checks:
    """HAProxy's checks of the write pool; fall and rise are counts."""

    inter: float = 0.5
    fastinter: float = 0.25
    downinter: float = 0.5
    fall: int = 2
    rise: int = 1
    timeout: float = 1.5

    @property
    def up(self) -> float:
        """The longest wait for the check that puts a ready server in."""
        return self.downinter + (self.rise - 1) * self.fastinter

    @property
    def silent_down(self) -> float:
        """The longest time that a silent server stays in: a check has just passed, then fall checks time out."""
        return self.inter + self.timeout + (self.fall - 1) * (self.fastinter + self.timeout)

    @property
    def refusing_down(self) -> float:
        """The same for a server that refuses connections at once."""
        return self.inter + (self.fall - 1) * self.fastinter


@dataclass(frozen=True, slots=True)
class Vrrp:
    """The VRRP instances; priorities: the balancers', 1 to 254; script: until a track script has failed."""

    advert_int: float = 0.2
    least_priority: int = 100
    most_priority: int = 100
    script: float = 1.0

    def skew(self, priority: int) -> float:
        """From a holder's farewell until a balancer of this priority takes over."""
        return (256 - priority) / 256 * self.advert_int

    def takeover(self, priority: int) -> float:
        """From the last advert until a balancer of this priority takes over: three adverts and its skew."""
        return 3 * self.advert_int + self.skew(priority)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings; None for a part that the cluster lacks.

    standbys: how many there are; race_poll: what the standbys usually wait for a silent leader's answer in their race;
    amended: whether every member's Patroni runs with its amendments, such as to look at its PostgreSQL as soon as the
    postmaster dies.
    """

    patroni: Patroni
    etcd: Etcd
    watcher: Watcher | None = None
    checks: Checks | None = None
    vrrp: Vrrp | None = None
    standbys: int = 2
    race_poll: float = PATRONI_POLL
    amended: bool = False
