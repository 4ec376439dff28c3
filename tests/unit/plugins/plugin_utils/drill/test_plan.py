# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import (
    Refusal,
    check,
    parse,
    usable_database,
)

from tests.unit.plugins.plugin_utils.drill.cluster import HOSTS, MONITORED, plan


def test_a_plan_comes_back_from_json() -> None:
    assert parse(json.loads(json.dumps(asdict(plan(budgets={"switchover": 3}))))) == plan(budgets={"switchover": 3})


REFUSED = {
    "unconfirmed": ({}, None, r"drill_confirm is not given: .* give -e drill_confirm=main$"),
    "another cluster": ({}, "lab", r"drill_confirm is 'lab': .* give -e drill_confirm=main$"),
    "never": ({"repeat": 0}, "main", "drill_repeat: 0: give 1 or more"),
    "less than nothing": ({"slack": -1.0}, "main", "drill_slack: -1: give seconds, 0 or more"),
    "no number": ({"slack": float("nan")}, "main", "drill_slack: nan: give seconds, 0 or more"),
    "hasty dead man": ({"dead_man": 5}, "main", "drill_dead_man: 5: give 60 to 3600 seconds"),
    "dead man before an alert": (
        {"dead_man": 200, "hosts": MONITORED},
        "main",
        "drill_dead_man: 200: give 285 to 3600 seconds",
    ),
    "no client": ({"client": ""}, "main", "drill_client: '': name a host"),
    "client of the cluster": ({"client": "lb1"}, "main", "drill_client: 'lb1': it belongs to the cluster"),
    "one database": ({"hosts": {"db1": HOSTS["db1"]}}, "main", "one PostgreSQL host"),
    "no backup": ({"hosts": {name: HOSTS[name] for name in ("db1", "db2", "lb1")}}, "main", "main: no backups"),
    "no password": ({"secrets": {}}, "main", "ha_role_passwords: none for app"),
    "no database": ({"database": ""}, "main", "databases: none"),
    "no secrets": ({"secrets": {"role_password": "x"}}, "main", "ha_secrets: no etcd_root and no patroni_rest and no "),
}


@pytest.mark.parametrize(("changes", "confirm", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals_name_the_way_out(changes, confirm, message) -> None:
    with pytest.raises(Refusal, match=message):
        check(plan(**changes), confirm)


@pytest.mark.parametrize(("priorities", "heirs"), [((1, 0, 0), "db1"), ((0, 0, 0), "none")])
def test_a_cluster_in_which_nobody_else_may_lead_is_refused(priorities, heirs) -> None:
    made = plan()
    for node in made.nodes:
        for member, priority in zip(
            (node.ha or {"postgresql": {"members": []}})["postgresql"]["members"], priorities, strict=False
        ):
            member["failover_priority"] = priority
    with pytest.raises(Refusal, match=f"ha_failover_priority: only {heirs} may lead"):
        check(made, "main")


def test_a_confirmed_plan_is_carried_out() -> None:
    check(plan(), "main")


@pytest.mark.parametrize(
    ("databases", "chosen"),
    [
        ([{"name": "old", "owner": "app", "state": "absent"}, {"name": "app", "owner": "app"}], ("app", "app")),
        ([{"name": "audit", "owner": "nologin"}, {"name": "app", "owner": "app"}], ("app", "app")),
        ([{"name": "audit", "owner": "nologin"}], ("audit", "nologin")),
        ([{"name": "old", "owner": "app", "state": "absent"}], ("", "")),
        ([], ("", "")),
    ],
)
def test_the_drill_uses_a_database_that_is_there_and_whose_owner_may_log_in(databases, chosen) -> None:
    assert usable_database(databases, {"app": "secret"}) == chosen


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(plan())
