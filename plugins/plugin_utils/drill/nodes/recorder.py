# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collects the agents' reports around one injection, with times on the client's clock."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import (
    Fate,
    Route,
    Transaction,
    operation,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.clock import Offset
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import (
    Alert,
    AlertSample,
    BalancerSample,
    MemberSample,
    Outcome,
    Read,
    Write,
)

BREAK = 1.0
MOST_RECORDS = 500_000
RATE_SECONDS = 2.0
STALE_ALERTS = 5.0
FATES: Mapping[str, Fate] = {Outcome.ACKNOWLEDGED: Fate.OK, Outcome.REFUSED: Fate.FAILED}
"""Of a transaction; every other outcome leaves it unknown."""


@dataclass(frozen=True, slots=True)
class Broken:
    """An idle connection of a client that ended without its doing."""

    client: str
    at: float
    error: str


class Recorder:
    """All records since reset(), up to most; agents' rows arrive from many threads."""

    most = MOST_RECORDS

    def __init__(self, members_by_address: Mapping[str, str]) -> None:
        self._names = members_by_address
        self._lock = threading.Lock()
        self._client = Offset(0.0, 0.0)
        self.reset(self._client)

    def reset(self, client: Offset) -> None:
        """Drop all records; client is the clock to which times are translated from now on."""
        with self._lock:
            self._client = client
            self.writes: list[Write] = []
            self.reads: list[Read] = []
            self.naive: list[Write] = []
            self.pooled: list[Write] = []
            self.local_writes: list[Write] = []
            self.members: list[MemberSample] = []
            self.balancers: list[BalancerSample] = []
            self.alerts: list[AlertSample] = []
            self.broken: list[Broken] = []
            self.transactions: list[Transaction] = []
            self._recent: deque[float] = deque()
            self._flow_begun: float | None = None
            self._last: float | None = None
            self._last_server = ""

    def now(self) -> float:
        """Return the time on the client's clock."""
        return self._client.there(time.monotonic())

    def take(self, host: str, stream: str, rows: Sequence[Sequence[Any]], offset: Offset) -> None:
        """Add the rows of an agent whose clock has this offset."""
        takers: dict[str, Callable[[str, Sequence[Any], Callable[[float], float]], None]] = {
            "writes": self._write,
            "naive": self._naive,
            "pooled": self._pooled,
            "reads": self._read,
            "local": self._local,
            "members": self._member,
            "balancers": self._balancer,
            "alerts": self._alerts,
            "broken": self._break,
            "lists": self._transaction,
        }

        def at(theirs: float) -> float:
            return self._client.there(offset.here(theirs))

        with self._lock:
            if self.size() < self.most:
                for row in rows:
                    takers[stream](host, row, at)

    def records(self, begun: float, ended: float) -> dict[str, Any]:
        """Return the records by their names in a ledger: all rows, and the samples between two times."""
        rows = ("writes", "reads", "naive", "pooled", "local_writes")
        return {
            **{name: tuple(getattr(self, name)) for name in rows},
            **{
                name: tuple(sample for sample in getattr(self, name) if begun <= sample.at <= ended)
                for name in ("members", "balancers", "alerts")
            },
        }

    def size(self) -> int:
        """Return the number of records."""
        records = len(self.writes) + len(self.reads) + len(self.members) + len(self.balancers)
        return records + len(self.transactions)

    def rate(self) -> float:
        """Return the recent number of acknowledged rows per second."""
        with self._lock:
            begin = self._client.there(time.monotonic()) - RATE_SECONDS
            while self._recent and self._recent[0] < begin:
                self._recent.popleft()
            return len(self._recent) / RATE_SECONDS

    def silence(self) -> float:
        """Return the seconds since the last acknowledged row."""
        last = self._last
        return float("inf") if last is None else max(0.0, self.now() - last)

    def complaint(self) -> str:
        """Return the error of the last write, "" if it succeeded."""
        with self._lock:
            last = self.writes[-1] if self.writes else None
        return last.error if last and last.outcome is not Outcome.ACKNOWLEDGED else ""

    def flow(self) -> tuple[float, str]:
        """Return for how many seconds rows have been acknowledged without a break, and the server of the last one."""
        if self._last is None or self._flow_begun is None or self.silence() > BREAK:
            return 0.0, ""
        return self._last - self._flow_begun, self._last_server

    def claimed(self, member: str) -> float | None:
        """Return the time of a member's newest sample if Patroni claims in it to be primary, None otherwise."""
        newest = next((sample for sample in reversed(self.members) if sample.member == member), None)
        return newest.at if newest and newest.claims_primary else None

    def firing(self) -> tuple[Alert, ...] | None:
        """Return the alerts in the newest sample, None while Alertmanager does not answer."""
        newest = self.alerts[-1] if self.alerts else None
        return newest.alerts if newest and self.now() - newest.at < STALE_ALERTS else None

    def seen(self, host: str) -> list[float]:
        """Return the times at which a host was observed."""
        members = [sample.at for sample in self.members if sample.member == host]
        return members + [sample.at for sample in self.balancers if sample.balancer == host]

    def _of_client(self, row: Sequence[Any], at: Callable[[float], float]) -> Write:
        name, sequence, begun, ended, outcome, server, error = row
        return Write(name, sequence, at(begun), at(ended), Outcome(outcome), self._names.get(server, server), error)

    def _write(self, _host: str, row: Sequence[Any], at: Callable[[float], float]) -> None:
        write = self._of_client(row, at)
        self.writes.append(write)
        if write.outcome is not Outcome.ACKNOWLEDGED:
            return
        if self._last is None or write.ended - self._last > BREAK:
            self._flow_begun = write.ended
        self._last = max(write.ended, self._last or 0.0)
        self._last_server = write.server
        self._recent.append(write.ended)

    def _naive(self, _host: str, row: Sequence[Any], at: Callable[[float], float]) -> None:
        self.naive.append(self._of_client(row, at))

    def _pooled(self, _host: str, row: Sequence[Any], at: Callable[[float], float]) -> None:
        # The server's address is asked once per connection, so it is certain for the first write only.
        self.pooled.append(replace(self._of_client(row, at), server=""))

    def _read(self, _host: str, row: Sequence[Any], at: Callable[[float], float]) -> None:
        seen = self._of_client(row, at)
        ok = seen.outcome in {Outcome.ACKNOWLEDGED, Outcome.WARNED}
        self.reads.append(Read(seen.writer, seen.begun, seen.ended, ok, seen.server, seen.error))

    def _local(self, host: str, row: Sequence[Any], at: Callable[[float], float]) -> None:
        name, sequence, begun, ended, outcome, _server, error = row
        self.local_writes.append(Write(name, sequence, at(begun), at(ended), Outcome(outcome), host, error))

    def _break(self, _host: str, row: Sequence[Any], at: Callable[[float], float]) -> None:
        name, when, error = row
        self.broken.append(Broken(name, at(when), error))

    def _transaction(self, _host: str, row: Sequence[Any], at: Callable[[float], float]) -> None:
        name, sequence, begun, ended, outcome, server, error, route, operations = row
        where = "" if route == Route.POOLED else self._names.get(server, server)  # as of the pooled writes
        fate, done = FATES.get(outcome, Fate.UNKNOWN), tuple(map(operation, operations))
        self.transactions.append(
            Transaction(name, sequence, Route(route), at(begun), at(ended), fate, done, where, error)
        )

    def _member(self, host: str, row: Sequence[Any], at: Callable[[float], float]) -> None:
        taken, recovering, claims, takes, timeline = row
        self.members.append(MemberSample(at(taken), host, recovering, claims, bool(takes), timeline))

    def _alerts(self, _host: str, row: Sequence[Any], at: Callable[[float], float]) -> None:
        taken, told = row
        alerts = None if told is None else tuple(Alert(*alert) for alert in told)
        self.alerts.append(AlertSample(at(taken), alerts))

    def _balancer(self, host: str, row: Sequence[Any], at: Callable[[float], float]) -> None:
        taken, holds, up = row
        pools = None if up is None else {pool: tuple(names) for pool, names in up.items()}
        self.balancers.append(BalancerSample(at(taken), host, tuple(holds), pools))
