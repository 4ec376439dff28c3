# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate, asked of a cluster that answers from a script."""

from __future__ import annotations

import threading
from typing import Any
from unittest.mock import Mock

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill import conduct
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.conduct import Conductor, GateError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.provider import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.clock import Offset
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.recorder import Recorder
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal

from tests.unit.plugins.plugin_utils.drill.cluster import EXPECTED, plan, probes

OLD, NEW = "00000004000000000000000A", "00000004000000000000000B"


class Cluster:
    """A crew whose nodes are well and archive at once; switched counts the segments that it was asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.switched = 0
        self.broken: dict[str, Any] = {}
        self.archiving = True
        self.archived = OLD
        self.journal = ""

    def on(self, _host: str) -> bool:
        return True

    def offset(self, _host: str) -> Offset:
        return Offset(0.0, 0.0)

    def call_all(self, hosts: Any, operation: str, *_patience: float, **_arguments: Any) -> dict[str, Any]:
        if operation == "run":
            return {host: {"out": self.journal} for host in hosts}
        if operation != "probe":
            return {}
        self.asked += 1
        return probes(**{"db1_postgresql": {"archived": self.archived}, **self.broken})

    def call(self, _host: str, _operation: str, *_patience: float, statement: str = "", **_arguments: Any) -> Any:
        if statement != conduct.SWITCH_WAL:
            return [[None]]
        self.switched += 1
        if self.archiving:
            self.archived = NEW
        return [[NEW]]


@pytest.fixture
def cluster(monkeypatch) -> Cluster:
    monkeypatch.setattr(conduct, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(conduct, "GATE_SECONDS", 0.5)
    return Cluster()


def conductor(cluster: Cluster, injector: Any = None) -> Conductor:
    return Conductor(
        plan=plan(),
        expected=EXPECTED,
        crew=cluster,  # type: ignore[arg-type]
        recorder=Recorder({}),
        injector=injector or Mock(),
        stop=threading.Event(),
        tell=lambda _text: None,
    )


def test_an_archive_that_was_tried_is_not_tried_again(cluster) -> None:
    made = conductor(cluster)
    made.await_gate("after")
    asked = cluster.asked
    _seen, well = made.await_gate("before")

    assert (cluster.switched, cluster.asked) == (1, asked + 1)
    assert "archive" in well


def test_the_hosts_are_asked_anew_every_time(cluster) -> None:
    made = conductor(cluster)
    made.await_gate("after")
    cluster.broken = {"db2_etcd": {"healthy": False}}
    with pytest.raises(GateError, match="etcd on db2 is not healthy"):
        made.await_gate("before")


def test_a_closed_gate_tells_what_the_member_s_log_says(cluster) -> None:
    cluster.broken = {"db1_postgresql": {"standbys": [["db3", "streaming", "quorum"]]}}
    cluster.journal = 'FATAL:  password authentication failed for user "replicator"\nLOG:  waiting for WAL'
    with pytest.raises(
        GateError, match=r"db2 does not stream; .*db2's log says: FATAL:  password authentication failed"
    ):
        conductor(cluster).await_gate("before")


def test_another_timeline_is_archived_anew(cluster) -> None:
    made = conductor(cluster)
    made.await_gate("after")
    cluster.broken = {f"db{number}_postgresql": {"timeline": 5} for number in (1, 2, 3)}
    with pytest.raises(GateError, match="is not archived yet"):
        made.await_gate("before")


def test_after_a_harm_the_archive_is_tried_anew(cluster) -> None:
    injector = Mock(inject=Mock(side_effect=NotProvenError("it survived")), heal=Mock(return_value=[]))
    made = conductor(cluster, injector)
    fault = CATALOGUE["postmaster_killed"]
    with pytest.raises(NotProvenError):
        made._hit(fault, 1, made._ready(fault), begun=0.0, table="t", watch=Mock())
    cluster.archiving, cluster.archived = False, OLD
    with pytest.raises(GateError, match=f"{NEW} is not archived yet"):
        made.await_gate("after")
    assert cluster.switched == 2


def test_the_gate_holds_right_before_the_fault(cluster, monkeypatch) -> None:
    """Something breaks while the first rows are written: the fault is not injected into that."""
    injector = Mock()
    made = conductor(cluster, injector)

    def steady() -> tuple[float, str]:
        cluster.broken = {"db3_etcd": {"healthy": False}}
        return 10.0, "db1"

    monkeypatch.setattr(made._recorder, "flow", steady)
    with pytest.raises(GateError, match="etcd on db3 is not healthy"):
        made.conduct(CATALOGUE["postmaster_killed"], 1)
    injector.inject.assert_not_called()


def test_the_record_ends_with_a_claim_that_is_not_older_than_the_healing(cluster, monkeypatch) -> None:
    made = conductor(cluster)
    claims = iter([99.9, None, 100.2])
    monkeypatch.setattr(made._recorder, "claimed", lambda _leader: next(claims))
    assert made._last_claim("db1", 100.0) == 100.2


class Asked(Cluster):
    """A crew whose hosts tell of psycopg2, and whose client gets into the pools or not."""

    def __init__(self, without: str = "", errors: tuple[str, ...] = ("", "")) -> None:
        super().__init__()
        self.without, self.errors = without, errors

    def call(self, host: str, operation: str, *_patience: float, **arguments: Any) -> Any:
        assert operation == "reach"
        return {"psycopg2": host != self.without, "errors": list(self.errors) if arguments["servers"] else []}


LACKING = {
    "client": (
        Asked("client1"),
        "drill_client: 'client1': /usr/bin/python3 has no module psycopg2 there; install python3-",
    ),
    "database": (Asked("db2"), "db2: /usr/bin/python3 has no module psycopg2"),
    "password": (
        Asked(errors=("password authentication failed", "")),
        r"can't get in: pool primary \(192.0.2.100:5000\): pass",
    ),
    "route": (Asked(errors=("", "no answer within 4 s")), r"pool standby \(192.0.2.100:5001\): no answer within 4 s"),
}


@pytest.mark.parametrize(("crew", "message"), LACKING.values(), ids=LACKING)
def test_what_the_clients_lack_is_told_before_anything(monkeypatch, crew, message) -> None:
    monkeypatch.setattr(conduct, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(conduct, "REACH_SECONDS", 0.01)
    with pytest.raises(Refusal, match=message):
        conductor(crew).require()


def test_clients_that_lack_nothing_may_begin() -> None:
    conductor(Asked()).require()


def test_a_wait_for_writes_tells_what_the_clients_say(cluster) -> None:
    made = conductor(cluster)
    row = ["writer-1", 1, 0.0, 1.0, "refused", "", "no pg_hba.conf entry"]
    made._recorder.take("client1", "writes", [row], Offset(0.0, 0.0))
    with pytest.raises(GateError, match=r"not within 0 s: steady writes; a client says: no pg_hba.conf entry"):
        made._await(lambda: False, 0.0, "steady writes")
