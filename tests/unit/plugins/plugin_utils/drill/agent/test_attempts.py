# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that run transactions on lists, on a server in memory."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.check import check
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import Fate, Look, Route, Transaction
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent import load
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.attempts import (
    APPENDS_PER_KEY,
    KEYS,
    Keys,
    Lists,
    drawn,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.load import Client, Job
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.clock import Offset
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.recorder import Recorder

TABLE = "drill.lists"
LISTS = {"route": "primary", "table": TABLE, "isolation": "SERIALIZABLE", "number": 1, "writes": True}


class ServerError(Exception):
    """Stands for psycopg2.Error."""

    def __init__(self, pgcode: str | None) -> None:
        super().__init__(f"error {pgcode}")
        self.pgcode = pgcode


class Server:
    """Commits one transaction after the other; failing: what a statement that begins with a word raises next."""

    def __init__(self) -> None:
        self.lists: dict[int, list[int]] = {}
        self.statements: list[str] = []
        self.opened: list[Served] = []
        self.failing: dict[str, ServerError] = {}
        self.warns = False

    def connect(self, _settings: dict[str, Any]) -> Served:
        self.opened.append(Served(self))
        return self.opened[-1]


class Served:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.pending: list[tuple[int, int]] = []
        self.result: list[tuple[Any, ...]] = []
        self.error: ServerError | None = None
        self.last = ""

    def ready(self) -> bool:
        error, self.error = self.error, None
        if error:
            raise error
        return True

    def execute(self, statement: str, values: Sequence[Any] = ()) -> None:
        self.server.statements.append(statement)
        self.last = statement = statement.rpartition("; ")[2]
        self.error = self.server.failing.pop(statement.split()[0], None)
        self.result = []
        if statement.startswith("SELECT list") and (found := self.server.lists.get(values[0])):
            own = [value for key, value in self.pending if key == values[0]]
            self.result = [([*found, *own],)]
        elif statement.startswith("SELECT list"):
            own = [value for key, value in self.pending if key == values[0]]
            self.result = [(own,)] if own else []
        elif statement.startswith("INSERT"):
            self.pending.append((values[0], values[1]))
        elif statement == "COMMIT" and not self.error:
            for key, value in self.pending:
                self.server.lists.setdefault(key, []).append(value)
            self.pending = []
        elif statement == "ROLLBACK":
            self.pending = []
        elif statement.startswith("SELECT host"):
            self.result = [("192.0.2.11",)]

    def rows(self) -> list[tuple[Any, ...]]:
        return self.result

    def notices(self) -> str:
        return "WARNING: canceling" if self.server.warns and self.last == "COMMIT" else ""

    def close(self) -> None:
        """Nothing to give up."""


class Wire:
    def __init__(self) -> None:
        self.rows: list[list[Any]] = []

    def record(self, stream: str, row: list[Any]) -> None:
        if stream == "lists":
            self.rows.append(row)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(load, "Session", made.connect)
    monkeypatch.setattr(load, "psycopg2", type("psycopg2", (), {"Error": ServerError}))
    return made


def client(wire: Wire, keys: Keys | None = None, **changes: Any) -> Client:
    lists = {**LISTS, **changes}
    job = Job(f"list-{lists['number']}", "lists", {}, "", False, 0.05, 2.0, 2.0, None, lists)
    return Client(job, wire, 0.0, keys or Keys())  # type: ignore[arg-type]


def attempt(made: Client, now: float, wire: Wire) -> list[Any]:
    """Step until the attempt has its row."""
    before = len(wire.rows)
    while len(wire.rows) == before:
        made.step(now)
    return wire.rows[-1]


def test_a_transaction_is_sent_statement_by_statement(server: Server) -> None:
    row = attempt(client(wire := Wire()), 1.0, wire)
    name, sequence, _begun, _ended, outcome, address, error, route, operations = row
    assert (name, sequence, outcome, address, error, route) == (
        "list-1",
        1,
        "acknowledged",
        "192.0.2.11",
        "",
        "primary",
    )
    _who, first, *middle, last = server.statements
    assert first.startswith("BEGIN ISOLATION LEVEL SERIALIZABLE; ")
    assert len(middle) == len(operations) - 1
    assert last == "COMMIT"
    appended = [(key, value) for kind, key, value in operations if kind == "append"]
    assert sorted((key, value) for key, values in server.lists.items() for value in values) == sorted(appended)
    assert all(value is not None for _kind, _key, value in operations)


@pytest.mark.parametrize(
    ("word", "pgcode", "outcome"),
    [
        ("INSERT", "40001", "refused"),
        ("INSERT", None, "refused"),
        ("INSERT", "57P01", "refused"),
        ("COMMIT", "40001", "refused"),
        ("COMMIT", "57P01", "unknown"),
        ("COMMIT", None, "unknown"),
    ],
)
def test_only_a_commit_that_was_sent_may_have_stored(
    server: Server, word: str, pgcode: str | None, outcome: str
) -> None:
    made, wire = client(Wire()), Wire()
    made._wire = wire  # type: ignore[assignment]
    server.failing[word] = ServerError(pgcode)
    assert attempt(made, 1.0, wire)[4] == outcome
    assert server.lists == {}


def test_after_a_conflict_the_session_goes_on(server: Server) -> None:
    made = client(wire := Wire())
    server.failing["COMMIT"] = ServerError("40001")
    attempt(made, 1.0, wire)
    assert server.statements[-1] == "ROLLBACK"
    assert attempt(made, 2.0, wire)[4] == "acknowledged"
    assert len(server.opened) == 1


def test_after_another_error_the_session_is_new(server: Server) -> None:
    made = client(wire := Wire())
    server.failing["COMMIT"] = ServerError("57P01")
    attempt(made, 1.0, wire)
    attempt(made, 2.0, wire)
    assert len(server.opened) == 2


def test_a_rollback_without_an_answer_ends_the_session(server: Server) -> None:
    made = client(wire := Wire())
    server.failing |= {"COMMIT": ServerError("40001"), "ROLLBACK": ServerError(None)}
    attempt(made, 1.0, wire)
    made.step(1.5)
    assert attempt(made, 2.0, wire)[4] == "acknowledged"
    assert [row[4] for row in wire.rows] == ["refused", "acknowledged"]
    assert len(server.opened) == 2


def test_a_commit_with_a_warning_is_no_promise(server: Server) -> None:
    server.warns = True
    assert attempt(client(wire := Wire()), 1.0, wire)[4] == "warned"


@pytest.mark.parametrize(("last", "outcome"), [("BEGIN", "refused"), ("COMMIT", "unknown")])
def test_a_transaction_that_the_end_cuts_off(server: Server, last: str, outcome: str) -> None:
    made = client(wire := Wire())
    while not (server.statements and server.statements[-1].startswith(last)):
        made.step(1.0)
    made.stop(2.0)
    assert [(row[4], row[6]) for row in wire.rows] == [(outcome, "the drill ended")]


def test_lists_go_out_of_use_with_acknowledged_appends() -> None:
    keys, chance = Keys(), random.Random(1)
    assert {keys.drawn(chance) for _draw in range(500)} == {*range(KEYS)}
    keys.note(3 * APPENDS_PER_KEY)
    assert {keys.drawn(chance) for _draw in range(500)} == {*range(3, 3 + KEYS)}


def test_values_are_unique_and_readers_only_read() -> None:
    made = [drawn(Lists(**{**LISTS, "number": number}), Keys(), at) for number in (0, 1) for at in range(1, 300)]
    values = [value for operations in made for kind, _key, value in operations if kind == "append"]
    assert len({*values}) == len(values) > 300
    kinds = [{kind for kind, *_rest in operations} for operations in made]
    assert kinds.count({"read"}) > 60
    reading = Lists(**{**LISTS, "writes": False})
    assert all(kind == "read" for at in range(99) for kind, *_rest in drawn(reading, Keys(), at))


def test_what_clients_record_is_checked(server: Server) -> None:
    """Two clients take turns; the recorder's transactions and the server's lists have no anomaly, until one is cut."""
    wire, keys, chance = Wire(), Keys(), random.Random(7)
    clients = [client(wire, keys, number=1), client(wire, keys, number=2, route="pooled")]
    for turn in range(300):
        if chance.random() < 0.1:
            server.failing["COMMIT"] = ServerError(chance.choice(["40001", "57P01"]))
        attempt(chance.choice(clients), turn / 10, wire)
    recorder = Recorder({"192.0.2.11": "db1"})
    rows = [[*row[:3], row[2] + 0.05, *row[4:]] for row in wire.rows]
    recorder.take("client1", "lists", rows, Offset(0.0, 0.0))
    recorded = recorder.transactions
    assert {own.fate for own in recorded} == {*Fate}
    read = {look.values for own in recorded if own.fate is Fate.OK for look in own.operations if isinstance(look, Look)}
    assert () in read
    assert None not in read
    assert {(own.route, own.server) for own in recorded} == {(Route.PRIMARY, "db1"), (Route.POOLED, "")}
    looks = tuple(Look(key, tuple(values)) for key, values in server.lists.items())
    end = Transaction("final", 1, Route.FINAL, 99.0, 99.0, Fate.OK, looks, "db1")
    assert check([*recorded, end]) == ()
    assert check([*recorded, Transaction("final", 1, Route.FINAL, 99.0, 99.0, Fate.OK, looks[1:], "db1")])
