# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.generate import generate, objection
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.kinds import KINDS, agree, courses, loss, taken_until
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.majority import leaves_majority
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import Schedule, Step

from tests.unit.plugins.plugin_utils.explore.roles import APART, FIVE, LAB, SHAPES, schedule

SEEDS, TRIALS = (1, 2, 20261130), 100


def schedules(shape):
    return [generate(seed, number, shape, list(KINDS)) for seed in SEEDS for number in range(1, TRIALS + 1)]


def hosts_of(step, shape):
    return {"leader": shape.databases, "etcd-leader": shape.etcd}.get(step.target, (step.target,))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_no_schedule_ever_takes_a_majority(shape) -> None:
    """Looked at in every half second and at each begin, with every host that a target may turn out to be."""
    for made in schedules(shape):
        last = max(taken_until(step) for step in made.steps)
        for at in {*(half / 2 for half in range(int(last * 2) + 1)), *(step.at for step in made.steps)}:
            active = [step for step in made.steps if step.at <= at < taken_until(step)]
            for hosts in product(*(hosts_of(step, shape) for step in active)):
                losses = [loss(KINDS[step.kind], host, step.other) for step, host in zip(active, hosts, strict=True)]
                assert leaves_majority(shape, losses), (made, at)


def test_the_same_seed_gives_the_same_schedules() -> None:
    assert schedules(LAB) == schedules(LAB)
    assert generate(1, 5, LAB, list(KINDS)) != generate(2, 5, LAB, list(KINDS))


def test_the_space_is_covered() -> None:
    made = schedules(LAB)
    assert {step.kind for one in made for step in one.steps} == set(KINDS)
    assert {step.target for one in made for step in one.steps} >= {"primary", "leader", "etcd-leader", "balancer-1"}
    counts = Counter(len(one.steps) for one in made)
    assert set(counts) == {1, 2, 3}
    overlapping = [one for one in made if any(b.at < a.end for a, b in zip(one.steps, one.steps[1:], strict=False))]
    assert len(overlapping) > len(made) / 8
    assert any(60 <= step.seconds <= 120 for one in made for step in one.steps)


def test_a_second_fault_begins_up_to_30_s_after_the_first_began_or_ended() -> None:
    for made in schedules(LAB):
        for before, after in zip(made.steps, made.steps[1:], strict=False):
            ends = [step.end for step in made.steps if step.at <= before.at]
            assert after.at <= max(ends) + 30.1


def test_only_the_permitted_kinds() -> None:
    made = [generate(1, number, LAB, ["pause", "flap"]) for number in range(1, 50)]
    assert {step.kind for one in made for step in one.steps} == {"pause", "flap"}


@pytest.mark.parametrize(
    ("shape", "steps", "message"),
    [
        (LAB, [("isolate", "primary", 0, 60), ("isolate", "leader", 75, 20)], ""),
        (LAB, [("isolate", "primary", 0, 60), ("isolate", "leader", 60, 20)], ""),
        (LAB, [("isolate", "primary", 0, 60), ("isolate", "leader", 59, 20)], "leave no majority"),
        (LAB, [("isolate", "primary", 0, 60), ("isolate", "balancer-1", 10, 20)], ""),
        (LAB, [("isolate", "balancer-1", 0, 60), ("kill_haproxy", "balancer-2", 10, 0)], "leave no majority"),
        (LAB, [("isolate", "primary", 0, 60), ("kill_patroni", "primary", 10, 0)], ""),
        (LAB, [("isolate", "primary", 0, 60), ("blip", "primary", 10, 1)], "can't both be on primary"),
        (LAB, [("stall_wal", "primary", 0, 5), ("pause", "primary", 1, 1)], "can't both be on primary"),
        (LAB, [("power_loss", "primary", 0, 20), ("isolate", "standby-1", 30, 20)], "leave no majority"),
        (LAB, [("power_loss", "primary", 0, 20), ("isolate", "standby-1", 40, 20)], ""),
        (LAB, [("etcd_down", "etcd-leader", 0, 20), ("isolate", "standby-1", 10, 20)], "leave no majority"),
        (FIVE, [("isolate", "primary", 0, 60), ("isolate", "leader", 10, 20)], ""),
        (FIVE, [("isolate", "primary", 0, 60), ("isolate", "leader", 1, 20), ("hang", "standby-1", 2, 9)], "no majo"),
        (APART, [("isolate", "primary", 0, 60), ("etcd_down", "etcd-1", 10, 20)], ""),
        (APART, [("etcd_down", "primary", 0, 60)], "etcd_down on primary: give one of etcd-1, etcd-2"),
        (LAB, [("isolate", "primary", 0, 1)], "isolate for 1 s: give 5 to 120 seconds"),
        (LAB, [("earthquake", "primary", 0, 1)], "earthquake: no such kind; known are power_loss"),
        (LAB, [("cut_pair", "primary", 0, 9)], "and no other: give two hosts for a pair"),
        (LAB, [("cut_pair", "primary", 0, 9, "primary")], "and primary: give two hosts for a pair"),
        (LAB, [("cut_pair", "primary", 0, 9, "standby-1")], ""),
        (LAB, [("isolate", "primary", 0, 9, "standby-1")], "give two hosts for a pair, else one"),
        (LAB, [("flap", "primary", 0, 20, "", 1.0, 0.1)], "on 1 s and off 0.1 s: give 0.2 to 3 seconds"),
        (LAB, [("flap", "primary", 0, 20)], "on 0 s and off 0 s"),
        (LAB, [("pause", "primary", 0, 2, "", 1.0, 1.0)], "give 0 to 0 seconds for each"),
    ],
)
def test_what_is_not_permitted(shape, steps, message) -> None:
    made = schedule(*steps)
    assert message in objection(made, shape)
    assert bool(message) == bool(objection(made, shape))


def test_a_harm_of_a_family_comes_once_to_a_host() -> None:
    assert not agree(KINDS["isolate"], KINDS["flap"])
    assert not agree(KINDS["power_loss"], KINDS["kill_patroni"])
    assert agree(KINDS["isolate"], KINDS["pause"])


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kind_is_consistent(kind) -> None:
    action = kind.action(Step(kind.name, "primary", seconds=kind.least))
    assert action.words(containers=True)
    assert action.words(containers=False)
    for low, high in kind.spans:
        assert 0 <= low <= high


def test_predictions_exist_for_the_bounds() -> None:
    made = Schedule((Step("isolate", "leader"), Step("isolate", "balancer-2")))
    assert set(courses(made.steps)) <= set(CATALOGUE)
    assert "balancer_power_loss" not in courses([Step("isolate", "leader")])
    assert "primary_power_loss" not in courses([Step("isolate", "balancer-1"), Step("power_loss", "backup-1")])
