# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.lanes import Lane, lanes, role
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Alert, MemberSample

from tests.unit.plugins.plugin_utils.drill.ledgers import ledger, monitored


def lane(title: str) -> Lane:
    return next(lane for group in lanes(ledger()) for lane in group if lane.title == title)


def seen(title: str) -> list[tuple[float, float, str]]:
    return [(round(part.begin, 2), round(part.end, 2), part.text) for part in lane(title).segments]


def test_the_groups() -> None:
    assert [[lane.title for lane in group] for group in lanes(ledger())] == [
        ["injected", "detected", "promoted", "pool switched", "healed", "rejoined"],
        ["db1", "db2", "db3"],
        ["VIP on lb1", "VIP on lb2"],
        ["primary pool on lb1", "primary pool on lb2"],
    ]


def test_the_old_primary_is_off_and_comes_back() -> None:
    assert seen("db1") == [(-5.0, 0.0, "primary"), (10.0, 20.0, "standby"), (0.0, 10.0, "off")]


def test_the_new_primary_takes_over_and_acknowledges() -> None:
    assert seen("db2") == [(-5.0, 3.2, "standby"), (3.2, 20.0, "primary")]
    assert [(round(begin, 2), round(end, 2)) for begin, end in lane("db2").writing] == [(4.0, 19.9)]


def test_the_pool_is_empty_in_between() -> None:
    assert seen("primary pool on lb1") == [(-5.0, 1.2, "db1"), (3.6, 20.0, "db2")]


def test_one_balancer_holds_the_vip() -> None:
    assert (seen("VIP on lb1"), seen("VIP on lb2")) == ([(-5.0, 20.0, "holds it")], [])


def test_a_holder_that_is_cut_off_is_shown_as_such() -> None:
    cut = ledger(cut={"lb1": ((12.1, 15.1),)})
    shown = next(lane for group in lanes(cut) for lane in group if lane.title == "VIP on lb1").segments
    assert [(round(part.begin, 2), round(part.end, 2), part.text) for part in shown] == [
        (-5.0, 2.2, "holds it"),
        (2.2, 5.2, "holds it, cut off"),
        (5.2, 20.0, "holds it"),
    ]


def test_alerts_stand_between_events_and_members() -> None:
    watchdog = (Alert("Watchdog", "info"), 0, 40)
    down, quiet = Alert("HostDown", "page", "db1"), Alert("MemberDown", "ticket", "db1", quiet=True)
    record = monitored((down, 13, 24), (down, 26, 28), (quiet, 13, 24), (Alert("OneBalancer", "page"), 0, 40), watchdog)
    before, alarms = lanes(record)[0], lanes(record)[1]
    assert before[0].title == "injected"
    assert [lane.title for lane in alarms] == ["alert", "alert on db1"]
    assert [[(part.begin, part.end, part.text) for part in lane.segments] for lane in alarms] == [
        [(-5.0, 20.0, "OneBalancer")],
        [(3.0, 14.0, ""), (16.0, 18.0, "")],
    ]
    assert [[(mark.at, mark.text) for mark in lane.marks] for lane in alarms] == [
        [],
        [(3.0, "HostDown"), (16.0, "HostDown")],
    ]


def test_what_was_not_seen_stays_empty() -> None:
    calm = ledger()
    blind = replace(calm, balancers=tuple(sample for sample in calm.balancers if not 15.0 < sample.at < 25.0))
    shown = next(lane for group in lanes(blind) for lane in group if lane.title == "VIP on lb1").segments
    assert [(round(part.begin, 2), round(part.end, 2)) for part in shown] == [(-5.0, 7.0), (15.0, 20.0)]


@pytest.mark.parametrize("pools", [(), ("",)])
def test_without_pools_and_vips(pools: tuple[str, ...]) -> None:
    alone = ledger(balancers=(), expected_balancers=(), write_pools=pools, events=())
    assert [[lane.title for lane in group] for group in lanes(alone)] == [["db1", "db2", "db3"]]


@pytest.mark.parametrize(
    ("recovering", "claims", "kind"),
    [
        (False, True, "primary"),
        (True, True, "primary"),
        (True, False, "standby"),
        (True, None, "standby"),
        (False, False, "unlocked"),
        (False, None, "unlocked"),
        (None, False, "silent"),
        (None, None, "silent"),
    ],
)
def test_roles(recovering: bool | None, claims: bool | None, kind: str) -> None:
    assert role(MemberSample(0.0, "db1", recovering, claims, False))[0] == kind
