# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the clients need, on hosts that answer from a script."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import Look, Route
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill import clients, patience
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal

from tests.unit.plugins.plugin_utils.drill.cluster import plan
from tests.unit.plugins.plugin_utils.drill.scripted import Cluster, Parts


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
    monkeypatch.setattr(patience, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(clients, "REACH_SECONDS", 0.01)
    with pytest.raises(Refusal, match=message):
        Parts(crew).clients.require()


def test_clients_that_lack_nothing_may_begin() -> None:
    Parts(Asked()).clients.require()


class Loaded(Cluster):
    """A crew that keeps the jobs of the load and the statements of the superuser."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[dict[str, Any]] = []
        self.statements: list[str] = []

    def call(self, host: str, operation: str, *_patience: float, **arguments: Any) -> Any:
        self.jobs += arguments.get("jobs", [])

    def sql(self, host: str, statement: str, **_bounds: Any) -> Any:
        self.statements.append(statement)
        return [[7, [1, 2]]]


def loaded(**changes: Any) -> tuple[Loaded, Parts]:
    crew = Loaded()
    made = Parts(crew, **changes)
    made.clients.begin(made.clients.make_table("db1"))
    return crew, made


def test_transactions_on_lists_run_on_every_port() -> None:
    crew, _made = loaded(consistency=True)
    jobs = [job for job in crew.jobs if job["lists"]]
    assert [(job["name"], job["lists"]["route"], job["settings"]["port"]) for job in jobs] == [
        ("list-1", "primary", 5000),
        ("list-2", "primary", 5000),
        ("list-reader-1", "standby", 5001),
        ("list-reader-2", "standby", 5001),
    ]
    assert {(job["lists"]["isolation"], job["lists"]["writes"]) for job in jobs} == {
        ("SERIALIZABLE", True),
        ("REPEATABLE READ READ ONLY", False),
    }
    assert len({job["lists"]["number"] for job in jobs}) == len(jobs)
    assert {job["lists"]["table"] for job in jobs} == {"holdfast_drill.writes_1_lists"}
    assert "GRANT SELECT, INSERT, UPDATE ON holdfast_drill.writes_1_lists" in "\n".join(crew.statements)


def test_poolers_have_a_client_on_lists_too() -> None:
    pooled = plan()
    for node in pooled.nodes:
        if node.ha:
            node.ha["pools"].append(
                {"name": "pooled", "service": "pgbouncer", "port": 6432, "addresses": ["192.0.2.100"]}
            )
    crew, _made = loaded(consistency=True, nodes=pooled.nodes)
    assert [job["settings"]["port"] for job in crew.jobs if job["name"] == "list-pooled"] == [6432]
    assert [job["answer_deadline"] for job in crew.jobs if job["name"] == "list-pooled"] == [30.0]


def test_without_consistency_there_are_no_lists() -> None:
    crew, made = loaded()
    assert not [job for job in crew.jobs if job["lists"]]
    assert "lists" not in "\n".join(crew.statements)
    assert made.clients.final_lists("db1", "t", lambda: 1.0) == ()


def test_the_lists_at_the_end_are_the_leader_s() -> None:
    crew, made = loaded(consistency=True)
    (end,) = made.clients.final_lists("db1", "holdfast_drill.writes_1", lambda: 1.0)
    assert (end.route, end.server, end.operations) == (Route.FINAL, "db1", (Look(7, (1, 2)),))
    assert crew.statements[-1] == "SELECT key, list FROM holdfast_drill.writes_1_lists"
