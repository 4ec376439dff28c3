# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL from the node: asynchronous sessions with bounded waits."""

from __future__ import annotations

import select
import time
from collections.abc import Iterable, Sequence
from typing import Any

# The client's package python3-psycopg2; a balancer has none and needs none.
try:
    import psycopg2  # type: ignore[import-untyped]
    import psycopg2.extensions as libpq  # type: ignore[import-untyped]
except ImportError:
    psycopg2 = None

__all__ = (
    "Session",
    "answer",
    "ask",
    "connect",
    "guarded",
    "is_refused_password",
    "psycopg2",
    "sentence",
    "stored_for_certain_not",
    "wait",
)

Rows = list[tuple[Any, ...]]
# SQLSTATEs of a server that goes away: what it was doing may have been done.
GOING_AWAY = ("57P", "08")
KNOWS_REQUIRE_AUTH = 160000


class Session:
    """One asynchronous session: connect, then one statement at a time. Every method returns at once."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._link = psycopg2.connect(**guarded(settings, libpq.libpq_version()), async_=1)
        self._cursor: Any = None
        self._wants = libpq.POLL_WRITE
        self.columns: tuple[str, ...] = ()

    def interest(self) -> tuple[int, int]:
        """Return the descriptor and the events it waits for, as poll() takes them."""
        events = select.POLLOUT if self._wants == libpq.POLL_WRITE else select.POLLIN
        return self._link.fileno(), events

    def ready(self) -> bool:
        """Move on; say whether the connection stands, or the statement is done. Raises psycopg2.Error."""
        self._wants = self._link.poll()
        return bool(self._wants == libpq.POLL_OK)

    def execute(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Send a statement. Raises psycopg2.Error."""
        self._link.notices.clear()
        self._cursor = self._link.cursor()
        self._cursor.execute(statement, values or None)
        self._wants = libpq.POLL_READ

    def rows(self) -> Rows:
        """Return the rows of the statement that is done; ``columns`` has their names then."""
        described = self._cursor.description or ()
        self.columns = tuple(column[0] for column in described)
        rows: Rows = self._cursor.fetchall() if described else []
        self._cursor.close()
        return rows

    def notices(self) -> str:
        """Return the server's notices during the statement."""
        return " ".join(" ".join(self._link.notices).split())

    def close(self) -> None:
        """Close the connection without cancelling: a cancelled wait for replication would look like success."""
        self._link.close()


def guarded(settings: dict[str, Any], version: int) -> dict[str, Any]:
    """Return settings with which libpq gives the password only to a server that proves to know it.

    :arg version: libpq's; Debian 12's can't.
    """
    proves = bool(settings.get("password")) and version >= KNOWS_REQUIRE_AUTH
    return {**settings, "require_auth": "scram-sha-256"} if proves else settings


def stored_for_certain_not(error: Exception) -> bool:
    """Return whether a failed statement certainly left nothing behind: the server refused it and stays."""
    code = getattr(error, "pgcode", None)
    return bool(code) and not str(code).startswith(GOING_AWAY)


def is_refused_password(error: BaseException) -> bool:
    """Return whether an error says that a password is wrong, in PostgreSQL's or PgBouncer's words."""
    return "authentication failed" in str(error)


def sentence(error: BaseException) -> str:
    """Return an error on one short line."""
    return " ".join(str(error).split())[:160] or type(error).__name__


def wait(sessions: Iterable[Session], seconds: float) -> set[int]:
    """Wait until one of the sessions can move on; return the descriptors that can."""
    poll = select.poll()
    for session in sessions:
        poll.register(*session.interest())
    return {descriptor for descriptor, _events in poll.poll(max(0.0, seconds) * 1000)}


def ask(settings: dict[str, Any], statement: str, values: Sequence[Any], seconds: float) -> Rows:
    """Return a statement's rows; raises TimeoutError when they did not come in time, or psycopg2.Error."""
    deadline = time.monotonic() + seconds
    session = connect(settings, seconds)
    try:
        return answer(session, statement, values, deadline - time.monotonic())
    finally:
        session.close()


def connect(settings: dict[str, Any], seconds: float) -> Session:
    """Return a session that stands; raises TimeoutError when it did not in time, or psycopg2.Error."""
    session = Session(settings)
    try:
        _finish(session, time.monotonic() + seconds)
    except BaseException:
        session.close()
        raise
    return session


def answer(session: Session, statement: str, values: Sequence[Any], seconds: float) -> Rows:
    """Return the rows of a statement in a session that stands; raises TimeoutError or psycopg2.Error."""
    session.execute(statement, values)
    _finish(session, time.monotonic() + seconds)
    return session.rows()


def _finish(session: Session, deadline: float) -> None:
    while not session.ready():
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("PostgreSQL did not answer in time")
        wait([session], left)
