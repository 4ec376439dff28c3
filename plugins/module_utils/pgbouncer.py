# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pauses, resumes and reconnects PgBouncers together through their admin consoles."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import (
    Session,
    answer,
    connect,
    psycopg2,
    sentence,
)

ANSWER_SECONDS = 3.0
POLL_SECONDS = 0.1
RESUME_TRIES = 3
NOT_PAUSED = "not paused"
PAUSED_BY_OTHERS = "already suspended/paused"
CONSOLE_DATABASE = "pgbouncer"
SOCKET_DIRECTORY = "/var/run/postgresql"


POOLERS: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "options": {
        "name": {"type": "str", "required": True},
        "address": {"type": "str", "required": True},
        "port": {"type": "int", "default": 6432},
    },
}
"""A module's option with the poolers; it lacks a default."""


class PoolerError(Exception):
    """A PgBouncer did not carry out a command; the message is for the user."""


@dataclass(frozen=True)
class Pooler:
    """One PgBouncer: its name for messages, and where it listens."""

    name: str
    address: str
    port: int


class Console:
    """The admin console of one PgBouncer: opened when first needed, and again after a failure."""

    def __init__(self, settings: dict[str, Any], name: str = "") -> None:
        self.name = name
        self._settings = settings
        self._session: Session | None = None

    def open(self) -> None:
        """Log in, unless that is done. Raises TimeoutError or psycopg2.Error."""
        if self._session is None:
            self._session = connect(self._settings, ANSWER_SECONDS)

    def tell(self, command: str, seconds: float) -> None:
        """Give a command. Raises TimeoutError or psycopg2.Error."""
        self.ask(command, seconds)

    def ask(self, command: str, seconds: float) -> list[dict[str, Any]]:
        """Give a command and return its rows by the names of their columns. Raises TimeoutError or psycopg2.Error."""
        try:
            self.open()
            session = cast("Session", self._session)
            rows = answer(session, command, (), seconds)
            return [dict(zip(session.columns, row, strict=True)) for row in rows]
        except TimeoutError:
            self.close()
            raise TimeoutError(f"{command} was not done within {seconds:g} s") from None
        except psycopg2.Error:
            self.close()
            raise

    def wait_for_servers(self, seconds: float) -> int:
        """Wait until no connection to a server is to be closed, or the time is over; return how many are."""
        deadline = time.monotonic() + seconds
        while True:
            left = sum(int(row["close_needed"]) != 0 for row in self.ask("SHOW SERVERS", ANSWER_SECONDS))
            if not left or time.monotonic() >= deadline:
                return left
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.close()
            self._session = None


Consoles = Mapping[Pooler, Console]
Command = Callable[[Console], None]


@dataclass(frozen=True)
class Poolers:
    """All PgBouncers of a cluster, with one login to their consoles; ``ca`` verifies them where it is given."""

    members: tuple[Pooler, ...] = ()
    username: str = "holdfast"
    password: str | None = field(default=None, repr=False)
    ca: str | None = None

    def check(self) -> None:
        """Raise PoolerError when one of the consoles can't be used."""
        if self.members and psycopg2 is None:
            raise PoolerError("psycopg2 is missing: install python3-psycopg2 where the module runs")
        with self._consoles() as consoles:
            refuse(each(consoles, lambda console: console.tell("SHOW VERSION", ANSWER_SECONDS)))

    @contextmanager
    def paused(self, seconds: float, required: bool) -> Iterator[None]:
        """Hold all clients within the block, and release them at its end, whatever happens.

        A pooler has ``seconds`` to finish the running transactions. If one can't and ``required`` is set, raises
        PoolerError. Otherwise it holds all other clients, and these transactions may fail.
        """
        with self._consoles() as consoles:
            failures = each(consoles, Console.open)  # of all, before the first holds its clients
            refuse(failures if required else {})
            opened = {pooler: console for pooler, console in consoles.items() if pooler not in failures}
            try:
                failures = each(opened, lambda console: console.tell("PAUSE", seconds))
                refuse(failures if required else {}, "PgBouncer waits for transactions under way")
                yield
            finally:
                resume({one: opened[one] for one in opened if PAUSED_BY_OTHERS not in failures.get(one, "")})

    def renew(self, seconds: float) -> dict[str, int]:
        """Have each connection to a server replaced when its transaction has ended; wait so long for that.

        Returns by the pooler's name how many are left. Raises PoolerError when a console does not answer.
        """
        left: dict[str, int] = {}

        def reconnect(console: Console) -> None:
            console.tell("RECONNECT", ANSWER_SECONDS)
            left[console.name] = console.wait_for_servers(seconds)

        with self._consoles() as consoles:
            refuse(each(consoles, reconnect))
        return left

    @contextmanager
    def _consoles(self) -> Iterator[dict[Pooler, Console]]:
        """Yield a console for each, and close them at the end."""
        consoles = {pooler: Console(self.settings(pooler), pooler.name) for pooler in self.members}
        try:
            yield consoles
        finally:
            for console in consoles.values():
                console.close()

    def settings(self, pooler: Pooler) -> dict[str, Any]:
        """Return what psycopg2 needs to log in to the console of a pooler."""
        verified = {"sslmode": "verify-full", "sslrootcert": self.ca} if self.ca else {"sslmode": "prefer"}
        return {
            "host": pooler.address,
            "port": pooler.port,
            "dbname": CONSOLE_DATABASE,
            "user": self.username,
            "password": self.password or "",
            "application_name": "holdfast",
            **verified,
        }


def local_settings(port: int, database: str, username: str, password: str) -> dict[str, Any]:
    """Return what psycopg2 needs to log in to the PgBouncer of this host.

    By its socket: while it restarts, another service user could take its port and ask for the password.
    """
    settings = {"host": SOCKET_DIRECTORY, "port": port, "dbname": database, "user": username, "password": password}
    return {**settings, "application_name": "holdfast"}


def pools_of(rows: Iterable[Mapping[str, Any]], users: Collection[str]) -> list[tuple[str, str]]:
    """Return user and database of each pool of these users in the answer to SHOW POOLS."""
    found = ((str(row["user"]), str(row["database"])) for row in rows)
    return sorted({(user, database) for user, database in found if user in users and database != CONSOLE_DATABASE})


def resume(consoles: Consoles) -> None:
    """Release the clients of poolers. Raises PoolerError for those that can't be reached."""
    left = dict(consoles)
    failures: dict[Pooler, str] = {}
    for _try in range(RESUME_TRIES):
        failures = each(left, lambda console: console.tell("RESUME", ANSWER_SECONDS))
        left = {pooler: consoles[pooler] for pooler, why in failures.items() if NOT_PAUSED not in why}
        if not left:
            return
    raise PoolerError(f"{'; '.join(failures[one] for one in left)}: its clients wait; give it RESUME, or restart it")


def refuse(failures: Mapping[Pooler, str], why: str = "") -> None:
    """Raise PoolerError when there are failures."""
    if failures:
        raise PoolerError(". ".join(filter(None, ("; ".join(failures.values()), why))))


def each(consoles: Consoles, command: Command) -> dict[Pooler, str]:
    """Run a command on all in parallel and return the reasons of failures."""

    def why(pooler: Pooler) -> str:
        try:
            command(consoles[pooler])
        except (TimeoutError, psycopg2.Error) as error:
            return f"pooler {pooler.name} ({pooler.address}:{pooler.port}): {sentence(error)}"
        return ""

    with ThreadPoolExecutor(max(1, len(consoles))) as pool:
        return {one: text for one, text in zip(consoles, pool.map(why, consoles), strict=True) if text}
