# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import switchover as module
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError
from ansible_collections.holdfast.ha.plugins.module_utils.patroni import Cluster, Member
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_api import ClusterError
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_switchover import RefusedError
from ansible_collections.holdfast.ha.plugins.module_utils.switchover import Limits, Switchover, certificate

LIMITS = Limits(pause=0.1, switch=0.2, healthy=0.2)


def cluster(leader: str, timeline: int) -> Cluster:
    def member(name: str) -> Member:
        leads = name == leader
        role, state = ("leader", "running") if leads else ("quorum_standby", "streaming")
        return Member(name, role, state, timeline=timeline, lag=None if leads else 0, answers=True)

    return Cluster("lab", (member("db1"), member("db2"), member("db3")), agreed=True)


class Api:
    """A cluster of db1, which leads, db2 and db3; ``error`` is what db1 answers instead of handing over."""

    def __init__(self, log: list[str], error: EndpointError | None = None) -> None:
        self.state = cluster("db1", 1)
        self._log = log
        self._error = error

    def cluster(self) -> Cluster:
        return self.state

    def read_configuration(self) -> dict[str, Any]:
        return {"synchronous_mode": "quorum"}

    def switch_over(self, leader: Member, candidate: Member | None, _timeout: float) -> str:
        self._log.append(f"{leader.name} hands over to {candidate.name if candidate else 'the fastest'}")
        if self._error:
            raise self._error
        self.state = cluster(candidate.name if candidate else "db3", 2)
        return "done"

    def own_state(self, member: Member) -> dict[str, Any]:
        leads = self.state.leader == self.state.member(member.name)
        return {"role": "primary" if leads else "replica", "state": "running", "timeline": 2}

    def answers(self) -> Cluster:
        return self.state


class Poolers:
    """Poolers that note what they are told."""

    members = ()

    def __init__(self, log: list[str]) -> None:
        self._log = log

    def check(self) -> None:
        self._log.append("checked")

    def paused(self, _seconds: float, required: bool) -> Poolers:
        self._log.append("required" if required else "not required")
        return self

    def __enter__(self) -> None:
        self._log.append("paused")

    def __exit__(self, *_error: object) -> None:
        self._log.append("resumed")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Switchover, list[str]]]:
    monkeypatch.setattr(module, "merge_answers", lambda answers: answers)

    def make(error: EndpointError | None = None, **changes: Any) -> tuple[Switchover, list[str]]:
        log: list[str] = []
        parts: Any = {"api": Api(log, error), "poolers": Poolers(log)}
        return replace(Switchover(**parts, limits=LIMITS), **changes), log

    return make


def test_clients_are_held_only_while_one_hands_over(made: Callable[..., tuple[Switchover, list[str]]]) -> None:
    switchover, log = made()
    after, seconds = switchover.run(switchover.plan("db2"))
    assert after.leader is not None
    assert (after.leader.name, after.leader.timeline) == ("db2", 2)
    assert log == ["checked", "required", "paused", "db1 hands over to db2", "resumed"]
    assert list(seconds) == ["checkpointed", "paused", "promoted", "switched", "healthy"]


def test_whoever_wins_the_race_leads(made: Callable[..., tuple[Switchover, list[str]]]) -> None:
    switchover, log = made()
    after, _seconds = switchover.run(switchover.plan(None))
    assert after.leader is not None
    assert after.leader.name == "db3"
    assert log[-2:] == ["db1 hands over to the fastest", "resumed"]


def test_a_member_that_does_not_answer_holds_nobody_up(made: Callable[..., tuple[Switchover, list[str]]]) -> None:
    switchover, log = made()
    over, answer = threading.Event(), switchover.api.own_state
    ended: list[str] = []

    def hang(member: Member) -> dict[str, Any] | None:
        if member.name == "db2":
            over.wait(5)
            ended.append(member.name)
        return answer(member)

    switchover.api.own_state = hang  # type: ignore[method-assign]
    switchover.run(switchover.plan(None))
    assert not ended
    over.set()
    assert log[-1] == "resumed"


