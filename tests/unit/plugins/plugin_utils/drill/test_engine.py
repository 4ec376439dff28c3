# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill reports however it ends; the cluster is a script of what each injection gives."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from xml.etree import ElementTree as ET

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill import engine
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import GateError, StoppedError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report import files as report
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Ledger
from jsonschema import Draft202012Validator

from tests.unit.plugins.plugin_utils.drill.cluster import plan, probes
from tests.unit.plugins.plugin_utils.drill.ledgers import ledger
from tests.unit.plugins.plugin_utils.rto import cluster as timed

SCHEMA = json.loads((Path(__file__).resolve().parents[5] / "docs/drill-report.schema.json").read_text())
FAULTS = ("postmaster_killed", "primary_hang", "switchover")


class Spoken(engine.Speaker):
    """Keeps what was said."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []

    def say(self, **message: Any) -> None:
        self.messages.append(message)

    def last(self, key: str) -> Any:
        return next(message[key] for message in reversed(self.messages) if key in message)


def judged(fault: str) -> Ledger:
    return ledger(fault=fault)


@pytest.fixture
def drill(tmp_path, monkeypatch) -> Callable[..., tuple[int, Spoken, Path]]:
    """Run a drill whose injections give a ledger or raise these, one after the other."""

    def run(
        *outcomes: Exception | None,
        healed: tuple[list[str], ...] = (),
        begin: Exception | None = None,
        lacking: Exception | None = None,
        told: dict[str, Any] | None = None,
        **changes: Any,
    ) -> tuple[int, Spoken, Path]:
        spoken = Spoken()
        planned = plan(**{"faults": FAULTS, "directory": str(tmp_path), **changes})
        made = engine.Drill(planned, threading.Event(), spoken)
        script, heals = iter(outcomes), iter(healed)

        def conduct(fault: Any, number: int) -> Ledger:
            outcome = next(script)
            if outcome is not None:
                raise outcome
            return judged(fault.name)

        def start() -> None:
            if begin:
                raise begin

        monkeypatch.setattr(made._crew, "begin", start)
        monkeypatch.setattr(made._clients, "require", Mock(side_effect=lacking))
        monkeypatch.setattr(made._crew, "call_all", lambda _hosts, operation, *_rest, **_more: answers(operation, told))
        monkeypatch.setattr(made._conductor, "conduct", conduct)
        monkeypatch.setattr(made._tools, "heal", lambda: next(heals, []))
        return made.run(), spoken, tmp_path

    return run


def answers(operation: str, told: dict[str, Any] | None) -> dict[str, Any]:
    """Return what the nodes say before the first injection; nothing unless they tell of their timings."""
    if told is None:
        return {}
    return {"timings": told, "probe": probes()}[operation]


def cases(directory: Path) -> dict[str | None, list[str]]:
    found = ET.parse(directory / "junit.xml").getroot().iter("testcase")
    return {case.get("name"): [child.tag for child in case if child.tag != "system-out"] for case in found}


def document(directory: Path) -> dict[str, Any]:
    found = json.loads((directory / "report.json").read_text())
    Draft202012Validator(SCHEMA).validate(found)
    return found


def test_a_drill_that_passes(drill) -> None:
    code, spoken, directory = drill(None, None, None)
    said = document(directory)
    assert (code, said["passed"], said["failure"], said["unjudged"]) == (0, True, "", [])
    assert spoken.last("result") == {"passed": True, "failure": "", "directory": str(directory)}


def test_a_drill_that_breaks_a_budget(drill) -> None:
    code, spoken, _directory = drill(None, None, None, budgets={"switchover": 0.1})
    assert (code, spoken.last("result")["failure"]) == (1, "budgets or invariants are broken")


def test_the_gate_never_opened(drill) -> None:
    code, spoken, directory = drill(GateError("db3 does not stream"))
    said = document(directory)

    assert code == 1
    assert said["faults"] == []
    assert said["failure"] == "stopped early: db3 does not stream; 2 of 3 injections were not begun"
    assert said["unjudged"] == [{"fault": FAULTS[0], "repetition": 1, "reason": "db3 does not stream"}]
    assert said["skipped"] == dict.fromkeys(FAULTS[1:], "the drill stopped before it")
    assert spoken.last("result")["failure"].startswith(said["failure"])
    assert "FAILED, 0 injections judged" in spoken.last("table")
    assert "  1. postmaster_killed 1: db3 does not stream" in spoken.last("table").splitlines()
    assert cases(directory) == {
        "postmaster_killed 1": ["error"],
        "primary_hang": ["skipped"],
        "switchover": ["skipped"],
        "the drill came to its end and left nothing behind": ["error"],
    }
    page = (directory / "report.html").read_text()
    assert "The drill itself failed" in page
    assert "<svg" not in page


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (StoppedError(), "interrupted"),
        (GateError("not healed: power: no container"), "not healed: power: no container"),
        (ValueError("x"), "the engine failed: ValueError('x')"),
    ],
)
def test_a_drill_that_ends_in_its_second_injection(drill, error: Exception, reason: str) -> None:
    code, _spoken, directory = drill(None, error)
    said = document(directory)

    assert (code, said["passed"]) == (1, False)
    assert [fault["fault"] for fault in said["faults"]] == [FAULTS[0]]
    assert said["failure"] == f"stopped early: {reason}; 1 of 3 injections were not begun"
    assert said["unjudged"] == [{"fault": FAULTS[1], "repetition": 1, "reason": reason}]
    assert cases(directory)[f"{FAULTS[1]} 1"] == ["error"]


def test_what_is_not_proven_is_an_error_and_the_drill_goes_on(drill) -> None:
    code, spoken, directory = drill(None, NotProvenError("no packet was dropped"), None)
    said = document(directory)

    assert (code, said["passed"], said["failure"]) == (1, False, "")
    assert [fault["fault"] for fault in said["faults"]] == [FAULTS[0], FAULTS[2]]
    assert said["unjudged"][0]["reason"] == "not proven: no packet was dropped"
    assert "primary_hang 1: not proven: no packet was dropped" in spoken.last("result")["failure"]
    assert cases(directory)["primary_hang 1"] == ["error"]


def test_it_does_not_go_on_with_what_it_can_not_undo(drill) -> None:
    harm = ["power: no container"]
    _code, _spoken, directory = drill(NotProvenError("still runs"), healed=(harm, harm))
    failure = document(directory)["failure"]
    assert failure.startswith("stopped early: not proven: still runs; 2 of 3 injections were not begun")
    assert failure.endswith("; not healed: power: no container")


def test_nobody_could_be_reached(drill) -> None:
    code, _spoken, directory = drill(begin=engine.SessionLostError("db1: SSH to 192.0.2.11: refused"))
    assert code == 1
    assert document(directory)["failure"] == (
        "stopped early: db1: SSH to 192.0.2.11: refused; 3 of 3 injections were not begun"
    )


def test_a_report_that_can_not_be_written_fails(drill, monkeypatch) -> None:
    def write(*_arguments: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(report, "write", write)
    code, spoken, _directory = drill(None, None, None)
    assert code == 1
    assert "no report: the engine failed: OSError('no space left')" in spoken.last("result")["failure"]


TOLD = timed.reports(4) | {"lb1": timed.balancer(150, "primary"), "lb2": timed.balancer(110, "primary")}


@pytest.mark.parametrize(
    ("fault", "slack", "rule"),
    [("switchover", 0.0, None), ("balancer_power_loss", 0.0, "over_predicted"), ("balancer_power_loss", 2.0, None)],
)
def test_what_takes_longer_than_predicted_breaks_the_drill(drill, fault: str, slack: float, rule: str | None) -> None:
    """The recorded injection took 4 s; a switchover may, a balancer may not."""
    _code, _spoken, directory = drill(None, faults=(fault,), told=TOLD, slack=slack, budgets={"default": 5})
    (injection,) = document(directory)["faults"][0]["injections"]
    worst = document(directory)["prediction"]["faults"][fault]["worst"]
    assert injection["budget"]["predicted"] == pytest.approx(worst + slack)
    assert [breach["rule"] for breach in injection["breaches"]] == ([rule] if rule else [])


def test_nodes_that_tell_nothing_leave_everything_unpredicted(drill) -> None:
    _code, spoken, directory = drill(None, None, None)
    said = document(directory)["prediction"]
    assert (said["settings"], said["faults"]) == (None, {})
    assert "nothing is predicted: no Patroni member reports its configuration" in [
        message.get("text") for message in spoken.messages
    ]


def test_what_can_not_be_drilled_is_told_before_the_first_injection(drill) -> None:
    code, spoken, directory = drill(lacking=Refusal("drill_client: 'client1': no psycopg2"))
    assert code == 1
    assert spoken.last("result")["failure"] == (
        "stopped early: drill_client: 'client1': no psycopg2; 3 of 3 injections were not begun"
    )
    assert "<dt>faults judged</dt><dd>0 of 3</dd>" in (directory / "report.html").read_text()


def test_the_settings_in_a_report_hold_no_secrets() -> None:
    parameters = {
        "app.jwt_secret": "S3CRET",
        "archive_command": "AWS_SECRET_ACCESS_KEY=S3CRET wal-g",
        "work_mem": "4MB",
    }
    shown = engine.settings_of({"ttl": 20, "postgresql": {"parameters": parameters}})
    assert "S3CRET" not in str(shown)
    assert (shown["ttl"], shown["work_mem"]) == (20, "4MB")


def test_versions_are_asked_as_the_topology_s_superuser(monkeypatch) -> None:
    asked: dict[str, list[str]] = {}

    def call(host: str, _operation: str, *, argv: list[str]) -> dict[str, str]:
        asked[argv[0]] = [host, *argv]
        return {"out": f"{argv[0]} 17.6 (Debian)", "err": ""}

    made = engine.Drill(plan(), threading.Event(), Spoken())
    monkeypatch.setattr(made._crew, "call", call)
    assert made._ask_versions()["PostgreSQL"] == "17.6"
    assert asked["psql"][0] == "db1"
    assert asked["psql"][-2:] == ["-U", "chief"]
