# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.judge import (
    Change,
    Journal,
    Load,
    Seen,
    State,
    breaches,
    merged,
)

BEFORE = State("db1", 4, ("192.0.2.100 on lb1",), "a1", 7)
CALM = Seen(
    before=BEFORE,
    after=replace(BEFORE, term=10),
    changes=(),
    journals={"db1": Journal(overruns=2, recounts=1), "db2": Journal(overruns=1)},
    load=Load(30000, 250.0, 60.0, breaks=("server closed the connection",)),
    planned={"burn": 1, "handover": 2},
    disturbed={"burn": 1, "handover": 2},
    blind={"etcd": 3.0},
    silence=3,
    lease_looks=230,
    handovers=2,
    acknowledged=1200,
    lost=0,
    seconds=120.0,
)


def test_a_calm_soak_passes_and_tells_how_close_it_came() -> None:
    assert list(breaches(CALM)) == []
    assert (CALM.elections, CALM.overruns, CALM.recounts) == (1, 3, 1)


@pytest.mark.parametrize(
    ("changed", "rule", "text"),
    [
        ({"after": replace(BEFORE, leader="db2")}, "same leader", "the leader was db1 before and db2 after"),
        ({"after": replace(BEFORE, leader="")}, "same leader", "the leader was db1 before and none after"),
        ({"after": replace(BEFORE, timeline=5)}, "same timeline", "the timeline was 4 before and 5 after"),
        ({"after": replace(BEFORE, lease="b2")}, "same lease", "the lease was a1 before and b2 after"),
        (
            {"after": replace(BEFORE, holders=("192.0.2.100 on lb2",))},
            "same holders",
            "the holders was 192.0.2.100 on lb1 before and 192.0.2.100 on lb2 after",
        ),
        ({"journals": {"db3": Journal(revoked=("revoked: lease a1",))}}, "no revocation", "db3: revoked: lease a1"),
        (
            {"journals": {"db3": Journal(missing="no session")}},
            "observed",
            "db3: its journal can't be read: no session",
        ),
        ({"lost": 1}, "no loss", "1 of 1200 acknowledged rows are missing"),
        ({"acknowledged": 0}, "observed", "no row was acknowledged"),
        ({"load": Load()}, "load", "pgbench counted no transaction"),
        ({"blind": {"etcd": 15.1}}, "observed", "etcd: no observation for 15.1 s"),
        ({"disturbed": {"burn": 1, "handover": 1}}, "disturbed", "handover: 1 of 2 were done"),
    ],
)
def test_what_is_not_wanted(changed: dict[str, Any], rule: str, text: str) -> None:
    assert list(breaches(replace(CALM, **changed))) == [Change(120.0, rule, text)]


def test_a_change_on_the_way_counts_though_all_is_as_it_was() -> None:
    change = Change(3.0, "same holders", "192.0.2.100 left lb1")
    assert list(breaches(replace(CALM, changes=(change,)))) == [change]
    assert list(breaches(replace(CALM, changes=(change,), load=Load()))) == [change]
    moved = replace(BEFORE, holders=("192.0.2.100 on lb2",))
    assert list(breaches(replace(CALM, changes=(change,), after=moved))) == [change]


@pytest.mark.parametrize(
    ("runs", "seconds", "expected"),
    [
        ([], 10.0, Load()),
        ([Load(400, 40.0, 100.0, 1)], 10.0, Load(400, 40.0, 100.0, 1)),
        (
            [Load(300, 60.0, 10.0, 1, ("gone",)), Load(0, breaks=("refused",)), Load(100, 25.0, 50.0, 2)],
            10.0,
            Load(400, 40.0, 20.0, 3, ("gone", "refused")),
        ),
    ],
)
def test_runs_of_pgbench_become_one(runs, seconds, expected) -> None:
    assert merged(runs, seconds) == expected
