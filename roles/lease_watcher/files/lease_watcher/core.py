# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observations and decisions. Pure: no I/O, no clock; times are seconds of one host's monotonic clock.

etcd, not the watcher, knows how long a lease has not been renewed: if a lease was granted for G seconds and its
remaining time is r (whole seconds, rounded down), the last renewal was more than G - r - 1 seconds ago. This bound
needs no history, never exceeds the true time, and reaches a whole number at the same moment as the true time. A new
etcd leader extends every lease to its full time and an election timeout, which restarts the count.

The answer does not show whether its sender was still etcd's leader. So each Round asks for it between two quorum reads
of the same etcd member: equal terms before and after prove it. A leader can't renew while etcd does not serve, so only
the time in which etcd was observed to serve counts (Sight).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

LEAST_SECONDS = 2
FAST = 0.1  # seconds between two rounds when a decision may be near
AHEAD = 1  # seconds before the revocation at which the watcher checks whether the leader answers at all


@dataclass(frozen=True)
class Settings:
    """The timing in Patroni's dynamic configuration, in seconds."""

    loop_wait: int = 10
    retry_timeout: int = 10
    synchronous: bool = False
    paused: bool = False

    @property
    def least(self) -> int:
        """The minimum of seconds without a renewal that may indicate a lost leader.

        With synchronous replication, the leader must have had time for a renewal. Without, it must have demoted
        itself, as until then it acknowledges writes alone. After a renewal, the same cycle of Patroni sends two more
        requests. The next cycle begins loop_wait after the last, or at once if that is over, and sends two before the
        demotion. Each of the four may take retry_timeout.
        """
        if self.synchronous:
            return max(LEAST_SECONDS, self.loop_wait + 1)
        return max(self.loop_wait + 2 * self.retry_timeout + 1, 4 * self.retry_timeout + 2)


@dataclass(frozen=True)
class Leadership:
    """The holder of Patroni's leader key, its lease, and the revision that created the key."""

    member: str
    lease: int
    created: int


@dataclass(frozen=True)
class Member:
    """The contents of a Patroni member's own key, and the revision of the key's last change."""

    name: str
    data: Mapping[str, Any]
    revision: int

    @property
    def url(self) -> str | None:
        """The URL of its REST interface."""
        url = self.data.get("api_url")
        return url if isinstance(url, str) else None

    @property
    def aside(self) -> str:
        """The same without a REST interface, so that no member in a leader race asks for its WAL position."""
        return json.dumps({key: value for key, value in self.data.items() if key != "api_url"})


@dataclass(frozen=True)
class Reading:
    """One quorum read: the term and the etcd member that answered, and Patroni's keys as of a revision."""

    term: int
    etcd_member: int
    revision: int
    leadership: Leadership | None
    settings: Settings | None


@dataclass(frozen=True)
class TimeToLive:
    """A lease's whole seconds: as granted, and remaining (rounded down; -1: there is no such lease)."""

    granted: int
    remaining: int

    @property
    def unrenewed(self) -> int:
        """A lower bound of the seconds since the last renewal."""
        return max(0, self.granted - self.remaining - 1) if self.remaining >= 0 else 0


@dataclass(frozen=True)
class Round:
    """A lease's time to live, asked of one etcd member between two quorum reads; begun and ended are times."""

    before: Reading
    lease: TimeToLive | None
    after: Reading
    begun: float
    ended: float

    @property
    def steady(self) -> bool:
        """Whether etcd's leader and Patroni's leader stayed the same from the first read to the last."""
        one, other = self.before, self.after
        return (
            (one.term, one.etcd_member, one.leadership) == (other.term, other.etcd_member, other.leadership)
            and one.revision <= other.revision
            and one.leadership is not None
        )


@dataclass(frozen=True)
class Sight:
    """The time since which the same leaders have been observed without a gap, and the last reading with its time."""

    reading: Reading
    since: float
    at: float

    def lasts(self, now: float, stall: float) -> bool:
        """Whether the observation is recent enough to continue from it."""
        return now - self.at <= stall


@dataclass(frozen=True)
class Rules:
    """The watcher's settings, in seconds.

    seconds: time without a renewal before the lease is revoked. stall: a longer round, or gap between two rounds,
    restarts the count. interval: between two rounds while no decision is near. fencing_after: time without a renewal
    before the fencing command is asked whether the leader's node is off (None: there is no such command).
    """

    seconds: int
    stall: float
    interval: float
    fencing_after: int | None = None


@dataclass(frozen=True)
class Wait:
    """Nothing to do."""


