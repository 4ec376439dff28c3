# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import BUDGETS
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.budgets import (
    BudgetError,
    Timings,
    budgets,
    default_budget,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Budget
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.settings import Checks

from tests.unit.plugins.plugin_utils.rto import cluster as timed

FLOOR = Timings()
PATRONIS = Timings(
    ttl=30, loop_wait=10, retry_timeout=10, primary_start_timeout=300, advert_int=1,
    checks=Checks(inter=3, fastinter=3, downinter=3, fall=3, rise=2),
)  # fmt: skip


def test_they_come_from_the_settings_that_the_cluster_runs_with() -> None:
    assert Timings.of(timed.FLOOR) == replace(FLOOR, wal_sender_timeout=10.0)
    slow = replace(timed.FLOOR, checks=Checks(inter=3.0), vrrp=replace(timed.FLOOR.vrrp, advert_int=1.0))
    assert (Timings.of(slow).pool_down, Timings.of(slow).adverts_missed) == (pytest.approx(6.25), pytest.approx(4.0))
    bare = replace(timed.FLOOR, checks=None, vrrp=None)
    assert Timings.of(bare) == Timings.of(timed.FLOOR)


@pytest.mark.parametrize(
    ("fault", "floor", "patronis"),
    [
        ("primary_power_loss", 33.0, 66.5),
        ("primary_etcd_leader_power_loss", 36.0, 69.5),
        ("postmaster_killed", 12.0, 335.5),
        ("switchover", 12.0, 35.5),
        ("standby_lost", 4.0, 4.0),
        ("primary_cut_from_standbys", 66.0, 84.0),
        ("balancer_power_loss", 5.8, 9.0),
        ("backup_host_lost", 4.0, 4.0),
        ("etcd_quorum_lost", None, None),
    ],
)
def test_defaults_follow_the_timings(fault: str, floor: float | None, patronis: float | None) -> None:
    assert [default_budget(BUDGETS[fault], timings).writes for timings in (FLOOR, PATRONIS)] == [
        None if seconds is None else pytest.approx(seconds) for seconds in (floor, patronis)
    ]


@pytest.mark.parametrize("fault", sorted(BUDGETS))
def test_every_default_can_break(fault: str) -> None:
    budget = default_budget(BUDGETS[fault], FLOOR)
    assert budget.writes or budget.resumed
    assert budget.two_holders == pytest.approx(0.8)
    assert budget.pool_detection == pytest.approx(4.75)


@pytest.mark.parametrize(("mode", "one", "all_of_them"), [("quorum", 4.0, 66.0), (True, 66.0, 66.0), (False, 4.0, 4.0)])
def test_what_writes_wait_for_depends_on_the_synchronous_mode(mode: str | bool, one: float, all_of_them: float) -> None:
    timings = replace(FLOOR, synchronous_mode=mode)
    assert default_budget(BUDGETS["standby_lost"], timings).writes == pytest.approx(one)
    assert default_budget(BUDGETS["primary_cut_from_standbys"], timings).writes == pytest.approx(all_of_them)
    assert default_budget(BUDGETS["both_standbys_lost"], timings).resumed == pytest.approx(all_of_them)


@pytest.mark.parametrize("timing", ["ttl", "loop_wait", "primary_start_timeout", "client"])
def test_slower_settings_never_get_less(timing: str) -> None:
    not_less(replace(FLOOR, **{timing: getattr(FLOOR, timing) + 5}))


@pytest.mark.parametrize("setting", ["inter", "fastinter", "downinter", "fall", "rise", "timeout"])
def test_slower_checks_never_get_less(setting: str) -> None:
    not_less(replace(FLOOR, checks=replace(FLOOR.checks, **{setting: getattr(FLOOR.checks, setting) + 5})))


def not_less(slower: Timings) -> None:
    for fault in BUDGETS:
        one, other = default_budget(BUDGETS[fault], FLOOR), default_budget(BUDGETS[fault], slower)
        assert (one.writes is None) == (other.writes is None)
        assert (one.writes or 0) <= (other.writes or 0)


@pytest.mark.parametrize("fault", sorted(BUDGETS))
def test_slack_lengthens_what_takes_time_and_nothing_else(fault: str) -> None:
    strict, slack = default_budget(BUDGETS[fault], FLOOR), default_budget(BUDGETS[fault], replace(FLOOR, extra=8.0))

    def more(name: str) -> float | None:
        before, after = getattr(strict, name), getattr(slack, name)
        return None if before is None else round(after - before, 6)

    assert [more(name) for name in ("writes", "resumed")].count(8.0) == 1
    assert more("pool_detection") == 8.0
    assert more("reads") in {8.0, None}
    assert [more(name) for name in ("two_holders", "blind", "boot")] == [0, 0, 0]


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        (None, {}),
        ({}, {}),
        ({"postmaster_killed": 3}, {}),
        ({"switchover": 3}, {"writes": 3.0}),
        ({"switchover": 0.1}, {"writes": 0.1}),
        ({"switchover": None}, {"writes": None}),
        ({"default": 0.1}, {"writes": 0.1}),
        ({"default": 0.1, "switchover": {"reads": 2}}, {"reads": 2.0}),
        (
            {"switchover": {"writes": 3, "reads": None, "predicted": 2.5}},
            {"writes": 3.0, "reads": None, "predicted": 2.5},
        ),
        ({"switchover": {"two_holders": 0}}, {"two_holders": 0.0}),
    ],
)
def test_users_change_them(given: Any, changed: dict[str, Any]) -> None:
    expected: Budget = replace(default_budget(BUDGETS["switchover"], FLOOR), **changed)
    assert budgets(BUDGETS, FLOOR, given)["switchover"] == expected


