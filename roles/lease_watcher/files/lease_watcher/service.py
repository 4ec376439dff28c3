# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop: one round after the other, for as long as the process lives."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from lease_watcher.core import (
    LEAST_SECONDS,
    Ask,
    Leadership,
    Member,
    Reading,
    Revoke,
    Round,
    Rules,
    Sight,
    TimeToLive,
    Wait,
    is_near,
    judge,
    look,
    needed,
    pause,
    renews,
    unrenewed,
)
from lease_watcher.fencing import Fencing
from lease_watcher.gateway import GatewayError
from lease_watcher.handover import Handover
from lease_watcher.presence import Presence

FRESH = 0.5  # the maximum age of a decision when it is carried out, in seconds since its round began
RETRY = 0.2  # seconds until the next try when etcd doesn't serve


class Store(Protocol):
    """The loop's interface to etcd."""

    def read(self) -> Reading: ...

    def time_to_live(self, lease: int) -> TimeToLive: ...

    def member(self, name: str) -> Member | None: ...

    def set_aside(self, leadership: Leadership, member: Member) -> bool: ...

    def revoke(self, lease: int) -> bool: ...

    def close(self) -> None: ...


@dataclass
class Watcher:
    """Watches one leader key."""

    store: Store
    rules: Rules
    fencing: Fencing
    presence: Presence
    handover: Handover = field(default_factory=lambda: Handover({}, "", 0))
    tell: Callable[[str], None] = lambda message: print(message, flush=True)
    clock: Callable[[], float] = time.monotonic
    sight: Sight | None = None
    _said: dict[str, str] = field(default_factory=dict)

    def step(self) -> float:
        """Do one round and act on it; return the seconds until the next."""
        try:
            seen = self._round()
            self.sight = look(self.sight, seen, self.rules.stall)
            self._say("etcd", "etcd serves")
            return self._follow(self.sight, seen)
        except GatewayError as error:
            self._lose(f"no view of etcd, counting anew: {error}")
        except (KeyError, TypeError, ValueError) as error:
            self._lose(f"no sense in an answer of etcd, counting anew: {type(error).__name__}: {error}")
        return RETRY

    def _round(self) -> Round:
        """Do one round; it continues from the last reading of the previous one, so that no change is missed."""
        sight = self.sight if self.sight and self.sight.lasts(self.clock(), self.rules.stall) else None
        before = sight.reading if sight else self.store.read()
        begun = self.clock()
        lease = self.store.time_to_live(before.leadership.lease) if before.leadership else None
        after = self.store.read()
        return Round(before, lease, after, begun, self.clock())

    def _follow(self, sight: Sight, seen: Round) -> float:
        self._ask_fencing(seen)
        self._ask_presence(sight, seen)
        verdict = judge(self.rules, sight, seen, self.fencing.confirmed)
        self._report(sight, seen)
        if isinstance(verdict, Revoke):
            self._revoke(verdict, seen)
        elif isinstance(verdict, Ask) and not self.fencing.knows(verdict.leadership):
            self._say("fencing", f"{verdict.leadership.member!r} is no known member: the fencing command is not asked")
        elif isinstance(verdict, Ask) and self.fencing.ask(verdict.leadership):
            self.tell(
                f"{verdict.leadership.member} has not renewed for {verdict.unrenewed:.1f} s: asking whether it is off"
            )
        self._hand_over(sight, seen)
        return pause(self.rules, sight, seen)

    def _hand_over(self, sight: Sight, seen: Round) -> None:
        """Look, and tell what came of the last look."""
        if renews(sight, seen, self.handover.member):
            self.handover.offer(seen.after.etcd_member, quiet=seen.ended - sight.since >= self.handover.after)
        else:
            self.handover.forget()
        outcome = self.handover.poll()
        if outcome is not None:
            self._say("handover", outcome)

    def _ask_fencing(self, seen: Round) -> None:
        status = self.fencing.poll()
        if status is not None:
            self.tell(f"the fencing command ended with {status}")
        if self._is_alive(seen):
            self.fencing.forget()

    def _ask_presence(self, sight: Sight, seen: Round) -> None:
        leadership = seen.after.leadership
        if leadership is None or not is_near(self.rules, sight, seen):
            self.presence.forget()
        elif not self.presence.asked(leadership):
            member = self.store.member(leadership.member)
            if member and member.url:
                self.presence.ask(leadership, member.url)

    def _is_alive(self, seen: Round) -> bool:
        """Whether the fencing command's answer is outdated."""
        return self.sight is None or isinstance(judge(self.rules, self.sight, seen), Wait)

    def _revoke(self, verdict: Revoke, seen: Round) -> None:
        """Revoke at once or not at all. A failed request is not retried: the next round decides again.

        A decision is as old as the question about the lease. The leader may have renewed since.
        """
        if self._is_outdated(seen):
            return
        self._set_aside(verdict.leadership)
        if self._is_outdated(seen):
            return
        self.sight = None
        try:
            done = self.store.revoke(verdict.leadership.lease)
        except GatewayError as error:
            self.tell(f"could not revoke the lease of {verdict.leadership.member}, counting anew: {error}")
            return
        self.tell(
            f"{'revoked' if done else 'found revoked already'}: lease {verdict.leadership.lease:x} of "
            f"{verdict.leadership.member}, not renewed for {verdict.unrenewed:.1f} s "
            f"(term {seen.after.term}, revision {seen.after.revision})"
        )

    def _is_outdated(self, seen: Round) -> bool:
        """Whether a round is too long ago to revoke by; the sight stays, and the next round decides."""
        age = self.clock() - seen.begun
        if age > FRESH:
            self.tell(f"held up for {age:.1f} s on the way to revoking: deciding again")
        return age > FRESH

    def _set_aside(self, leadership: Leadership) -> None:
        """Spare the standbys the wait for a member that does not answer. If this fails, they only take longer."""
        if self.fencing.confirmed != leadership and not self.presence.is_silent(leadership):
            return
        try:
            member = self.store.member(leadership.member)
            if member and self.store.set_aside(leadership, member):
                self.tell(f"{leadership.member} gives no answer: standbys do not ask it until it writes its key again")
        except GatewayError as error:
            self.tell(f"could not set {leadership.member} aside: {error}")

    def _lose(self, reason: str) -> None:
        self.sight = None
        self.fencing.forget()
        self.presence.forget()
        self.handover.forget()
        self.store.close()
        self._say("etcd", reason)

    def _report(self, sight: Sight, seen: Round) -> None:
        holder: Leadership | None = seen.after.leadership
        patience = needed(self.rules, seen.after.settings)
        if patience is None:
            limit = "Patroni is paused or has no configuration: never revoking"
        elif patience > self.rules.seconds:
            limit = f"Patroni's own timing asks for {patience} s instead of {self.rules.seconds} s"
        else:
            limit = f"revoking after {patience} s without a renewal"
        self._say("leader", f"the leader is {holder.member}; {limit}" if holder else "there is no leader")
        silent = unrenewed(sight, seen)
        if patience is not None and silent >= max(LEAST_SECONDS, patience / 2):
            self._say("silence", f"{holder.member if holder else ''} has not renewed for {silent:.0f} s or more")
        else:
            self._said.pop("silence", None)

    def _say(self, topic: str, message: str) -> None:
        """Log a message unless it repeats the last one."""
        if self._said.get(topic) != message:
            self._said[topic] = message
            self.tell(message)


def notify(state: str) -> None:
    """Notify systemd, if it runs the watcher."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect("\0" + address[1:] if address.startswith("@") else address)
            channel.send(state.encode())


def run(watcher: Watcher) -> None:
    """Run rounds forever."""
    notify("READY=1")
    while True:
        time.sleep(watcher.step())
        notify("WATCHDOG=1")
