# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.generate import generate, objection
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.kinds import KINDS
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import Schedule
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.shrink import aligned, fewer, rounded, shrink

from tests.unit.plugins.plugin_utils.explore.roles import LAB, schedule


def permitted(made: Schedule) -> bool:
    return not objection(made, LAB)


def lasting(kind: str, seconds: float):
    return lambda made: any(step.kind == kind and step.seconds >= seconds for step in made.steps)


BUSY = schedule(
    ("kill_haproxy", "balancer-1", 0, 0),
    ("isolate", "primary", 3.4, 100.3),
    ("flap", "leader", 121.7, 33.3, "", 0.7, 2.1),
)


def test_what_does_not_matter_is_dropped() -> None:
    assert shrink(BUSY, lasting("isolate", 0), permitted) == schedule(("isolate", "primary", 0, 5))


@pytest.mark.parametrize("seconds", [5, 6, 42, 60, 100])
def test_a_duration_that_matters_is_kept_to_a_tenth(seconds) -> None:
    (step,) = shrink(BUSY, lasting("isolate", seconds), permitted).steps
    assert step.kind == "isolate"
    assert seconds <= step.seconds <= max(seconds * 1.12, seconds + 0.5)


def test_a_sequence_that_matters_is_kept_and_aligned() -> None:
    def fails(made: Schedule) -> bool:
        kinds = [step.kind for step in made.steps]
        return "isolate" in kinds and kinds.index("isolate") < len(kinds) - 1 and kinds[-1] == "flap"

    found = shrink(BUSY, fails, permitted)
    assert found == schedule(("isolate", "primary", 0, 5), ("flap", "leader", 5, 10, "", 1.0, 1.0))


def test_a_distance_that_matters_is_kept() -> None:
    def fails(made: Schedule) -> bool:
        return len(made.steps) == 2 and made.steps[1].at - made.steps[0].end >= 15

    made = schedule(("isolate", "primary", 0, 60), ("isolate", "leader", 79.3, 20))
    found = shrink(made, fails, permitted)
    assert [step.seconds for step in found.steps] == [5, 5]
    assert found.steps[1].at - found.steps[0].end == pytest.approx(19, abs=0.5)


def test_only_permitted_schedules_are_tried_and_each_once() -> None:
    tried: list[Schedule] = []

    def fails(made: Schedule) -> bool:
        tried.append(made)
        return len(made.steps) == 3

    shrink(BUSY, fails, permitted)
    assert tried
    assert all(map(permitted, tried))
    assert len(set(tried)) == len(tried)


@pytest.mark.parametrize("number", range(1, 60))
def test_it_ends_with_a_failure_that_nothing_smaller_has(number) -> None:
    made = generate(5, number, LAB, list(KINDS))
    kind = made.steps[-1].kind
    fails = lasting(kind, made.steps[-1].seconds / 2)
    found = shrink(made, fails, permitted)
    assert fails(found)
    assert len(found.steps) == 1
    smaller = [*fewer(found), *rounded(found), *aligned(found)]
    assert not any(permitted(one) and fails(one) for one in smaller)
    assert found.seconds <= max(made.steps[-1].seconds * 0.56, made.steps[-1].seconds / 2 + 0.5, KINDS[kind].least)


def test_what_never_fails_again_stays_as_it_is() -> None:
    assert shrink(BUSY, lambda _made: False, permitted) == BUSY