def test_who_leads_already_is_not_asked(made: Callable[..., tuple[Switchover, list[str]]]) -> None:
    switchover, log = made()
    assert not switchover.plan("db1").needed
    assert log == []


def test_a_refusal_touches_nothing(made: Callable[..., tuple[Switchover, list[str]]]) -> None:
    switchover, log = made()
    with pytest.raises(RefusedError):
        switchover.plan("db9")
    assert log == []


def test_clients_go_on_when_the_leader_refuses(made: Callable[..., tuple[Switchover, list[str]]]) -> None:
    switchover, log = made(EndpointError("https://192.0.2.1:8008/switchover", 412, "no"))
    with pytest.raises(ClusterError, match=r"^db1 did not hand over: .* answered 412: no$"):
        switchover.run(switchover.plan("db2"))
    assert log[-1] == "resumed"


def test_clients_go_on_when_the_pool_stays_behind(
    made: Callable[..., tuple[Switchover, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "certificate", lambda address, _port: address.encode())
    monkeypatch.setattr(module, "ASK_ALL_SECONDS", 0.05)
    switchover, log = made(pool=("192.0.2.100", 5000))
    plan = switchover.plan("db2")
    led = replace(plan, heirs=(replace(plan.heir, host="192.0.2.2", port=5432),))
    with pytest.raises(ClusterError, match=r"^not within 0.2 s: the pool to lead to db2$"):
        switchover.run(led)
    assert log[-1] == "resumed"


def test_a_pool_that_leads_nowhere_does_not_lead_to_an_heir_that_can_t_be_asked(
    made: Callable[..., tuple[Switchover, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "certificate", lambda _address, _port: None)
    switchover, _log = made(pool=("192.0.2.100", 5000))
    plan = switchover.plan("db2")
    led = replace(plan, heirs=(replace(plan.heir, host="192.0.2.2", port=5432),))
    with pytest.raises(ClusterError, match=r"the pool to lead to db2$"):
        switchover.run(led)


def test_whom_the_pool_leads_to_is_asked_at_once(
    made: Callable[..., tuple[Switchover, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "certificate", lambda _address, port: str(port).encode())
    monkeypatch.setattr(module, "ASK_ALL_SECONDS", 60.0)
    switchover, log = made(pool=("192.0.2.100", 5433), limits=replace(LIMITS, switch=2.0))
    plan = switchover.plan(None)
    heirs = tuple(replace(heir, host="192.0.2.2", port=5430 + at) for at, heir in enumerate(plan.heirs, 2))
    assert [(heir.name, heir.port) for heir in heirs] == [("db2", 5432), ("db3", 5433)]
    answer, asked = switchover.api.own_state, []

    def own_state(member: Member) -> dict[str, Any] | None:
        asked.append(member.name)
        return answer(member)

    switchover.api.own_state = own_state  # type: ignore[method-assign]
    switchover.run(replace(plan, heirs=heirs))
    assert asked == ["db3"]
    assert log[-1] == "resumed"


def test_members_that_share_a_certificate_are_all_asked(
    made: Callable[..., tuple[Switchover, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "certificate", lambda _address, _port: b"everybody's")
    switchover, log = made(pool=("192.0.2.100", 5000))
    plan = switchover.plan(None)
    heirs = tuple(replace(heir, host="192.0.2.2", port=5432) for heir in reversed(plan.heirs))
    after, _seconds = switchover.run(replace(plan, heirs=heirs))
    assert after.leader is not None
    assert after.leader.name == "db3"
    assert log[-1] == "resumed"


class Leader:
    """A session to a leader with an empty segment of 4 MiB, and standbys that are behind when they are first asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.left, self.behind = 4, 0
        monkeypatch.setattr(module, "psycopg2", SimpleNamespace(Error=RuntimeError))
        monkeypatch.setattr(module, "answer", self.answer)

    def answer(self, _session: Any, statement: str, values: Sequence[Any], seconds: float) -> list[tuple[Any]]:
        if seconds <= 0:
            raise TimeoutError
        if statement == module.BEHIND:
            assert values == (["db2", "db3"], "0/1")
            self.behind -= 1
            self.log.append("behind" if self.behind > 0 else "there")
            return [(1,)] if self.behind > 0 else []
        self.log.append("write" if statement == module.FILL else statement)
        if statement != module.FILL or self.left == 1:
            return []
        self.left, self.behind = self.left - 1, 2
        return [("0/1",)]


def test_a_segment_is_filled_as_fast_as_the_standbys_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    leader = Leader(monkeypatch)
    module.fill_segment(cast("Any", None), ["db2", "db3"])
    assert leader.log == [*(["BEGIN", "write", "ROLLBACK", "behind", "there"] * 3), "BEGIN", "write", "ROLLBACK"]


def test_a_slow_standby_ends_the_filling(monkeypatch: pytest.MonkeyPatch) -> None:
    leader = Leader(monkeypatch)
    monkeypatch.setattr(module, "FILL_SECONDS", 0.1)

    def never_there(session: Any, statement: str, values: Sequence[Any], seconds: float) -> list[tuple[Any]]:
        leader.behind = 2
        return leader.answer(session, statement, values, seconds)

    monkeypatch.setattr(module, "answer", never_there)
    module.fill_segment(cast("Any", None), ["db2", "db3"])
    assert leader.log.count("write") == 1


def test_a_role_that_may_not_fill_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    leader = Leader(monkeypatch)

    def refuse(*_given: Any) -> list[tuple[Any]]:
        leader.log.append("refused")
        raise RuntimeError("permission denied")

    monkeypatch.setattr(module, "answer", refuse)
    module.fill_segment(cast("Any", None), ["db2"])
    assert leader.log == ["refused"]


def test_a_connection_that_is_held_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over, begun = threading.Event(), []

    def probe(_address: str, _port: int) -> bytes | None:
        begun.append(threading.get_ident())
        if len(begun) == 1:
            over.wait(5)
            return b"old"
        return b"new"

    monkeypatch.setattr(module, "certificate", probe)
    with module.PoolWatch(("192.0.2.100", 5000)) as through:
        assert through.leads_to([b"new"], 2.0) == b"new"
        assert not over.is_set()
        over.set()
        assert through.leads_to([b"old"], 0.2) is None


def test_without_a_pool_nothing_is_seen() -> None:
    with module.PoolWatch(None) as through:
        assert through.leads_to([b"new"], 0.0) is None


@pytest.fixture(scope="session")
def key_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, own = folder / "key.pem", folder / "own.pem"
    asked = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=db2",
    ]
    subprocess.run([*asked, "-keyout", key, "-out", own], check=True, capture_output=True)
    return own, key


def serve_once(answer: bytes, key_pair: tuple[Path, Path]) -> int:
    """Answer one request for TLS like PostgreSQL, on a port of this machine."""
    listener = socket.create_server(("127.0.0.1", 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*key_pair)

    def serve() -> None:
        with listener, listener.accept()[0] as link:
            assert link.recv(8) == module.SSL_REQUEST
            link.sendall(answer)
            if answer == b"S":
                context.wrap_socket(link, server_side=True).close()

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


@pytest.mark.parametrize(("answer", "known"), [(b"S", True), (b"N", False), (b"", False)])
def test_a_server_is_known_by_its_certificate(answer: bytes, known: bool, key_pair: tuple[Path, Path]) -> None:
    own = ssl.PEM_cert_to_DER_cert(key_pair[0].read_text())
    assert certificate("127.0.0.1", serve_once(answer, key_pair)) == (own if known else None)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert certificate("127.0.0.1", port) is None