@pytest.mark.parametrize(
    ("worst", "given", "predicted"),
    [
        ({}, None, None),
        ({"primary_hang": 9.0}, None, None),
        ({"switchover": 5.7}, None, 8.7),
        ({"switchover": 5.7}, {"switchover": {"predicted": 4}}, 4.0),
        ({"switchover": 5.7}, {"switchover": {"predicted": None}}, None),
    ],
)
def test_a_prediction_is_a_budget_unless_the_user_has_another(worst: Any, given: Any, predicted: float | None) -> None:
    patient = replace(FLOOR, extra=3.0)
    expected = None if predicted is None else pytest.approx(predicted)
    assert budgets(BUDGETS, patient, given, worst)["switchover"].predicted == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("3", r"drill_budgets = '3': is no mapping\. Fix: write \{switchover: 3"),
        ([3], r"drill_budgets = \[3\]: is no mapping"),
        ({"swichover": 3}, r"drill_budgets\.swichover = 3: no such fault\. Fix: use one of backend_segfault"),
        ({"switchover": "3"}, r"drill_budgets\.switchover = '3': is no number of seconds\. Fix: give seconds"),
        ({"switchover": True}, r"drill_budgets\.switchover = True: is no number of seconds"),
        ({"switchover": -1}, r"drill_budgets\.switchover = -1: is no number of seconds"),
        ({"switchover": float("nan")}, r"drill_budgets\.switchover = nan: is no number of seconds"),
        (
            {"switchover": {"write": 1}},
            r"drill_budgets\.switchover\.write = 1: no such budget\. Fix: use writes, reads",
        ),
        ({"switchover": {"two_holders": None}}, r"drill_budgets\.switchover\.two_holders = None: .* 0 or more\.$"),
        ({"a": 1, "switchover": "x"}, r"drill_budgets\.a = 1: .*\n.*drill_budgets\.switchover = 'x'"),
    ],
)
def test_mistakes_are_refused_with_variable_value_and_fix(given: Any, message: str) -> None:
    with pytest.raises(BudgetError, match=message):
        budgets(BUDGETS, FLOOR, given)
