# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small record of planned work, its judgement and its report.

db1 loses power in it from 10 to 20 s; direct writes are refused until 14 s, pooled ones wait from 10 to 12.5 s.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.recorder import Broken
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import ledger_file
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import (
    Alert,
    Event,
    Ledger,
    Outcome,
    Presence,
    Write,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence import report as sut
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.judge import Found, judge
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.plan import Limits

from tests.unit.plugins.plugin_utils.drill.ledgers import (
    BEGUN,
    ENDED,
    MEMBERS,
    ledger,
    monitored,
    presence,
    times,
    write,
)
from tests.unit.plugins.plugin_utils.evidence.test_plan import plan

STEPS = (
    Event(6.0, "step begun", "db2", "restart <etcd> for $1 and $2"),
    Event(8.0, "step ended", "db2", "restart <etcd> for $1 and $2"),
    Event(9.0, "step begun", "db1", "reboot"),
    Event(21.0, "step ended", "db1", "reboot"),
)


def pooled() -> Iterator[Write]:
    """Two clients behind a pooler: one waits from 10.0 to 12.5 s, the other breaks once within that."""
    for number, at in enumerate(times(BEGUN, 10.0), 1):
        yield write(number, at, writer="pooled-1", server="")
    yield write(100, 12.5, writer="pooled-1", server="", begun=10.0)
    yield write(1, 9.9, writer="pooled-kept", server="")
    yield write(2, 10.4, Outcome.UNKNOWN, "", writer="pooled-kept", begun=10.1, error="server closed the connection")
    yield write(3, 12.4, writer="pooled-kept", server="", begun=10.5)
    for number, at in enumerate(times(12.6, ENDED), 101):
        yield write(number, at, writer="pooled-1", server="")


def recorded(**changes: Any) -> Ledger:
    """Return the record as the engine writes it."""
    calm, through = ledger(), tuple(pooled())
    return replace(
        calm,
        fault="reboot",
        repetition=0,
        injected=BEGUN,
        healed=ENDED,
        events=STEPS,
        recovery={},
        phases={},
        dark={},
        pooled=through,
        pooled_pool="pooled",
        presence=presence((*calm.writes, *calm.naive, *through)),
        **changes,
    )


def judged(limits: Limits | None = None, **changes: Any) -> Found:
    return judge(replace(recorded(), **changes), limits or Limits(), (Broken("pooled-1", 7.0, "gone"),))


def broken(found: Found) -> list[tuple[str, str]]:
    return [(breach.rule, breach.text) for breach in found.breaches]


def lacking(member: str, *keys: tuple[str, int]) -> tuple[Presence, ...]:
    """Return the rows of all members but these of one."""
    return tuple(
        replace(found, counts={key: 1 for key in found.counts if found.member != member or key not in keys})
        for found in recorded().presence
    )


def test_a_work_that_loses_nothing_passes_without_limits() -> None:
    found = judged()
    assert broken(found) == []
    whole, (first, second) = found.whole, found.steps
    assert [(one.step.host, one.step.begin, one.step.end) for one in found.steps] == [("db2", 6, 8), ("db1", 9, 21)]
    assert (whole.lost, whole.duplicated, whole.unknown, whole.refused) == (0, 0, 3, 9)
    assert first.acknowledged + second.acknowledged < whole.acknowledged
    assert (first.refused, first.unknown, second.refused, second.unknown) == (0, 0, 9, 2)


def test_waits_and_failures_by_kind_and_step() -> None:
    whole, (calm, reboot) = judged().whole, judged().steps
    assert list(whole.groups) == ["direct", "pooled", "pooled-kept", "readers", "naive"]
    assert {name: group.seconds for name, group in calm.groups.items()} == {
        "direct": pytest.approx(0.01),
        "pooled": pytest.approx(0.01),
        "pooled-kept": None,
        "readers": pytest.approx(0.01),
        "naive": None,
    }
    assert calm.groups["pooled"].broken == 1
    waits: dict[str, Any] = {name: (group.failed, group.seconds) for name, group in reboot.groups.items()}
    assert waits["direct"] == (10, pytest.approx(14.0 - 10.01))
    assert waits["pooled"] == (0, pytest.approx(2.5))
    assert waits["pooled-kept"] == (1, pytest.approx(12.4 - 10.1))
    assert waits["naive"][1] == pytest.approx(22.1 - 9.9)
    assert (whole.failed("pooled"), reboot.failed("pooled"), calm.failed("pooled")) == (1, 1, 0)
    assert whole.wait("pooled") == reboot.groups["pooled"].wait


@pytest.mark.parametrize(
    ("span", "whole", "steps"),
    [
        ((Alert("HostDown", "page", "db1"), 13.0, 24.0), 1, [0, 1]),
        ((Alert("HostDown", "page", "db1"), 24.0, 26.0), 1, [0, 0]),
        ((Alert("HostDown", "page", "db1"), BEGUN, 24.0), 0, [0, 0]),
        ((Alert("HostDown", "page", "db1", quiet=True), 13.0, 24.0), 0, [0, 0]),
        ((Alert("PrimaryChanged", "ticket"), 13.0, 24.0), 0, [0, 0]),
    ],
    ids=["in a step", "between", "from before", "quiet", "no page"],
)
def test_a_page_breaks_the_work_and_its_step(span: Any, whole: int, steps: list[int]) -> None:
    record = monitored(span)
    found = judged(monitor=record.monitor, alerts=record.alerts)
    seconds = span[1] - BEGUN
    assert broken(found) == [("paged", f"the alert HostDown on db1 fired {seconds:.1f} s after the begin")] * whole
    assert [len(verdict.breaches) for _ledger, verdict, _budget in found.results[1:]] == steps


def test_a_page_about_a_host_that_is_gone_breaks_nothing() -> None:
    record = monitored((Alert("HostDown", "page", "db9"), 13.0, 24.0))
    changed = replace(recorded(), monitor=record.monitor, alerts=record.alerts)
    assert [breach.rule for breach in judge(changed, Limits()).breaches] == ["paged"]
    assert judge(changed, Limits(), without=("db9",)).breaches == ()


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(pooled_wait=2.6, pooled_errors=1, direct_wait=4.0), []),
        (Limits(pooled_wait=2.4), ["pooled-1 waited 2.50 s, the budget is 2.40 s"]),
        (Limits(direct_wait=3.9), ["w1 waited 3.99 s, the budget is 3.90 s"]),
        (
            Limits(pooled_errors=0),
            ["1 transaction of pooled clients failed, 0 may; the first: server closed the connection"],
        ),
    ],
)
def test_budgets(limits: Limits, expected: list[str]) -> None:
    found = judged(limits)
    assert broken(found) == [("over_budget", text) for text in expected]
    of_steps = [[breach.text for breach in verdict.breaches] for _ledger, verdict, _budget in found.results[1:]]
    assert of_steps[0] == []
    assert [text.replace(" in this step", "") for text in of_steps[1]] == expected


