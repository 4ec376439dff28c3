# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an exploration does with the outcomes of its trials; the cluster is a script of what each schedule gives."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import GateError, StoppedError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.process import Speaker
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore import engine as sut
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.judge import Hit
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import Schedule, load

from tests.unit.plugins.plugin_utils.drill.ledgers import HEALED, INJECTED, ledger
from tests.unit.plugins.plugin_utils.explore.roles import schedule
from tests.unit.plugins.plugin_utils.explore.test_plan import plan

LATE = ledger(writes=tuple(write for write in ledger().writes if write.ended < INJECTED))
Script = Callable[[Schedule], Exception | bool]


class Spoken(Speaker):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []

    def say(self, **message: Any) -> None:
        self.messages.append(message)

    @property
    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = self.messages[-1]["result"]
        return found

    @property
    def texts(self) -> str:
        return "\n".join(message["text"] for message in self.messages if "text" in message)


@pytest.fixture
def explored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run an exploration; script says of each schedule whether it fails, or what it raises."""

    def run(script: Script = lambda _made: False, **changes: Any) -> tuple[int, list[Schedule], Spoken]:
        ran: list[Schedule] = []
        spoken = Spoken()
        made = sut.Explore(plan({"directory": str(tmp_path)}, **changes), threading.Event(), spoken)

        def conduct(fault: Any, _number: int) -> Any:
            timeline = fault.action
            ran.append(timeline._schedule)
            outcome = script(timeline._schedule)
            if isinstance(outcome, Exception):
                raise outcome
            timeline.injected = INJECTED
            dark = (INJECTED, HEALED)
            timeline.hits = [Hit(step, ("db1",), INJECTED, 12.0, "hit", dark) for step in timeline._schedule.steps]
            return LATE if outcome else ledger()

        monkeypatch.setattr(made, "_crew", Mock())
        monkeypatch.setattr(made, "_clients", Mock())
        monkeypatch.setattr(made, "_provider", Mock())
        monkeypatch.setattr(made, "_usable", lambda: ["isolate", "pause", "kill_patroni"])
        monkeypatch.setattr(made._conductor, "conduct", conduct)
        monkeypatch.setattr(sut.Explore, "_foresee", lambda _self: sut.Outlook())
        return made.run(), ran, spoken

    return run


def test_all_trials_pass(explored, tmp_path) -> None:
    code, ran, spoken = explored(trials=3)
    assert (code, len(ran), spoken.result["passed"]) == (0, 3, True)
    report = json.loads((tmp_path / "explore.json").read_text())
    assert (report["passed"], report["failed"], report["planned"]) == (3, 0, 3)
    assert "3 passed, 0 failed, 0 not proven" in (tmp_path / "explore.md").read_text()


def test_a_killed_run_goes_on_at_the_next_trial(explored) -> None:
    every = explored(trials=1)[1]
    stopped = iter([False, StoppedError()])
    code, ran, spoken = explored(lambda _made: next(stopped), trials=4)
    assert code == 1
    assert "stopped early: interrupted" in spoken.result["failure"]
    every += ran[:1]
    code, ran, spoken = explored(trials=4)
    assert code == 0
    assert "2 trials are recorded" in spoken.texts
    assert len(every) + len(ran) == 4
    assert len({made.digest for made in every + ran}) == 4
    assert explored(trials=4)[1] == []


def test_the_time_is_over(explored, monkeypatch) -> None:
    clock = iter(range(0, 6000, 45))
    monkeypatch.setattr(sut.time, "monotonic", lambda: float(next(clock)))
    code, ran, spoken = explored(trials=50, minutes=2)
    assert code == 0
    assert 0 < len(ran) < 5
    assert "the time is over; the same command goes on" in spoken.texts


def test_a_failure_is_shrunk_and_written(explored, tmp_path) -> None:
    def script(made: Schedule) -> bool:
        return any(step.kind == "isolate" for step in made.steps)

    code, ran, spoken = explored(script, trials=3, shrink=40)
    assert code == 1
    assert "of 3 trials failed" in spoken.result["failure"]
    files = sorted(tmp_path.glob("failing-*.yml"))
    assert files
    for file in files:
        found = load(file.read_text())
        (step,) = found.schedule.steps
        assert (step.kind, step.seconds) == ("isolate", 5.0)
        assert found.found["failed_again"] is True
        assert found.found["breaches"]
    assert len(ran) < 3 + 40 * len(files)
    assert sorted(tmp_path.glob("failing-*.ledger.json.gz"))
    assert explored(script, trials=3, shrink=40)[1] == []


def test_shrinking_goes_on_after_a_kill(explored, tmp_path) -> None:
    runs = iter([True, True, StoppedError()])
    explored(lambda _made: next(runs), trials=1, seed=3)
    assert list(tmp_path.glob("failing-*.yml")) == []
    _code, ran, _spoken = explored(lambda made: True, trials=1, seed=3, shrink=6)
    assert len(list(tmp_path.glob("failing-*.yml"))) == 1
    digests = [made.digest for made in ran]
    assert len(set(digests)) == len(digests)
    known = {path.stem.split("-")[-1] for path in tmp_path.glob("shrink-*.json")}
    assert len(known) == len(digests) + 1


def test_a_failure_that_does_not_come_again_is_kept_as_it_is(explored, tmp_path) -> None:
    runs = iter([True, False])
    _code, ran, _spoken = explored(lambda _made: next(runs), trials=1)
    found = load((tmp_path / "failing-0001.yml").read_text())
    assert ran == [found.schedule, found.schedule]
    assert (found.found["failed_again"], found.found["shrunk"]) == (False, False)


def test_a_trial_that_is_not_proven_does_not_fail(explored, tmp_path) -> None:
    code, ran, _spoken = explored(lambda _made: NotProvenError("no packet was dropped"), trials=2)
    assert (code, len(ran)) == (0, 2)
    record = json.loads((tmp_path / "trial-0001.json").read_text())
    assert (record["outcome"], record["reason"]) == ("unproven", "not proven: no packet was dropped")


def test_a_cluster_that_is_not_ready_ends_the_run_without_a_record(explored, tmp_path) -> None:
    code, ran, spoken = explored(lambda _made: GateError("db2 does not stream"), trials=2)
    assert (code, len(ran)) == (1, 1)
    assert spoken.result["failure"] == "stopped early: db2 does not stream"
    assert list(tmp_path.glob("trial-*.json")) == []


def test_a_cluster_that_does_not_recover_fails_the_trial_and_ends_the_run(explored, tmp_path, monkeypatch) -> None:
    real = sut.Timeline

    def begun(*arguments: Any) -> Any:
        made = real(*arguments)
        made.injected = INJECTED
        return made

    monkeypatch.setattr(sut, "Timeline", begun)
    code, ran, spoken = explored(lambda _made: GateError("db2 does not stream"), trials=2)
    assert (code, len(ran)) == (1, 1)
    assert "trial 1 left the cluster unhealthy" in spoken.result["failure"]
    record = json.loads((tmp_path / "trial-0001.json").read_text())
    assert (record["outcome"], record["broken"]) == ("failed", True)
    assert load((tmp_path / "failing-0001.yml").read_text()).schedule == ran[0]


def test_a_replay_runs_its_file(explored) -> None:
    steps = ({"kind": "isolate", "target": "primary", "at": 0.0, "seconds": 60.0},)
    code, ran, _spoken = explored(mode="replay", steps=steps, trials=2)
    assert code == 0
    assert ran == [schedule(("isolate", "primary", 0, 60))] * 2


def test_only_random_schedules_are_shrunk(explored, tmp_path) -> None:
    code, ran, _spoken = explored(lambda _made: True, mode="ladder", lengths=(0.5,), repeat=1)
    assert (code, len(ran)) == (1, 2)
    assert list(tmp_path.glob("failing-*.yml")) == []


def test_a_ladder_is_written_for_its_picture(explored, tmp_path) -> None:
    code, ran, _spoken = explored(mode="ladder", lengths=(0.5, 5.0), repeat=2)
    assert (code, len(ran)) == (0, 8)
    found = json.loads((tmp_path / "ladder.json").read_text())
    assert [(one["kind"], one["target"], one["trials"]) for one in found["rungs"]] == [
        ("pause", "primary", 2), ("pause", "primary", 2), ("pause", "standby-1", 2), ("pause", "standby-1", 2),
    ]  # fmt: skip
