# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import pooler_drain
from ansible_collections.holdfast.ha.plugins.module_utils.pgbouncer import Pooler, PoolerError
from ansible_collections.holdfast.ha.plugins.module_utils.pooler_drain import Client, Drain, Moments, clients
from ansible_collections.holdfast.ha.plugins.modules.pooler_drain import empty


class Refused(Exception):  # noqa: N818 - psycopg2, which the controller lacks, calls it Error
    """What a console answers instead."""


def row(number: int | None, state: str = "active", link: str = "", database: str = "app") -> dict[str, Any]:
    """A client as SHOW CLIENTS has it; one without a number is of a version before 1.24."""
    common = {"database": database, "state": state, "link": link, "request_time": f"2030-01-01 00:00:0{number} UTC"}
    return common if number is None else {**common, "id": number}


@dataclass
class Console:
    """A console: ``script`` changes the clients before each look; what is killed is gone then."""

    rows: dict[int, dict[str, Any]]
    script: list[Callable[[dict[int, dict[str, Any]]], object]] = field(default_factory=list)
    killed: list[int] = field(default_factory=list)
    version: str = "PgBouncer 1.24.1"
    error: str = ""

    def ask(self, command: str, _seconds: float) -> list[dict[str, Any]]:
        if self.error:
            raise Refused(self.error)
        if command == "SHOW VERSION":
            return [{"version": self.version}]
        if command == "SHOW CLIENTS":
            if self.script:
                self.script.pop(0)(self.rows)
            return [row(99, database="pgbouncer"), *self.rows.values()]
        number = int(command.removeprefix("KILL_CLIENT "))
        if number not in self.rows:
            raise Refused("client not found")
        assert not self.rows[number]["link"], "a client was closed within its transaction"
        self.killed.append(number)
        del self.rows[number]
        return []


class Clock:
    """Time that only passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pooler_drain, "time", made)
    monkeypatch.setattr(pooler_drain, "psycopg2", SimpleNamespace(Error=Refused))
    monkeypatch.setattr("ansible_collections.holdfast.ha.plugins.modules.pooler_drain.time", made)
    return made


def drained(console: Console, patience: float = 1, timeout: float = 1, check_mode: bool = False) -> dict[str, Any]:
    found = empty(Drain(Pooler("db1", "192.0.2.11", 6432), console), patience, timeout, check_mode)
    return {name: value for name, value in found.items() if name != "version"}


@pytest.mark.parametrize(
    ("given", "idle"),
    [
        (row(1, "active"), True),  # before 1.25
        (row(1, "idle"), True),
        (row(1, "active", "0x55d0"), False),
        (row(1, "waiting"), False),
        (row(None, "active"), True),
    ],
)
def test_idle(given: dict[str, Any], idle: bool) -> None:
    assert [client.idle for client in clients([given])] == [idle]


def test_what_is_no_client() -> None:
    cancels = [row(number, state) for number, state in enumerate(("active_cancel_req", "waiting_cancel_req"))]
    assert clients([row(3, database="pgbouncer"), *cancels]) == []


def best(moments: Moments, at: float, *found: Client, pressed: bool = False) -> int | None:
    return moments.best(found, at, pressed)


def test_a_client_is_closed_in_the_look_that_finds_its_transaction_ended() -> None:
    moments = Moments(frozenset({1, 2}))
    assert best(moments, 0.00, Client(1, True, "a"), Client(2, False, "a")) is None
    assert best(moments, 0.01, Client(1, True, "a"), Client(2, True, "a")) == 2
    assert best(moments, 0.02, Client(1, True, "a"), Client(2, True, "a")) is None
    assert best(moments, 0.03, Client(1, True, "b"), Client(2, True, "a")) == 1
    assert best(moments, 0.04, Client(1, True, "b"), Client(3, True, "a")) is None


def test_an_end_that_may_be_long_ago_is_no_moment() -> None:
    moments = Moments(frozenset({1}))
    assert best(moments, 0.00, Client(1, False, "a")) is None
    assert best(moments, 0.05, Client(1, True, "a")) is None
    assert best(moments, 0.06, Client(1, True, "b")) == 1


def test_a_client_that_is_long_idle_is_closed() -> None:
    moments = Moments(frozenset({1}))
    assert [best(moments, at, Client(1, True, "a")) for at in (0.0, 0.9, 1.0)] == [None, None, 1]


def test_only_a_chosen_client_is_closed() -> None:
    moments = Moments(frozenset({2}))
    assert best(moments, 0.0, Client(1, True, "a"), pressed=True) is None


def test_when_time_presses_the_one_idle_longest_is_closed() -> None:
    found = [Client(1, True, "b"), Client(2, False, "a"), Client(3, True, "a")]
    assert best(Moments(frozenset({1, 2, 3})), 0.0, *found, pressed=True) == 3


def test_nobody_is_there() -> None:
    assert drained(Console({})) == {"changed": False, "waited": 0.0, "left": 0, "closed": 0}


def test_clients_that_leave_are_waited_for() -> None:
    console = Console({1: row(1)}, [lambda rows: None, lambda rows: rows.clear()])
    assert drained(console, patience=9) == {"changed": False, "waited": 0.2, "left": 0, "closed": 0}


def test_clients_that_stay_are_closed_while_idle() -> None:
    ends: list[Callable[[dict[int, dict[str, Any]]], object]] = [lambda rows: None] * 5
    console = Console({1: row(1), 2: row(2, link="0x1")}, [*ends, lambda rows: rows[2].update(link="")])
    assert drained(console, patience=0, timeout=9) == {"changed": True, "waited": 0.0, "left": 0, "closed": 2}
    assert console.killed == [2, 1]


def test_a_transaction_that_does_not_end_is_left() -> None:
    console = Console({1: row(1), 2: row(2, link="0x1"), 3: row(3, "waiting")})
    assert drained(console) == {"changed": True, "waited": 1.0, "left": 2, "closed": 1}


def test_those_that_come_meanwhile_are_left() -> None:
    def come(rows: dict[int, dict[str, Any]]) -> None:
        number = 1 + max(rows)
        rows[number] = row(number)

    console = Console({1: row(1)}, [lambda rows: None, come, come])
    assert drained(console, patience=0) == {"changed": True, "waited": 0.0, "left": 2, "closed": 1}
    assert console.killed == [1]


def test_one_that_left_in_that_moment_is_not_counted() -> None:
    console = Console({1: row(1)})
    drain = Drain(Pooler("db1", "192.0.2.11", 6432), console)
    assert drain.close([Client(1, True, "")], 0) == clients([row(1)])  # no time, nobody closed
    drain._kill(7)
    assert (drain.closed, console.killed) == (0, [])


def test_an_old_pooler_only_waits() -> None:
    found = drained(Console({1: row(None)}, version="PgBouncer 1.18.0"))
    assert "1.18.0 can't close single clients" in found.pop("hint")
    assert found == {"changed": False, "waited": 1.0, "left": 1, "closed": 0}


@pytest.mark.parametrize(("number", "changed"), [(1, True), (None, False)])
def test_check_mode_predicts(number: int | None, changed: bool) -> None:
    console = Console({1: row(number)})
    found = drained(console, check_mode=True)
    assert (found["changed"], found["waited"], found["left"], console.killed) == (changed, 0.0, 1, [])


def test_a_console_that_does_not_answer() -> None:
    with pytest.raises(PoolerError, match=r"^PgBouncer at 192\.0\.2\.11:6432: SHOW VERSION: not allowed$"):
        drained(Console({}, error="not allowed"))
