# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clients: writers and readers that record the outcome of each statement."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import (
    Session,
    is_refused_password,
    psycopg2,
    sentence,
    stored_for_certain_not,
    wait,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.attempts import (
    Attempt,
    Keys,
    ListAppend,
    Lists,
    Sent,
    Statement,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.wire import Wire

ACKNOWLEDGED, UNKNOWN, WARNED, REFUSED = "acknowledged", "unknown", "warned", "refused"
WHO = "SELECT host(inet_server_addr())"
LEAST_BACKOFF, MOST_BACKOFF = 0.01, 0.1
IDLE_SECONDS = 0.05


@dataclass(frozen=True)
class Job:
    """A client's job: its name, the stream of its rows, and a statement to run every interval seconds.

    The deadlines are the client's own; None leaves the waiting to libpq. A numbered statement has the client's name and
    the attempt's number as parameters. A connection that is older than lifetime seconds is renewed before the next
    statement, as an application's pool does; None: never. lists: the fields of Lists for a client that runs
    transactions on lists instead of a statement. other_password: what else may be the password, while it changes.
    """

    name: str
    stream: str
    settings: dict[str, Any]
    statement: str
    numbered: bool
    interval: float
    connect_deadline: float | None
    answer_deadline: float | None
    lifetime: float | None = None
    lists: dict[str, Any] | None = None
    other_password: str = ""


class Client:
    """One client; step() never waits.

    A row is [name, sequence, begun, ended, outcome, server's address, error], and the details of a transaction.
    """

    def __init__(self, job: Job, wire: Wire, first: float, keys: Keys) -> None:
        self.job = job
        self.session: Session | None = None
        self._passwords = [str(job.settings.get("password", "")), *filter(None, [job.other_password])]
        self._untried: list[str] = []
        self._wire = wire
        self._keys = keys
        self._sequence = 0
        self._lists = Lists(**job.lists) if job.lists else None
        self._attempt = self._attempted()
        self._step: Callable[[float], None] = self._rest
        self._due = first
        self._deadline: float | None = None
        self._backoff = LEAST_BACKOFF
        self._begun = 0.0
        self._opened = 0.0
        self._server = ""

    def wake(self) -> float:
        """Return the latest time of the next step if the server sends nothing."""
        if self._step == self._rest:
            return self._due
        return self._deadline if self._deadline is not None else float("inf")

    def step(self, now: float) -> None:
        """Proceed as far as possible without waiting."""
        try:
            self._step(now)
        except psycopg2.Error as error:
            self._fail(now, error)

    def stop(self, now: float) -> None:
        """End; the outcome of a pending statement stays unknown."""
        if self._step == self._answered:
            self._record(now, UNKNOWN if self._attempt.decisive else REFUSED, "the drill ended")
        self._hang_up()
        self._step = lambda _now: None

    def _rest(self, now: float) -> None:
        if self.session:
            self.session.ready()  # notices that the server closed the connection
        if now < self._due:
            return
        self._sequence += 1
        self._attempt = self._attempted()
        self._begun = now
        if self.session and not self._outlived(now):
            self._send(now)
            return
        self._hang_up()
        self._server = ""
        self._deadline = self._after(now, self.job.connect_deadline)
        self._step = self._connected
        self._untried = list(self._passwords)
        self._connect()

    def _connect(self) -> None:
        """Connect with the next password; the one that was accepted last comes first."""
        password = self._untried.pop(0)
        self._passwords.sort(key=lambda one: one != password)
        self.session = Session({**self.job.settings, **({"password": password} if password else {})})

    def _connected(self, now: float) -> None:
        if self._late(now) or not self._here().ready():
            return
        self._step = self._introduced
        self._here().execute(WHO)

    def _introduced(self, now: float) -> None:
        if self._late(now) or not self._here().ready():
            return
        self._server = str(self._here().rows()[0][0])
        self._opened = now
        self._send(now)

    def _attempted(self) -> Attempt:
        if self._lists:
            return ListAppend(self._lists, self._keys, self._sequence)
        return Statement((self.job.statement, (self.job.name, self._sequence) if self.job.numbered else ()))

    def _send(self, now: float) -> None:
        self._deadline = self._after(now, self.job.answer_deadline)
        self._step = self._answered
        self._execute(self._attempt.following(None))

    def _execute(self, sent: Sent | None) -> bool:
        if sent is not None:
            self._here().execute(*sent)
        return sent is not None

    def _answered(self, now: float) -> None:
        if self._late(now) or not self._here().ready():
            return
        rows, remark = self._here().rows(), self._here().notices()
        if self._execute(self._attempt.following(rows)):
            return
        self._record(time.monotonic(), WARNED if remark else ACKNOWLEDGED, remark[:160])
        self._backoff = LEAST_BACKOFF
        self._due = max(self._begun + self.job.interval, now)
        self._step = self._rest

    def _rolled_back(self, now: float) -> None:
        if not self._late(now) and self._here().ready():
            self._here().rows()
            self._step = self._rest

    def _outlived(self, now: float) -> bool:
        return self.job.lifetime is not None and now - self._opened >= self.job.lifetime

    def _here(self) -> Session:
        if self.session is None:
            raise RuntimeError("a step without a session")
        return self.session

    @staticmethod
    def _after(now: float, seconds: float | None) -> float | None:
        return None if seconds is None else now + seconds

    def _late(self, now: float) -> bool:
        if self._deadline is None or now < self._deadline:
            return False
        self._fail(now, TimeoutError("no answer in time"))
        return True

    def _fail(self, now: float, error: Exception) -> None:
        if self._step == self._connected and self._untried and is_refused_password(error):
            self._hang_up()
            self._connect()
            return
        if self._step in (self._rest, self._rolled_back):  # only the idle connection broke
            self._wire.record("broken", [self.job.name, now, sentence(error)])
        else:
            stored = self._step == self._answered and self._attempt.decisive and not stored_for_certain_not(error)
            self._record(now, UNKNOWN if stored else REFUSED, sentence(error))
            self._due = now + self._backoff
            self._backoff = min(MOST_BACKOFF, 2 * self._backoff)
            if self._step == self._answered and self._attempt.undone(error):
                self._deadline = self._after(now, self.job.answer_deadline)
                self._step = self._rolled_back
                self._here().execute("ROLLBACK")
                return
        self._hang_up()
        self._step = self._rest

    def _hang_up(self) -> None:
        if self.session:
            self.session.close()
        self.session = None

    def _record(self, now: float, outcome: str, error: str) -> None:
        row = [self.job.name, self._sequence, self._begun, now, outcome, self._server, error]
        self._wire.record(self.job.stream, [*row, *self._attempt.details])


class Load:
    """All clients in one thread; ends by itself after some seconds."""

    def __init__(self, jobs: list[Job], wire: Wire, seconds: float) -> None:
        now, keys = time.monotonic(), Keys()
        self._clients = [
            Client(job, wire, now + job.interval * number / len(jobs), keys) for number, job in enumerate(jobs)
        ]
        self._wire = wire
        self._until = now + seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the clients; all of their rows have been sent when this returns."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set() and time.monotonic() < self._until:
            self._turn()
            self._wire.flush_when_due()
        for client in self._clients:
            client.stop(time.monotonic())
        self._wire.flush()

    def _turn(self) -> None:
        now = time.monotonic()
        until = min(now + IDLE_SECONDS, *(client.wake() for client in self._clients))
        able = wait([client.session for client in self._clients if client.session], until - now)
        now = time.monotonic()
        for client in self._clients:
            if now >= client.wake() or (client.session and client.session.interest()[0] in able):
                client.step(now)
