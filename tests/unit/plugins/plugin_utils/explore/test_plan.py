# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.kinds import KINDS
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.plan import (
    ExplorePlan,
    as_text,
    check,
    parse_plan,
    problems,
    roles,
    wanted_kinds,
)

from tests.unit.plugins.plugin_utils.drill import cluster
from tests.unit.plugins.plugin_utils.explore.roles import LAB

PLACES = "primary, standby-1, standby-2, leader, balancer-1, balancer-2"
STEPS = ({"kind": "isolate", "target": "primary", "at": 0.0, "seconds": 60.0},)
DEDICATED = {f"etcd{number}": ["etcd"] for number in (1, 2, 3)} | {
    f"db{number}": ["postgresql"] for number in (1, 2, 3)
}


def plan(drill: dict[str, Any] | None = None, **changes: Any) -> ExplorePlan:
    values: dict[str, Any] = {
        "drill": cluster.plan(alerts=False, faults=(), **(drill or {})),
        "mode": "random",
        "trials": 2,
        "minutes": 0,
        "seed": 1,
        "kinds": tuple(KINDS),
        "shrink": 3,
        "lengths": (0.5, 5.0),
        "repeat": 1,
    }
    return ExplorePlan(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"trials": 0}, "explore_trials: 0: give 1 or more"),
        ({"minutes": -1}, "explore_minutes: -1: give 0 or more"),
        ({"shrink": -1}, "explore_shrink: -1: give 0 or more"),
        ({"repeat": 0}, "explore_repeat: 0: give 1 or more"),
        ({"lengths": (0.1,)}, "explore_lengths: [0.1]: give numbers from 0.5 to 5"),
        ({"lengths": ()}, "explore_lengths: []: give numbers from 0.5 to 5"),
        ({"drill": {"dead_man": 120}}, "drill_dead_man: 120: give 180 or more, faults last 120 s"),
        ({"drill": {"dead_man": 120}, "kinds": ("pause",)}, None),
        ({"drill": {"slack": -1.0}}, "drill_slack: -1: give seconds, 0 or more"),
        (
            {"drill": {"hosts": {name: parts for name, parts in cluster.HOSTS.items() if name != "db3"}}},
            "cluster main: 2 etcd hosts: a fault leaves no majority; it needs three",
        ),
        ({"steps": STEPS, "mode": "replay"}, None),
        (
            {"steps": ({"kind": "isolate", "target": "standby-9"},), "mode": "replay"},
            f"explore_schedule: isolate on standby-9: give one of {PLACES}",
        ),
    ],
)  # fmt: skip
def test_bad_input_names_variable_value_and_fix(changes, problem) -> None:
    drill = changes.pop("drill", None)
    assert list(problems(plan(drill, **changes))) == ([problem] if problem else [])


@pytest.mark.parametrize("confirm", [None, "lab"])
def test_nothing_without_the_clusters_name(confirm) -> None:
    check(plan(), "main")
    with pytest.raises(Refusal, match=r"explore_confirm is .*; to allow it for this one, give -e explore_confirm=main"):
        check(plan(), confirm)


def test_a_plan_survives_the_way_to_the_engine() -> None:
    for made in (plan(), plan(steps=STEPS, mode="replay")):
        assert parse_plan(json.loads(json.dumps(asdict(made)))) == made


def test_the_roles_of_a_cluster() -> None:
    assert roles(cluster.plan()) == LAB
    apart = roles(cluster.plan(hosts=DEDICATED))
    assert apart.etcd == ("etcd-1", "etcd-2", "etcd-3")
    assert apart.databases == ("primary", "standby-1", "standby-2")


def test_a_plan_in_words() -> None:
    assert "Exploration on cluster main: 2 trials of seed 1, written to reports" in as_text(plan())
    assert "no new one after 30 minutes" in as_text(plan(minutes=30))
    ladder = as_text(plan(mode="ladder", repeat=5))
    assert "Ladder on cluster main: 9 harms of 2 lengths, 5 times each" in ladder
    assert "power_loss" not in ladder
    assert "at 0 s isolate on primary for 60 s" in as_text(plan(mode="replay", steps=STEPS, trials=1))


def test_the_wanted_kinds() -> None:
    assert wanted_kinds(["all"]) == tuple(KINDS)
    assert wanted_kinds(["flap", "pause", "flap"]) == ("flap", "pause")
    with pytest.raises(Refusal, match="explore_kinds: quake: no such kind; known are power_loss"):
        wanted_kinds(["quake"])
