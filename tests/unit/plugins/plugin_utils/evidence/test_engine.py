# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of an engine: started, told to finish, left alone; its hosts answer from a script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill import patience
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.clients import FOUND
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.clock import Offset
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.session import SessionLostError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.process import Speaker
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence import engine as sut
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.desk import BEGIN, END, ENDED, RUNNING, Desk
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.life import Process, process

from tests.unit.plugins.plugin_utils.drill.cluster import DATABASES, EXPECTED, probes
from tests.unit.plugins.plugin_utils.drill.polling import within
from tests.unit.plugins.plugin_utils.drill.scripted import Cluster
from tests.unit.plugins.plugin_utils.evidence.test_plan import plan

HERE = Offset(0.0, 0.0)


class Hosts(Cluster):
    """Hosts that are well; the clients write 20 rows per second while the load lasts."""

    def __init__(self, take: Callable[..., None]) -> None:
        super().__init__()
        self.statements: list[str] = []
        self.acknowledged = 0
        self.required: set[str] = set()
        self.off: set[str] = set()
        self.jobs: list[dict[str, Any]] = []
        self.left: list[str] = []
        self._take = take
        self._stop = threading.Event()

    def begin(self, required: set[str]) -> None:
        self.required = required

    def end(self) -> None:
        self._stop.set()

    def on(self, host: str) -> bool:
        return host not in self.off

    def call(self, host: str, operation: str, *_patience: float, **arguments: Any) -> Any:  # type: ignore[override]
        if operation == "reach":
            return {"psycopg2": True, "errors": [""] * len(arguments["servers"])}
        if operation == "ask":
            return self.sql(arguments["settings"]["host"], arguments["statement"])
        assert (host, operation) == ("client1", "load")
        self.jobs = arguments["jobs"]
        threading.Thread(target=self._write, daemon=True).start()
        return None

    def call_all(self, hosts: Any, operation: str, *_patience: float, **arguments: Any) -> dict[str, Any]:
        if operation == "stop_load":
            self._stop.set()
        return super().call_all(hosts, operation, **arguments)

    def sql(self, host: str, statement: str, *_values: Any, **bounds: Any) -> Any:
        self.statements.append(f"{host}: {statement}")
        if statement == sut.LEFT:
            return [[name] for name in self.left]
        if statement.startswith(FOUND[:20]):
            return [["writer-1", number, 1] for number in range(1, self.acknowledged + 1) if number != self.loses]
        return super().sql(host, statement, **bounds)

    loses = 0

    def _write(self) -> None:
        number = 0
        while not self._stop.wait(0.05):
            number += 1
            now = time.monotonic()
            self._take("client1", "writes", [["writer-1", number, now - 0.01, now, "acknowledged", "", ""]], HERE)
            self.acknowledged = number


class Said(Speaker):
    def say(self, **_message: Any) -> None:
        """Say nothing."""


