# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.schedule import Kind, counts, schedule, shortest

WATCHERS = ("db1", "db2", "db3")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("minutes", [2, 3, 7, 60])
def test_everything_overlaps_and_ends_in_time(minutes, seed) -> None:
    steps = schedule(60.0 * minutes, seed, WATCHERS)
    assert list(steps) == sorted(steps, key=lambda step: step.at)
    assert steps[0].at >= 5
    assert all(step.at + step.seconds <= 60 * minutes for step in steps)
    burns, stalls, handovers = (
        [step for step in steps if step.kind is kind] for kind in (Kind.BURN, Kind.STALL, Kind.HANDOVER)
    )
    for burn, stall in zip(burns, stalls, strict=True):
        assert burn.at < stall.at < burn.at + burn.seconds
        within = [step for step in handovers if stall.at <= step.at <= burn.at + burn.seconds]
        assert len(within) == 1
    for kind in (burns, stalls):
        assert all(one.at + one.seconds < next_one.at for one, next_one in itertools.pairwise(kind))


@pytest.mark.parametrize(
    ("minutes", "watchers", "expected"),
    [
        (2, WATCHERS, {"burn": 1, "stall": 1, "handover": 2, "restart": 10}),
        (3, WATCHERS, {"burn": 1, "stall": 1, "handover": 2, "restart": 10}),
        (60, WATCHERS, {"burn": 30, "stall": 30, "handover": 60, "restart": 60}),
        (60, (), {"burn": 30, "stall": 30, "handover": 60, "restart": 0}),
    ],
)
def test_how_often(minutes, watchers, expected) -> None:
    assert counts(schedule(60.0 * minutes, 1, watchers)) == expected


def test_the_restarts_are_spread_over_hosts_and_time() -> None:
    restarts = [step for step in schedule(3600.0, 1, WATCHERS) if step.kind is Kind.RESTART]
    assert {step.host for step in restarts} == set(WATCHERS)
    assert max(after.at - before.at for before, after in itertools.pairwise(restarts)) < 120


def test_a_seed_is_a_schedule() -> None:
    assert schedule(600.0, 4, WATCHERS) == schedule(600.0, 4, WATCHERS)
    assert schedule(600.0, 4, WATCHERS) != schedule(600.0, 5, WATCHERS)
    assert shortest() == 2
