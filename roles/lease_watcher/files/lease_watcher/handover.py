# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd's leadership is led away from the host of Patroni's leader, so that the loss of a host costs one of the two.

A planned change takes milliseconds. When etcd's leader is lost with Patroni's, an election comes first, and then
every lease starts over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from lease_watcher.gateway import GatewayError, Status

LOOKS = 4  # within the time for which all must be well
LAG = 50  # raft entries that a member may be behind; a healthy one is behind by those under way


@dataclass(frozen=True)
class Move:
    """Ask the leader at an endpoint, in this term, to have the member at another one lead; heir is that one's id."""

    leader: str
    term: int
    heir: int
    to: str


@dataclass(frozen=True)
class Stay:
    """Leave the leadership where it is; the reason is empty where it is elsewhere already."""

    reason: str = ""


def decide(own: int, seen: Mapping[str, Status | None]) -> Move | Stay:
    """Return the member to lead instead of this host's.

    Every member must answer, follow this host's in the same term and report no fault: otherwise a fault may be under
    way, in which the leadership is best left alone.

    Args:
        own: the id of this host's member
        seen: the status by endpoint, None without an answer
    """
    found = [(endpoint, status) for endpoint, status in seen.items() if status and status.member == own]
    if not found:
        return Stay("this host's member is none of those that answer")
    here, mine = found[0]
    if mine.leader != own:
        return Stay()
    for endpoint, status in seen.items():
        if status is None:
            return Stay(f"{endpoint} gives no answer")
        if (status.leader, status.term) != (own, mine.term) or not status.sound:
            return Stay(f"{endpoint} follows another leader, or reports a fault")
    heirs = (
        Move(here, mine.term, status.member, endpoint)
        for endpoint, status in seen.items()
        if status and status.member != own and status.votes and mine.index - status.index <= LAG
    )
    return next(heirs, Stay("no other member with a vote has caught up"))


class Client(Protocol):
    """One member of etcd."""

    def status(self) -> Status: ...

    def move_leader(self, member: int) -> None: ...

    def close(self) -> None: ...


class Handover:
    """Asks the members and moves the leadership beside the rounds.

    member is the name of Patroni's member on this host, after the seconds for which every look must have found all
    well. Without clients it never does anything.
    """

    def __init__(self, clients: Mapping[str, Client], member: str, after: float) -> None:
        self._clients = clients
        self._again = 0.0
        self._well_since: float | None = None
        self._thread: threading.Thread | None = None
        self._outcome: str | None = None
        self.member = member
        self.after = after

    def offer(self, own: int, *, quiet: bool) -> None:
        """Start a look, unless the last one was just now.

        Args:
            own: the id of this host's member
            quiet: whether the leaders have been the same for so long that one may be moved
        """
        now = time.monotonic()
        if not self._clients or now < self._again or (self._thread is not None and self._thread.is_alive()):
            return
        self._again = now + self.after / LOOKS
        self._thread = threading.Thread(target=self._run, args=(own, quiet), daemon=True)
        self._thread.start()

    def forget(self) -> None:
        """Begin again: something was not well."""
        self._well_since = None

    def poll(self) -> str | None:
        """Return what came of it, once; None while there is nothing to tell."""
        outcome, self._outcome = self._outcome, None
        return outcome

    def _run(self, own: int, quiet: bool) -> None:
        try:
            self._outcome = self.look(own, quiet)
        except (GatewayError, KeyError, TypeError, ValueError) as error:
            self._outcome = self._stay(str(error))

    def look(self, own: int, quiet: bool) -> str | None:
        """Look once, and move the leadership if it is time; return what is to be told. Raise GatewayError."""
        seen = {endpoint: _status(client) for endpoint, client in self._clients.items()}
        verdict, now = decide(own, seen), time.monotonic()
        if isinstance(verdict, Stay):
            return self._stay(verdict.reason)
        since = self._well_since  # read once: the rounds may forget it meanwhile
        self._well_since = since = now if since is None else since
        if not quiet or now - since < self.after:
            return None
        self._well_since = None
        self._clients[verdict.leader].move_leader(verdict.heir)
        return f"moved etcd's leadership away from Patroni's leader, to {verdict.to} (after term {verdict.term})"

    def _stay(self, reason: str) -> str | None:
        """Begin again, with new connections and logins if something is wrong."""
        self._well_since = None
        if not reason:
            return None
        for client in self._clients.values():
            client.close()
        return f"etcd's leadership stays on this host: {reason}"


def _status(client: Client) -> Status | None:
    try:
        return client.status()
    except GatewayError as error:
        if error.status is not None:
            raise
        return None
