# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judgement, on the drill's faultless record: db1 is lost at 10 s, writes go on at 14 s, until 30 s."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Budget, Outcome
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore import judge as sut
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.judge import Hit

from tests.unit.plugins.plugin_utils.drill.ledgers import HEALED, INJECTED, ledger
from tests.unit.plugins.plugin_utils.explore.roles import schedule, step

BUDGET = Budget(writes=None, two_holders=0.8, pool_detection=1.0)


def hit(begun: float = INJECTED, ended: float = HEALED, kind: str = "isolate", **more) -> Hit:
    return Hit(step(kind, "primary"), ("db1",), begun, ended, "proof", **more)


def rules(found: sut.Judgement) -> list[str]:
    return [breach.rule for breach in found.breaches]


def test_a_trial_that_passes() -> None:
    found = sut.judge(ledger(), [hit()], BUDGET, 6.0)
    assert found.passed
    assert found.failover
    assert found.lost == 0
    assert found.outage == pytest.approx(4.0, abs=0.3)
    assert found.resumed == pytest.approx(0.0, abs=0.3)


@pytest.mark.parametrize(
    ("hits", "worst", "expected"),
    [
        ([hit(10.0, 11.0)], 6.0, []),  # writes flow 3 s after the end
        ([hit(10.0, 11.0)], 2.0, ["resumed_late"]),
        ([hit(10.0, 10.5), hit(12.5, 13.0)], 2.0, []),  # the last end counts
        ([hit(10.0, 20.0)], 3.0, ["stalled"]),  # a majority was left, and nothing changed
        ([hit(10.0, 20.0)], 6.0, []),
        ([hit(10.0, 20.0, kind="flap")], 3.0, []),  # may stop writes for as long as it lasts
        ([hit(4.0, 8.0), hit(10.0, 20.0)], 3.0, []),  # the first one's host may still be on its way back
        ([hit(10.0, 12.0), hit(12.0, 20.0)], 3.0, []),
    ],
)
def test_when_writes_must_flow(hits, worst, expected) -> None:
    assert rules(sut.judge(ledger(), hits, BUDGET, worst)) == expected


def test_an_outage_that_begins_later_counts_from_the_last_end() -> None:
    silent = tuple(write for write in ledger().writes if not 24.0 < write.ended < 27.0)
    assert sut.resumed(ledger(writes=silent), [hit(10.0, 13.9)]) == pytest.approx(13.2, abs=0.3)
    short = tuple(write for write in ledger().writes if not 24.0 < write.ended < 25.5)
    assert sut.resumed(ledger(writes=short), [hit(10.0, 13.9)]) == pytest.approx(0.1, abs=0.3)


def test_writes_that_never_flow_again() -> None:
    made = ledger(writes=tuple(write for write in ledger().writes if write.ended < INJECTED))
    found = sut.judge(made, [hit(10.0, 11.0)], BUDGET, 6.0)
    assert {"resumed_late", "not_recovered"} <= set(rules(found))
    assert found.resumed == pytest.approx(19.0)


def test_a_lost_row_fails_whatever_the_times() -> None:
    made = ledger()
    lost = next(write for write in made.writes if write.outcome is Outcome.ACKNOWLEDGED)
    key = (lost.writer, lost.sequence)
    presence = tuple(
        replace(found, counts={name: count for name, count in found.counts.items() if name != key})
        for found in made.presence
    )
    found = sut.judge(replace(made, presence=presence), [hit()], BUDGET, 60.0)
    assert rules(found) == ["lost_acknowledged"]
    assert found.lost == 1


def test_hits_become_events_and_excuse_only_their_own_hosts() -> None:
    made = sut.with_hits(ledger(), [hit(10.0, 15.0, dark=(10.1, 14.9)), hit(16.0, 20.0, dark=(16.1, 19.0))])
    assert made.healed == 20.0
    assert made.dark == {"db1": ((10.1, 14.9), (16.1, 19.0))}
    assert made.cut == {}
    times = [(event.kind, event.at) for event in made.events if event.kind in {"injected", "healed"}]
    assert times == [("injected", 10.0), ("healed", 15.0), ("injected", 16.0), ("healed", 20.0)]


def test_the_bound_is_the_worst_predicted_case_of_what_was_hit() -> None:
    worst = {"primary_power_loss": 14.0, "primary_etcd_leader_power_loss": 17.6, "balancer_power_loss": 2.4}
    assert sut.bound(schedule(("pause", "standby-1", 0, 1)), worst, 0.0, 33.0) == 17.6
    assert sut.bound(schedule(("isolate", "balancer-1", 0, 9)), worst, 1.5, 33.0) == 3.9
    assert sut.bound(schedule(("power_loss", "backup-1", 0, 9)), worst, 0.0, 33.0) == 33.0
    assert sut.bound(schedule(("pause", "leader", 0, 1)), {}, 0.0, 33.0) == 33.0
