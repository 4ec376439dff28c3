# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that renew their connections, and clients that keep them, on a server that answers at once."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent import load
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.attempts import Keys
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.load import Client, Job


class RefusedError(Exception):
    """Stands for psycopg2.Error."""


class Server:
    """Sessions that are ready at once; down: whether it refuses; password: the only one, "" for any."""

    def __init__(self) -> None:
        self.opened: list[ServedSession] = []
        self.down = False
        self.password = ""

    def connect(self, settings: dict[str, Any]) -> ServedSession:
        self.opened.append(ServedSession(self, settings.get("password", "")))
        return self.opened[-1]


class ServedSession:
    def __init__(self, server: Server, password: str) -> None:
        self.server, self.password, self.closed, self.stands = server, password, False, False

    def ready(self) -> bool:
        if not self.stands and self.server.password not in ("", self.password):
            raise RefusedError("FATAL:  SASL authentication failed")
        self.stands = True
        if self.server.down:
            raise RefusedError("server closed the connection")
        return True

    def execute(self, _statement: str, _values: Any = ()) -> None:
        """Answer at once."""

    def rows(self) -> list[tuple[Any, ...]]:
        return [("192.0.2.11",)]

    def notices(self) -> str:
        return ""

    def close(self) -> None:
        self.closed = True


class Wire:
    def __init__(self) -> None:
        self.rows: list[tuple[str, list[Any]]] = []

    def record(self, stream: str, row: list[Any]) -> None:
        self.rows.append((stream, row))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(load, "Session", made.connect)
    monkeypatch.setattr(load, "psycopg2", type("psycopg2", (), {"Error": RefusedError}))
    return made


def client(lifetime: float | None, wire: Wire) -> Client:
    job = Job("pooled-1", "pooled", {}, "INSERT", True, 0.1, 30.0, 30.0, lifetime)
    return Client(job, wire, 0.0, Keys())  # type: ignore[arg-type]


def work(made: Client, begin: float, end: float) -> None:
    """Step through some seconds."""
    for tenth in range(round(begin * 10), round(end * 10)):
        for _step in range(4):
            made.step(tenth / 10)


@pytest.mark.parametrize(("lifetime", "connections"), [(None, 1), (5.0, 3), (1.0, 15)])
def test_a_connection_is_renewed_after_its_lifetime(server: Server, lifetime: float | None, connections: int) -> None:
    wire = Wire()
    work(client(lifetime, wire), 0.0, 14.9)
    assert len(server.opened) == connections
    assert [session.closed for session in server.opened] == [True] * (connections - 1) + [False]
    assert {row[4] for _stream, row in wire.rows} == {"acknowledged"}
    assert [row[1] for _stream, row in wire.rows] == list(range(1, len(wire.rows) + 1))


def test_the_time_of_the_renewal_is_the_next_attempt_s(server: Server) -> None:
    wire = Wire()
    made = client(1.0, wire)
    work(made, 0.0, 1.0)
    made.step(1.0)
    assert len(server.opened) == 2
    made.step(1.5)
    made.step(2.0)
    made.step(2.5)
    assert wire.rows[-1][1][2] == 1.0


def test_an_idle_connection_that_ends_is_no_failed_attempt(server: Server) -> None:
    wire = Wire()
    made = client(None, wire)
    for _step in range(4):
        made.step(0.0)
    server.down = True
    made.step(0.05)
    assert wire.rows[-1] == ("broken", ["pooled-1", 0.05, "server closed the connection"])
    server.down = False
    work(made, 0.1, 0.5)
    assert {row[4] for stream, row in wire.rows if stream == "pooled"} == {"acknowledged"}
    assert len(server.opened) == 2


@pytest.mark.parametrize(
    ("other", "outcomes", "tried"),
    [
        # a connection is renewed every second: the change is met at the next one
        ("new", {"acknowledged"}, ["old", "old", "new", "new"]),
        ("", {"acknowledged", "refused"}, None),
    ],
)
def test_a_client_with_both_passwords_survives_their_change(
    server: Server, other: str, outcomes: set[str], tried: list[str] | None
) -> None:
    wire = Wire()
    job = Job("pooled-1", "pooled", {"password": "old"}, "INSERT", True, 0.1, 30.0, 30.0, 1.0, None, other)
    made = Client(job, wire, 0.0, Keys())  # type: ignore[arg-type]
    server.password = "old"
    work(made, 0.0, 0.9)
    server.password = "new"
    work(made, 0.9, 2.8)
    assert {row[4] for _stream, row in wire.rows} == outcomes
    if tried:
        assert [session.password for session in server.opened] == tried


def test_a_client_whose_passwords_are_both_refused_fails_once_an_attempt(server: Server) -> None:
    wire = Wire()
    job = Job("pooled-1", "pooled", {"password": "old"}, "INSERT", True, 0.1, 30.0, 30.0, None, None, "older")
    made = Client(job, wire, 0.0, Keys())  # type: ignore[arg-type]
    server.password = "new"
    made.step(0.0)
    made.step(0.0)
    made.step(0.0)
    assert [row[4] for _stream, row in wire.rows] == ["refused"]
    assert [session.password for session in server.opened] == ["old", "older"]
    assert all(session.closed for session in server.opened)
