# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The course of a soak of three seconds, on a cluster that answers from a script."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.clock import Offset
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.process import Speaker
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak import engine as sut

from tests.unit.plugins.plugin_utils.drill.scripted import Cluster
from tests.unit.plugins.plugin_utils.soak.test_plan import plan

PGBENCH = """number of transactions actually processed: 100
latency average = 3.5 ms
tps = 200.0
"""


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Hosts(Cluster):
    """Hosts that are well; the client's writers get three rows in."""

    def __init__(self, take: Any, leader: str = "db1") -> None:
        super().__init__()
        self.leader = leader
        self.ran: list[str] = []
        self._take = take

    def begin(self) -> None:
        """There are no sessions to open."""

    def end(self) -> None:
        """Nor to close."""

    def call(self, _host: str, operation: str, *_patience: float, **arguments: Any) -> Any:
        if operation == "load":
            rows = [["writer-1", number, 0.0, 1.0, "acknowledged", "192.0.2.11", ""] for number in (1, 2, 3)]
            self._take("client1", "writes", rows, Offset(0.0, 0.0))
        if operation == "reach":
            return {"psycopg2": True, "errors": [""] * len(arguments["servers"])}
        return {"run": self.run, "request": self.etcd}.get(operation, lambda **_more: None)(**arguments)

    def run(self, argv: list[str], **_more: Any) -> Mapping[str, Any]:
        self.ran.append(" ".join(argv))
        if "pgbench" in argv:
            time.sleep(0.3)
            return {"code": 0, "out": PGBENCH, "err": ""}
        return {"code": 1 if argv[0] == "journalctl" else 0, "out": "1700000000", "err": ""}

    def etcd(self, path: str, body: Mapping[str, Any], **_more: Any) -> Mapping[str, Any]:
        leader = {"key": encoded("/service/main/leader"), "value": encoded(self.leader), "lease": "17"}
        answers = {
            "/v3/auth/authenticate": {"token": "known"},
            "/v3/kv/range": {"header": {"raft_term": "4"}, "kvs": [leader]},
            "/v3/lease/timetolive": {"grantedTTL": "20", "TTL": "19"},
        }
        return {"status": 200, "body": answers[path]}


class Said(Speaker):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []

    def say(self, **message: Any) -> None:
        self.messages.append(message)


@pytest.fixture
def soaked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a soak; return its code, its report, and what the hosts ran."""
    made: list[Hosts] = []

    def hosts(_plan: Any, take: Any, _tell: Any) -> Hosts:
        made.append(Hosts(take))
        return made[0]

    monkeypatch.setattr(sut, "Crew", hosts)

    def run(disturb: Any = None) -> tuple[int, dict[str, Any], list[str]]:
        soak = sut.Soak(plan(drill={"directory": str(tmp_path)}, minutes=0.05), threading.Event(), Said())
        if disturb:
            threading.Timer(1.0, disturb, made).start()
        code = soak.run()
        return code, json.loads((tmp_path / "soak.json").read_text()), made[0].ran

    return run


def test_a_calm_soak_passes(soaked: Any) -> None:
    code, report, ran = soaked()
    assert (code, report["breaches"]) == (0, [])
    assert (report["acknowledged"], report["lost"]) == (3, 0)
    assert report["before"]["leader"] == report["after"]["leader"] == "db1"
    assert report["lease_looks"] > 3
    assert sum("pgbench" in command for command in ran) > 2


def test_another_leader_ends_it(soaked: Any) -> None:
    code, report, _ran = soaked(lambda hosts: setattr(hosts, "leader", "db2"))
    assert code == 1
    assert "the leader key names db2" in [change["text"] for change in report["breaches"]]
    assert report["seconds"] < 3