@dataclass(frozen=True)
class Ask:
    """Ask the fencing command about the node of this leadership."""

    leadership: Leadership
    unrenewed: float


@dataclass(frozen=True)
class Revoke:
    """Revoke the lease of this leadership."""

    leadership: Leadership
    unrenewed: float


Verdict = Wait | Ask | Revoke


def look(sight: Sight | None, seen: Round, stall: float) -> Sight:
    """Return the sight after a round; a gap, a slow round or any change restarts it."""
    fresh = Sight(seen.after, since=seen.ended, at=seen.ended)
    if sight is None or seen.before != sight.reading or not seen.steady or seen.ended - sight.at > stall:
        return fresh
    return replace(sight, reading=seen.after, at=seen.ended)


def unrenewed(sight: Sight, seen: Round) -> float:
    """Return for how many seconds the leader certainly could have renewed but did not."""
    if not seen.steady or seen.lease is None:
        return 0.0
    return max(0.0, min(float(seen.lease.unrenewed), seen.begun - sight.since))


def needed(rules: Rules, settings: Settings | None) -> int | None:
    """Return the seconds without a renewal after which a lease is revoked; None: not in the present state."""
    if settings is None or settings.paused:
        return None
    return max(rules.seconds, settings.least)


def judge(rules: Rules, sight: Sight, seen: Round, confirmed: Leadership | None = None) -> Verdict:
    """Return the action after a round; confirmed is the leadership whose node is off by the fencing command."""
    leadership, silent = seen.after.leadership, unrenewed(sight, seen)
    patience = needed(rules, seen.after.settings)
    if leadership is None or patience is None or not seen.steady:
        return Wait()
    if silent >= patience:
        return Revoke(leadership, silent)
    if rules.fencing_after is not None and silent >= fencing_patience(rules.fencing_after, seen.after.settings):
        return Revoke(leadership, silent) if confirmed == leadership else Ask(leadership, silent)
    return Wait()


def is_near(rules: Rules, sight: Sight, seen: Round) -> bool:
    """Return whether the lease will be revoked soon unless the leader renews it."""
    patience = needed(rules, seen.after.settings)
    return seen.steady and patience is not None and unrenewed(sight, seen) >= patience - AHEAD


def renews(sight: Sight, seen: Round, member: str) -> bool:
    """Return whether a member leads Patroni and renews its lease as usual."""
    leadership, settings = seen.after.leadership, seen.after.settings
    return (
        seen.steady
        and leadership is not None
        and leadership.member == member
        and settings is not None
        and not settings.paused
        and unrenewed(sight, seen) < max(LEAST_SECONDS, settings.loop_wait + 1)
    )


def fencing_patience(seconds: int, settings: Settings | None) -> int:
    """Return the seconds without a renewal after which the command is asked; a healthy leader renews earlier."""
    return max(LEAST_SECONDS, seconds, settings.loop_wait + 1 if settings else 0)


def pause(rules: Rules, sight: Sight, seen: Round) -> float:
    """Return the seconds until the next round: fewer when a threshold could be passed before the usual time."""
    patience = needed(rules, seen.after.settings)
    if seen.lease is None or patience is None:
        return rules.interval
    first = patience - AHEAD if unrenewed(sight, seen) < patience - AHEAD else patience
    if rules.fencing_after is not None:
        first = min(first, fencing_patience(rules.fencing_after, seen.after.settings))
    at_most = seen.lease.granted - seen.lease.remaining
    soonest = max(first - at_most, sight.since + first - seen.ended)
    return min(rules.interval, max(FAST, soonest))


def parse_settings(text: str | None) -> Settings | None:
    """Return the settings in the value of Patroni's key `config`; None when they can't be read."""
    try:
        data = json.loads(text or "")
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    default = Settings()
    loop_wait = _seconds(data.get("loop_wait"), default.loop_wait, 1)
    retry_timeout = _seconds(data.get("retry_timeout"), default.retry_timeout, 3)
    if loop_wait is None or retry_timeout is None:
        return None
    return Settings(
        loop_wait,
        retry_timeout,
        synchronous=str(data.get("synchronous_mode")).lower() in {"true", "on", "yes", "quorum"},
        paused=str(data.get("pause")).lower() not in {"false", "none", "off", "no", "0"},
    )


def _seconds(value: Any, default: int, floor: int) -> int | None:
    """Return a setting's effective value in Patroni: its default if absent, at least its minimum; None: unreadable."""
    try:
        return max(floor, default if value is None else int(value))
    except (TypeError, ValueError):
        return None
