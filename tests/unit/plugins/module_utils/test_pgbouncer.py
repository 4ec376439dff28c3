# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import pgbouncer
from ansible_collections.holdfast.ha.plugins.module_utils.pgbouncer import Pooler, PoolerError, Poolers

ADDRESSES = ("192.0.2.11", "192.0.2.12")
POOLERS = Poolers(tuple(Pooler(f"db{at}", address, 6432) for at, address in enumerate(ADDRESSES, 1)), password="secret")


class Refused(Exception):  # noqa: N818 - psycopg2, which the controller lacks, calls it Error
    """What a console answers instead."""


class Session:
    """A session of a console."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.closed = False
        self.columns: tuple[str, ...] = ()

    def close(self) -> None:
        self.closed = True


class Consoles:
    """The admin consoles by address, paused or not; ``failures`` are (address, command): errors, one a time."""

    def __init__(self, failures: dict[tuple[str, str], list[Exception]]) -> None:
        self.paused = dict.fromkeys(ADDRESSES, False)
        self.opened: list[str] = []
        self.told: list[tuple[str, str]] = []
        self.settings: dict[str, Any] = {}
        self.former: dict[str, list[int]] = {}
        self._failures = failures

    def connect(self, settings: dict[str, Any], _seconds: float) -> Session:
        self.settings = settings
        self.opened.append(settings["host"])
        self._fail(settings["host"], "open")
        return Session(settings["host"])

    def answer(self, session: Session, command: str, _values: Any, _seconds: float) -> list[tuple[Any, ...]]:
        assert not session.closed
        self.told.append((session.host, command))
        if command in {"PAUSE", "RESUME"}:
            self.paused[session.host] = command == "PAUSE"
        self._fail(session.host, command)
        if command != "SHOW SERVERS":
            return []
        session.columns = ("type", "close_needed")
        former = self.former.get(session.host, [])
        return [("S", 0), *[("S", 1)] * (former.pop(0) if former else 0)]

    def _fail(self, host: str, command: str) -> None:
        failures = self._failures.get((host, command))
        if failures:
            raise failures.pop(0)


@pytest.fixture
def consoles(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Consoles]:
    def make(failures: dict[tuple[str, str], list[Exception]] | None = None) -> Consoles:
        made = Consoles(failures or {})
        monkeypatch.setattr(pgbouncer, "connect", made.connect)
        monkeypatch.setattr(pgbouncer, "answer", made.answer)
        monkeypatch.setattr(pgbouncer, "psycopg2", SimpleNamespace(Error=Refused))
        return made

    return make


SLOW = {("192.0.2.12", "PAUSE"): [TimeoutError("PostgreSQL did not answer in time")]}


def test_clients_are_held_and_go_on(consoles: Callable[..., Consoles]) -> None:
    seen = consoles()
    with POOLERS.paused(1, required=True):
        assert all(seen.paused.values())
    assert not any(seen.paused.values())
    assert (seen.settings["dbname"], seen.settings["user"]) == ("pgbouncer", "holdfast")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_clients_go_on_whatever_happens(consoles: Callable[..., Consoles], error: type[BaseException]) -> None:
    seen = consoles()
    with pytest.raises(error), POOLERS.paused(1, required=True):
        raise error
    assert not any(seen.paused.values())


def test_a_long_transaction_is_a_refusal_that_leaves_everything_as_it_was(consoles: Callable[..., Consoles]) -> None:
    seen = consoles({key: list(errors) for key, errors in SLOW.items()})
    with pytest.raises(PoolerError, match=r"^pooler db2 \(192.0.2.12:6432\): PAUSE was not done within 1 s\. "):
        POOLERS.paused(1, required=True).__enter__()
    assert not any(seen.paused.values())


def test_by_wish_a_long_transaction_is_left_to_its_fate(consoles: Callable[..., Consoles]) -> None:
    seen = consoles({key: list(errors) for key, errors in SLOW.items()})
    with POOLERS.paused(1, required=False):
        assert all(seen.paused.values())
    assert not any(seen.paused.values())


def test_what_others_have_paused_stays_so(consoles: Callable[..., Consoles]) -> None:
    seen = consoles({("192.0.2.12", "PAUSE"): [Refused("already suspended/paused")]})
    with pytest.raises(PoolerError, match=r"db2"):
        POOLERS.paused(1, required=True).__enter__()
    assert seen.paused == {"192.0.2.11": False, "192.0.2.12": True}


@pytest.mark.parametrize(
    ("errors", "tells", "fails"),
    [
        ([], 1, False),
        (["server closed the connection", "timeout expired"], 3, False),
        (["Pooler is not paused/suspended"], 1, False),
        (["timeout expired"] * 3, 3, True),
    ],
)
def test_resuming_is_tried_again(consoles: Callable[..., Consoles], errors: list[str], tells: int, fails: bool) -> None:
    seen = consoles({("192.0.2.12", "RESUME"): [Refused(text) for text in errors]})
    with (
        pytest.raises(PoolerError, match=r"db2.*its clients wait; give it RESUME") if fails else nullcontext(),
        POOLERS.paused(1, required=True),
    ):
        pass
    assert seen.told.count(("192.0.2.12", "RESUME")) == seen.opened.count("192.0.2.12") == tells
    assert seen.told.count(("192.0.2.11", "RESUME")) == seen.opened.count("192.0.2.11") == 1


def test_nobody_is_held_where_a_console_can_t_be_opened(consoles: Callable[..., Consoles]) -> None:
    seen = consoles({("192.0.2.12", "open"): [Refused("connection refused")]})
    with pytest.raises(PoolerError, match=r"^pooler db2 \(192.0.2.12:6432\): connection refused$"):
        POOLERS.paused(1, required=True).__enter__()
    assert not seen.told


def test_by_wish_a_pooler_that_can_t_be_told_is_left_out(consoles: Callable[..., Consoles]) -> None:
    seen = consoles({("192.0.2.12", "open"): [Refused("connection refused")]})
    with POOLERS.paused(1, required=False):
        assert seen.paused == {"192.0.2.11": True, "192.0.2.12": False}
    assert seen.told == [("192.0.2.11", "PAUSE"), ("192.0.2.11", "RESUME")]


def test_a_console_that_refuses_is_noticed_before(consoles: Callable[..., Consoles]) -> None:
    seen = consoles({("192.0.2.11", "SHOW VERSION"): [Refused("authentication failed")]})
    with pytest.raises(PoolerError, match=r"db1.*authentication failed"):
        POOLERS.check()
    assert not any(command == "PAUSE" for _host, command in seen.told)


def test_the_password_is_in_no_text() -> None:
    assert "secret" not in repr(POOLERS)


def test_connections_to_servers_are_replaced_when_nobody_uses_them(
    consoles: Callable[..., Consoles], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgbouncer, "POLL_SECONDS", 0)
    seen = consoles()
    seen.former = {"192.0.2.11": [2, 1], "192.0.2.12": []}
    assert POOLERS.renew(60) == {"db1": 0, "db2": 0}
    assert [command for host, command in seen.told if host == "192.0.2.11"] == ["RECONNECT", *["SHOW SERVERS"] * 3]


def test_a_connection_that_stays_in_use_is_counted(consoles: Callable[..., Consoles]) -> None:
    seen = consoles()
    seen.former = {"192.0.2.11": [3]}
    assert POOLERS.renew(0) == {"db1": 3, "db2": 0}


def test_a_pooler_that_does_not_answer_is_named(consoles: Callable[..., Consoles]) -> None:
    consoles({("192.0.2.12", "RECONNECT"): [Refused("connection refused")]})
    with pytest.raises(PoolerError, match=r"^pooler db2 \(192.0.2.12:6432\): connection refused$"):
        POOLERS.renew(0)


def test_the_host_s_own_pooler_is_asked_where_no_other_service_can_listen():
    settings = pgbouncer.local_settings(6432, "pgbouncer", "holdfast", "x")
    assert (settings["host"], settings["port"], settings["password"]) == ("/var/run/postgresql", 6432, "x")