class Engine:
    """An engine in a thread of the test."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        self.desk, self.leave = Desk(directory), threading.Event()
        self.code: int | None = None

        def crew(_plan: Any, take: Any, _tell: Any) -> Hosts:
            self.hosts = Hosts(take)
            return self.hosts

        monkeypatch.setattr(sut, "Crew", crew)
        values = {"parent": process(os.getpid()), **changes}
        self._engine = sut.Evidence(plan({"directory": str(directory)}, **values), self.desk, self.leave, Said())
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.code = self._engine.run()

    def start(self) -> None:
        self._thread.start()
        assert within(10.0, lambda: (state := self.desk.state()) is not None and state.name in {RUNNING, ENDED})

    def result(self) -> dict[str, Any]:
        self._thread.join(20.0)
        state = self.desk.state()
        assert state is not None
        assert state.name == ENDED
        return dict(state.result)

    def dropped(self) -> list[str]:
        return [one for one in self.hosts.statements[-1:] if "DROP SCHEMA IF EXISTS holdfast_evidence_" in one]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Engine]:
    monkeypatch.setattr(patience, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(sut, "POLL_SECONDS", 0.01)
    return lambda **changes: Engine(tmp_path, monkeypatch, **changes)


def test_a_work_from_its_begin_to_its_end(engine: Callable[..., Engine], tmp_path: Path) -> None:
    made = engine()
    made.start()
    state = made.desk.state()
    assert state is not None
    assert (state.name, state.engine.pid) == (RUNNING, os.getpid())
    assert made.hosts.required == {"client1"}
    made.desk.mark("db2", "reboot", BEGIN)
    assert within(5.0, lambda: made.hosts.acknowledged > 30)
    made.desk.mark("db2", "reboot", END)
    made.desk.ask_to_finish()
    result = made.result()
    assert (made.code, result["passed"], result["failure"]) == (0, True, "")
    assert (result["acknowledged"], result["lost"]) == (made.hosts.acknowledged, 0)
    (step,) = result["steps"]
    assert (step["host"], step["text"], step["finished"]) == ("db2", "reboot", True)
    assert step["acknowledged"] > 0
    assert made.dropped()
    data = json.loads((tmp_path / "evidence.json").read_text())
    assert (data["passed"], data["whole"]["acknowledged"]) == (True, made.hosts.acknowledged)
    assert (tmp_path / "report.html").exists()


def test_a_row_that_is_lost(engine: Callable[..., Engine]) -> None:
    made = engine()
    made.start()
    made.hosts.loses = 7
    made.desk.ask_to_finish()
    result = made.result()
    assert (made.code, result["passed"], result["lost"]) == (1, False, 1)
    assert result["failure"] == "1 acknowledged row not on the leader db1: writer-1/7 [lost_acknowledged]"


def test_an_engine_whose_playbook_is_gone_counts_and_ends(engine: Callable[..., Engine]) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as playbook:
        made = engine(parent=process(playbook.pid))
        made.start()
        playbook.kill()
        playbook.wait()
    result = made.result()
    assert result["failure"].startswith(f"ansible-playbook (process {playbook.pid}) ended before")
    assert (result["passed"], result["lost"], result["acknowledged"]) == (False, 0, made.hosts.acknowledged)
    assert made.dropped()


@pytest.mark.parametrize(
    ("changes", "act", "message"),
    [
        ({"longest": 0.1}, lambda _made: None, "evidence_longest: 0.1: the work took longer; give more seconds"),
        ({}, lambda made: made.leave.set(), "a signal ended the engine before the work had ended"),
    ],
    ids=["longest", "signal"],
)
def test_other_ends(engine: Callable[..., Engine], changes: dict[str, Any], act: Any, message: str) -> None:
    made = engine(**changes)
    made.start()
    act(made)
    result = made.result()
    assert (result["failure"], result["lost"]) == (message, 0)


def test_clients_whose_session_broke_are_told(engine: Callable[..., Engine]) -> None:
    made = engine()
    made.start()
    made.hosts.off.add("client1")
    time.sleep(0.1)
    made.hosts.off.clear()
    made.desk.ask_to_finish()
    assert made.result()["failure"] == "client1: the session broke, and with it the clients ended"


@pytest.mark.parametrize("left", [[], [["db3", "replica", "stopped", 4]]])
def test_a_host_that_left_the_cluster_is_noted(
    engine: Callable[..., Engine], tmp_path: Path, left: list[list[Any]]
) -> None:
    made = engine()
    made.start()
    members = [
        ["db1", "leader", "running", 4],
        ["db2", "quorum_standby", "running", 4],
        ["db9", "replica", "running", 4],
        *left,
    ]
    made.hosts.broken = {"db1_patroni": {"members": members}}
    made.hosts.off.add("db3")
    made.desk.ask_to_finish()
    assert made.result()["passed"]
    assert json.loads((tmp_path / "evidence.json").read_text())["notes"] == [
        "db3: no running member of the cluster at the end; its rows were not counted",
        "db9: a member that the inventory lacked at the begin; its rows were not counted",
    ]


@pytest.mark.parametrize("off", [(), ("db1", "db3")], ids=["named by a majority", "by the one that is left"])
def test_a_leader_that_joined_later(engine: Callable[..., Engine], tmp_path: Path, off: tuple[str, ...]) -> None:
    made = engine()
    made.start()
    assert within(5.0, lambda: made.hosts.acknowledged > 3)
    members = [["db2", "quorum_standby", "running", 5], ["db9", "leader", "running", 5]]
    told = {"members": members, "primary": False}
    made.hosts.broken = {f"{host}_patroni": {} if host in off else told for host in DATABASES}
    made.hosts.off |= {*off}
    made.hosts.loses = 2
    made.desk.ask_to_finish()
    result = made.result()
    assert (result["lost"], result["failure"]) == (
        1,
        "1 acknowledged row not on the leader db9: writer-1/2 [lost_acknowledged]",
    )
    asked = [one.partition(":")[0] for one in made.hosts.statements if " count(*) FROM holdfast_evidence_" in one]
    assert asked == ["db2", (plan({}).drill.pool("primary") or {})["addresses"][0]]
    notes = json.loads((tmp_path / "evidence.json").read_text())["notes"]
    assert notes[-1].startswith("its schema stays: there is no session to a leader")
    assert not [note for note in notes if note.startswith("db9")]


def test_what_keeps_it_from_beginning_is_told(engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine()

    def begin(**_required: Any) -> None:
        raise SessionLostError("client1: SSH to 192.0.2.41: refused")

    monkeypatch.setattr(made.hosts, "begin", begin)
    made.start()
    assert made.result()["failure"] == "client1: SSH to 192.0.2.41: refused"
    assert made.code == 1


def test_the_clients_renew_their_connections_but_one_of_each_kind(engine: Callable[..., Engine]) -> None:
    made = engine()
    made.start()
    made.desk.ask_to_finish()
    made.result()
    kept = {job["name"] for job in made.hosts.jobs if job["lifetime"] is None}
    assert kept == {"direct-kept"}  # this cluster has no poolers
    assert {job["lifetime"] for job in made.hosts.jobs if job["name"] not in kept} == {5.0}
    assert {job["stream"] for job in made.hosts.jobs} == {"writes", "reads", "naive"}


def test_schemas_of_engines_that_were_killed() -> None:
    names = ["holdfast_evidence_1000_7", "holdfast_evidence_9000_7", "holdfast_evidence_x", "holdfast_drill"]
    assert sut.stale(names, 10_000.0, 3600.0) == ["holdfast_evidence_1000_7"]


def test_the_only_member_that_claims_to_be_primary_leads() -> None:
    alone = {"db3": probes("db3")["db3"]}
    assert sut.claimant(EXPECTED, alone) == "db3"
    assert sut.claimant(EXPECTED, {"db3": probes("db3")["db3"], "db1": probes("db1")["db1"]}) == ""
    assert sut.claimant(EXPECTED, {}) == ""
    assert set(DATABASES) == {"db1", "db2", "db3"}


def test_a_parent_that_never_lived() -> None:
    assert not Process(2**22 + 1, "1").lives()
