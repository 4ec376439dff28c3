# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PgBouncers held and let go together through their admin consoles."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import ask, psycopg2, sentence

ANSWER_SECONDS = 3.0
RESUME_TRIES = 3
NOT_PAUSED = "not paused"
PAUSED_BY_OTHERS = "already suspended/paused"


class PoolerError(Exception):
    """A PgBouncer did not do what it was told; the message is for the user."""


@dataclass(frozen=True)
class Pooler:
    """One PgBouncer: its name for people, and where it listens."""

    name: str
    address: str
    port: int


Command = Callable[[Pooler], None]


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
        failures = self._each(self.members, lambda pooler: self._tell(pooler, "SHOW VERSION", ANSWER_SECONDS))
        if failures:
            raise PoolerError("; ".join(failures.values()))

    @contextmanager
    def paused(self, seconds: float, required: bool) -> Iterator[None]:
        """Hold all clients within, and let them go on in the end, whatever happens.

        A pooler has ``seconds`` to finish the transactions that are under way. When one can't, PoolerError is raised;
        unless ``required``: then it holds all others, and those transactions are left to their fate.
        """
        failures: dict[Pooler, str] = {}
        try:
            failures = self._each(self.members, lambda pooler: self._tell(pooler, "PAUSE", seconds))
            if failures and required:
                raise PoolerError(f"{'; '.join(failures.values())}. PgBouncer waits for transactions under way")
            yield
        finally:
            self.resume([pooler for pooler in self.members if PAUSED_BY_OTHERS not in failures.get(pooler, "")])

    def resume(self, poolers: Sequence[Pooler]) -> None:
        """Let the clients of poolers go on. Raises PoolerError for those that can't be told."""
        left = list(poolers)
        failures: dict[Pooler, str] = {}
        for _try in range(RESUME_TRIES):
            failures = self._each(left, lambda pooler: self._tell(pooler, "RESUME", ANSWER_SECONDS))
            left = [pooler for pooler, why in failures.items() if NOT_PAUSED not in why]
            if not left:
                return
        raise PoolerError(
            f"{'; '.join(failures[one] for one in left)}: its clients wait; give it RESUME, or restart it"
        )

    def _tell(self, pooler: Pooler, command: str, seconds: float) -> None:
        """Give one console one command. Raises TimeoutError or psycopg2.Error."""
        try:
            ask(self._settings(pooler), command, (), seconds)
        except TimeoutError:
            raise TimeoutError(f"{command} was not done within {seconds:g} s") from None

    def _settings(self, pooler: Pooler) -> dict[str, t.Any]:
        verified = {"sslmode": "verify-full", "sslrootcert": self.ca} if self.ca else {"sslmode": "prefer"}
        return {
            "host": pooler.address,
            "port": pooler.port,
            "dbname": "pgbouncer",
            "user": self.username,
            "password": self.password or "",
            "application_name": "holdfast",
            **verified,
        }

    @staticmethod
    def _each(poolers: Iterable[Pooler], command: Command) -> dict[Pooler, str]:
        """Run a command on all at once and return why it failed where it did."""

        def why(pooler: Pooler) -> str:
            try:
                command(pooler)
            except (TimeoutError, psycopg2.Error) as error:
                return f"pooler {pooler.name} ({pooler.address}:{pooler.port}): {sentence(error)}"
            return ""

        listed = list(poolers)
        with ThreadPoolExecutor(max(1, len(listed))) as pool:
            return {one: text for one, text in zip(listed, pool.map(why, listed), strict=True) if text}
