# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.plan import SoakPlan, as_text, check, parse, problems

from tests.unit.plugins.plugin_utils.drill import cluster


def plan(watched: bool = False, drill: dict[str, Any] | None = None, **changes: Any) -> SoakPlan:
    made = cluster.plan(without_backup=True, faults=(), **(drill or {}))
    if watched:
        for node in made.nodes:
            if node.ha is not None:
                node.ha["lease_watch"] = {"seconds": 8}  # type: ignore[index]
    return SoakPlan(**({"drill": made, "minutes": 2, "seed": 1, "clients": 16, "scale": 10} | changes))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"minutes": 1}, "soak_minutes: 1: give 2 to 10080"),
        ({"minutes": 10081}, "soak_minutes: 10081: give 2 to 10080"),
        ({"clients": 0}, "soak_clients: 0: give 1 or more"),
        ({"scale": 0}, "soak_scale: 0: give 1 or more"),
        (
            {"drill": {"client": "db1"}},
            "drill_client: 'db1': it belongs to the cluster and would be hit too; name another host",
        ),
    ],
)
def test_bad_input_names_variable_value_and_fix(changes, problem) -> None:
    drill = changes.pop("drill", None)
    assert list(problems(plan(drill=drill, **changes))) == ([problem] if problem else [])


@pytest.mark.parametrize(
    ("confirm", "text"),
    [
        ("main", None),
        (None, "soak_confirm is not given: .* give -e soak_confirm=main"),
        ("lab", "soak_confirm is 'lab': .* give -e soak_confirm=main"),
    ],
)
def test_nothing_without_the_clusters_name(confirm, text) -> None:
    if text is None:
        check(plan(), confirm)
    else:
        with pytest.raises(Refusal, match=text):
            check(plan(), confirm)


def test_only_watched_clusters_have_watchers_to_restart() -> None:
    assert plan().watchers == ()
    assert plan(watched=True).watchers == ("db1", "db2", "db3")
    assert "restart   10×" in as_text(plan(watched=True))
    assert "lease watchers: none: lease_watch is not set" in as_text(plan())


def test_a_plan_survives_the_way_to_the_engine() -> None:
    made = plan(watched=True)
    assert parse(json.loads(json.dumps(asdict(made)))) == made
