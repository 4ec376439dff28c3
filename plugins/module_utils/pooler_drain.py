# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Empties one PgBouncer of its clients: waits until they leave, and closes those that don't while they are idle."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from ansible_collections.holdfast.ha.plugins.module_utils.pgbouncer import (
    ANSWER_SECONDS,
    CONSOLE_DATABASE,
    Pooler,
    PoolerError,
)
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import psycopg2, sentence

T = TypeVar("T")

POLL_SECONDS = 0.2
WATCH_SECONDS = 0.001
QUIET_SECONDS = 1.0
"""A client that has been idle for so long is not expected to send in the next moment."""
FRESH_SECONDS = 0.02
"""What happened since a look that was longer ago may be over by now, as on a busy machine."""
GONE = "client not found"


@dataclass(frozen=True)
class Client:
    """A client that is logged in. Only PgBouncer 1.24 and later know clients by an ``id``.

    An idle one has no server and waits for none: it is between transactions, in session mode before its first query.
    ``since`` is when it last sent something, as sortable text.
    """

    id: int | None
    idle: bool
    since: str


def clients(rows: Iterable[Mapping[str, Any]]) -> list[Client]:
    """Return the clients in the answer to SHOW CLIENTS, without consoles and requests to cancel a query.

    A connection that has not logged in, such as a health check, is not in that answer.
    """
    return [
        _client(row) for row in rows if row["database"] != CONSOLE_DATABASE and not row["state"].endswith("_cancel_req")
    ]


def _client(row: Mapping[str, Any]) -> Client:
    # Before 1.25, PgBouncer calls idle clients active, too; only the link to a server tells.
    idle = row["state"] in ("active", "idle") and not row["link"]
    return Client(int(row["id"]) if "id" in row else None, idle, str(row["request_time"]))


@dataclass
class Moments:
    """When a client can be closed without a query on its way: right after a transaction, or when it has long been idle.

    A client that sends regularly is closed in the look that finds its transaction ended. Looks are a millisecond
    apart, so most of its pause is still to come. Where the look before was long ago, the next one may find a better
    moment.
    """

    chosen: frozenset[int]
    _looked: float = 0.0
    _busy: set[int] = field(default_factory=set)
    _idle: dict[int, tuple[str, float]] = field(default_factory=dict)

    def best(self, found: Collection[Client], at: float, pressed: bool = False) -> int | None:
        """Return the client to close now, None for none yet.

        at: seconds on a steady clock; pressed: whether any idle client will do, the one idle longest.
        """
        idle = [client for client in found if client.idle and client.id in self.chosen]
        changed = [client.id for client in idle if self._has_changed(client, at)]
        ended = changed if at - self._looked <= FRESH_SECONDS else []
        self._looked = at
        self._busy = {client.id for client in found if not client.idle and client.id is not None}
        quiet = [client.id for client in idle if at - self._idle[client.id or 0][1] >= QUIET_SECONDS]
        longest = sorted(idle, key=lambda client: client.since) if pressed else []
        return next(iter([*ended, *quiet, *(client.id for client in longest)]), None)

    def _has_changed(self, client: Client, at: float) -> bool:
        """Note an idle client; return whether it sent something since the last look."""
        number = client.id or 0
        since, _seen = self._idle.setdefault(number, (client.since, at))
        ended = number in self._busy or since != client.since
        if ended:
            self._idle[number] = (client.since, at)
        return ended


class Asking(Protocol):
    """A console, as module_utils/pgbouncer.py has it."""

    def ask(self, command: str, seconds: float) -> list[dict[str, Any]]:
        """Give a command and return its rows."""


@dataclass
class Drain:
    """One PgBouncer that is emptied. Every method raises PoolerError."""

    pooler: Pooler
    console: Asking
    closed: int = 0

    def look(self) -> list[Client]:
        """Return the clients that are there."""
        return clients(self._ask("SHOW CLIENTS"))

    def version(self) -> str:
        """Return PgBouncer's version, such as C(1.24.1)."""
        rows = self._ask("SHOW VERSION")
        return str(rows[0]["version"]).removeprefix("PgBouncer ").split(" ", 1)[0] if rows else "of unknown version"

    def wait(self, seconds: float) -> list[Client]:
        """Wait until no client is left or the time is over; return those that are."""
        return _poll(self.look, lambda found: not found, seconds)

    def close(self, found: Iterable[Client], seconds: float) -> list[Client]:
        """Close these clients, each while it is idle, until the time is over; return all that are left.

        Those that connect meanwhile stay: somebody still leads clients here, and would lead them here again.
        """
        moments = Moments(frozenset(client.id for client in found if client.id is not None))
        deadline = time.monotonic() + seconds
        pressed = deadline - seconds / 2

        def closed_all(now: list[Client]) -> bool:
            return not any(client.id in moments.chosen for client in now)

        def close_one() -> list[Client]:
            now, at = self.look(), time.monotonic()
            victim = moments.best(now, at, at >= pressed)
            if victim is None or at >= deadline:
                return now
            self._kill(victim)
            return [client for client in now if client.id != victim]

        return _poll(close_one, closed_all, seconds, WATCH_SECONDS)

    def _kill(self, client: int) -> None:
        try:
            self._ask(f"KILL_CLIENT {client}")
        except PoolerError as error:
            if GONE not in str(error):
                raise
        else:
            self.closed += 1

    def _ask(self, command: str) -> list[dict[str, Any]]:
        try:
            return self.console.ask(command, ANSWER_SECONDS)
        except (TimeoutError, psycopg2.Error) as error:
            where = f"PgBouncer at {self.pooler.address}:{self.pooler.port}"
            raise PoolerError(f"{where}: {command}: {sentence(error)}") from error


def _poll(look: Callable[[], T], enough: Callable[[T], bool], seconds: float, pause: float = POLL_SECONDS) -> T:
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        left = deadline - time.monotonic()
        if enough(found) or left <= 0:
            return found
        time.sleep(min(pause, left))
