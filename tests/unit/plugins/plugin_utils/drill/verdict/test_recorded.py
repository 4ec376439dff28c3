# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the analyser says of ledgers that real drills recorded (on a machine with far more work than processors)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import BUDGETS
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.analysis import judge
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.budgets import Timings, default_budget
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Ledger, Outcome, Presence, Verdict
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.rows import acknowledged_keys, keys

from tests.unit.plugins.plugin_utils.drill.ledgers import recorded


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a ledger holds, counted in its tables without the analyser."""

    name: str
    rto: float
    gap: tuple[float, float]
    acknowledged: int
    unknown: int
    read_errors: int
    broken: frozenset[str]


RECORDED = (
    Recorded("primary_power_loss-1", 30.654, (0.606, 31.260), 2142, 22, 3, frozenset()),
    Recorded("primary_isolated-1", 31.598, (1.473, 33.071), 4411, 17, 1, frozenset()),
    # Two failovers: the second began by itself 50 s after the injection, when the machine was overloaded.
    Recorded("postmaster_killed-1", 47.362, (50.356, 97.718), 1455, 29, 259, frozenset({"over_budget"})),
    Recorded("switchover-1", 17.283, (0.660, 17.943), 1276, 12, 3, frozenset({"over_budget"})),
)


def judged(record: Ledger) -> Verdict:
    return judge(record, default_budget(BUDGETS[record.fault], Timings()))


def rules(verdict: Verdict) -> set[str]:
    return {breach.rule for breach in verdict.breaches}


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.name)
def test_what_was_recorded(case: Recorded) -> None:
    record = recorded(case.name)
    verdict = judged(record)

    assert verdict.rto == pytest.approx(case.rto, abs=0.001)
    assert [at - record.injected for at in verdict.write_gap] == pytest.approx(case.gap, abs=0.001)
    assert (verdict.acknowledged, verdict.unknown, verdict.warned) == (case.acknowledged, case.unknown, 0)
    assert (verdict.lost, verdict.missing, verdict.duplicated) == ((), (), ())
    assert verdict.read_errors == case.read_errors
    assert rules(verdict) == case.broken


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.name)
def test_a_row_taken_from_the_leader_is_lost(case: Recorded) -> None:
    record = recorded(case.name)
    taken = sorted(acknowledged_keys(record))[::500]
    presence = tuple(
        Presence(found.member, {key: count for key, count in found.counts.items() if key not in taken})
        if found.member == record.primary_after
        else found
        for found in record.presence
    )
    verdict = judged(replace(record, presence=presence))
    assert verdict.lost == tuple(taken)
    assert rules(verdict) == case.broken | {"lost_acknowledged"}


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.name)
def test_unknown_rows_may_be_there_or_not_but_not_twice(case: Recorded) -> None:
    record = recorded(case.name)
    unknown = keys(record, Outcome.UNKNOWN) - acknowledged_keys(record)
    assert unknown
    for count, broken in ((0, set()), (1, set()), (2, {"duplicated"})):
        presence = tuple(
            Presence(found.member, {**found.counts, **dict.fromkeys(unknown, count)}) for found in record.presence
        )
        assert rules(judged(replace(record, presence=presence))) == case.broken | broken


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.name)
def test_a_clock_set_back_by_a_minute(case: Recorded) -> None:
    record = recorded(case.name)
    middle = (record.begun + record.ended) / 2
    writes = tuple(
        replace(row, begun=row.begun - 60, ended=row.ended - 60) if row.begun > middle else row for row in record.writes
    )
    assert "clock_backwards" in rules(judged(replace(record, writes=writes)))
    torn = tuple(replace(row, ended=row.ended - 60) if row.begun > middle else row for row in record.writes)
    assert "clock_backwards" in rules(judged(replace(record, writes=torn)))


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.name)
def test_the_record_ends_in_the_gap(case: Recorded) -> None:
    record = recorded(case.name)
    end = record.injected + case.gap[1] - 1
    cut = replace(
        record,
        ended=end,
        healed=min(record.healed, end),
        writes=tuple(row for row in record.writes if row.ended < end),
    )
    verdict = judged(cut)
    assert verdict.rto == pytest.approx(case.rto - 1, abs=0.001)
    assert "not_recovered" in rules(verdict)


def test_without_the_dark_hours_of_a_host_its_silence_is_blindness() -> None:
    record = recorded("primary_power_loss-1")
    verdict = judged(replace(record, dark={}))
    assert "blind" in rules(verdict)
    assert f"{record.primary_before} was not observed for" in verdict.breaches[0].text


def test_the_old_primary_writing_on_after_the_new_one_was_promoted() -> None:
    record = recorded("switchover-1")
    late = next(
        row for row in reversed(record.writes) if row.outcome is Outcome.ACKNOWLEDGED and row.ended < record.healed
    )
    rogue = replace(late, writer="rogue", server=record.primary_before)
    assert "two_writers" in rules(judged(replace(record, local_writes=(*record.local_writes, rogue))))