def test_a_row_that_is_lost_is_told_with_its_step() -> None:
    gone = ("pooled-1", 100)
    found = judged(presence=lacking("db2", gone))
    assert broken(found) == [("lost_acknowledged", "1 acknowledged row not on the leader db2: pooled-1/100")]
    assert [one.lost for one in found.steps] == [0, 1]


def test_a_row_that_a_standby_lacks_or_that_is_stored_twice() -> None:
    twice = tuple(replace(one, counts={**one.counts, ("w1", 1): 2}) for one in recorded().presence)
    assert [rule for rule, _text in broken(judged(presence=lacking("db3", ("w1", 1))))] == ["missing_on_standby"]
    assert [rule for rule, _text in broken(judged(presence=twice))] == ["duplicated"]


def test_rows_that_could_not_be_counted_do_not_pass() -> None:
    found = judged(presence=(), expected_members=(), primary_after="")
    assert broken(found) == [("no_samples", "the rows on the leader (none) were not looked up")]


def test_a_load_that_stands_still_does_not_pass() -> None:
    writes = tuple(one for one in recorded().writes if not 14.0 < one.ended < 26.0)
    assert broken(judged(writes=writes)) == [("blind", "the writers tried nothing for 12.0 s, from 9.0 s")]
    assert ("no_samples", "the clients of the poolers recorded nothing") in broken(judged(pooled=()))


def test_a_step_whose_end_is_not_recorded_lasts_until_the_end() -> None:
    (_first, second) = judged(events=STEPS[:3]).steps
    assert (second.step.end, second.step.finished) == (ENDED, False)


def reported(found: Found, *, failure: str = "", limits: Limits | None = None) -> sut.Report:
    run = sut.EvidenceRun("main", datetime(2026, 1, 5, tzinfo=UTC), found.results, seconds=25.0, failure=failure)
    return sut.Report(plan(limits=limits or Limits()), run, recorded(), found, ("db9: a note",))


def test_the_report(tmp_path: Path) -> None:
    sut.write(reported(judged()), tmp_path)
    data = json.loads((tmp_path / "evidence.json").read_text())
    assert (data["passed"], data["whole"]["lost"], data["notes"]) == (True, 0, ["db9: a note"])
    assert [(step["host"], step["begin"], step["end"]) for step in data["steps"]] == [("db2", 1, 3), ("db1", 4, 16)]
    assert data["steps"][1]["clients"]["pooled"]["longest_wait"] == 2.5
    assert data["kinds"]["pooled-kept"] == "pooled client that keeps its connection"
    assert ledger_file.read(tmp_path / sut.LEDGER).events == STEPS
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg viewBox") == 3
    assert "Evidence of update of cluster" in page
    assert "2 steps: no acknowledged row lost, none stored twice." in page
    assert "work on db2" in page
    assert "restart &lt;etcd&gt; for $1 and $2</text>" in page
    assert "db2: restart &lt;etcd&gt; for $1 and $2" in page
    assert "Pooled client that keeps its connection" in page
    assert "Repetition" not in page
    assert "the injection" not in page


def test_the_table() -> None:
    lines = sut.as_text(reported(judged())).splitlines()
    assert lines[0].startswith("Evidence of update on main: passed, ")
    assert lines[0].endswith(" rows acknowledged, 0 lost, 0 stored twice, in 25 s")
    assert " ".join(lines[3].split()) == "db1: reboot 12 s 92 0 3.99 s 10 2.50 s 1 0.01 s 0"
    assert lines[4].split()[:3] == ["the", "whole", "work"]


def test_what_broke_is_told_once(tmp_path: Path) -> None:
    limits = Limits(pooled_wait=2.0)
    made = reported(
        judged(limits, presence=lacking("db2", ("w1", 1))), failure="client1: the session broke", limits=limits
    )
    assert not made.run.passed
    assert (made.run.lost, len(made.run.breaches)) == (1, 2)
    told = sut.outcome(made, tmp_path)
    assert told["failure"] == (
        "1 acknowledged row not on the leader db2: w1/1 [lost_acknowledged]; "
        "pooled-1 waited 2.50 s, the budget is 2.00 s [over_budget]; client1: the session broke"
    )
    assert (told["lost"], told["passed"], len(told["steps"])) == (1, False, 2)
    assert "Broken rules:" in told["table"]
    sut.write(made, tmp_path)
    assert "The recording itself failed" in (tmp_path / "report.html").read_text()


def test_members_of_the_record_are_all_counted() -> None:
    assert {one.member for one in recorded().presence} == {*MEMBERS}
