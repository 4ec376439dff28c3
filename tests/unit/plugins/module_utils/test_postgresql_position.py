# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_position import (
    Position,
    PositionError,
    most_advanced,
    parse_answer,
    position,
)

CONTROL = {
    "Database system identifier": "7",
    "Database cluster state": "in archive recovery",
    "Latest checkpoint's TimeLineID": "3",
    "Min recovery ending loc's timeline": "4",
}


def standby(lsn: str | None, timeline: int = 4, system_id: str = "7") -> Position:
    return Position(system_id, timeline, primary=False, lsn=lsn)


def primary(lsn: str | None = None, timeline: int = 4) -> Position:
    return Position("7", timeline, primary=True, lsn=lsn)


def test_a_running_standby() -> None:
    assert position(CONTROL, "t|0/110000A0\n") == standby("0/110000A0")


def test_a_running_primary() -> None:
    assert parse_answer("f|16/B374D848\n") == (True, "16/B374D848")


@pytest.mark.parametrize(
    ("state", "was_primary"),
    [("in production", True), ("shut down", True), ("shut down in recovery", False), ("in archive recovery", False)],
)
def test_one_that_does_not_run(state: str, was_primary: bool) -> None:
    found = position({**CONTROL, "Database cluster state": state}, None)
    assert (found.primary, found.lsn) == (was_primary, None)


# members, who has everything
TOLD = [
    pytest.param([standby("0/9"), standby("0/A0"), standby("0/A")], "db2", id="running standbys: the furthest"),
    pytest.param([standby("0/A0"), standby("0/A0")], "db1", id="equals"),
    pytest.param([standby("F/0", timeline=3), standby("0/A")], "db2", id="the newest timeline comes first"),
    pytest.param([standby(None), primary(), standby("0/A0")], "db2", id="a primary that stopped"),
    pytest.param([standby("0/A0"), primary(timeline=3)], "db1", id="a primary of before"),
]


@pytest.mark.parametrize(("members", "name"), TOLD)
def test_who_has_everything(members: list[Position], name: str) -> None:
    assert most_advanced({f"db{number}": each for number, each in enumerate(members, 1)}) == name


def test_who_is_named_leads_if_it_has_data() -> None:
    members = {"db1": standby(None), "db2": None, "db3": primary()}
    assert most_advanced(members, "db1") == "db1"
    with pytest.raises(PositionError, match="etcd_lost_leader = db2 has no data"):
        most_advanced(members, "db2")


# members, why nobody can be said to
UNTOLD = [
    pytest.param([], "not the data of one cluster", id="nobody"),
    pytest.param([standby("0/1"), standby("0/1", system_id="8")], "db1: 7, db2: 8", id="two databases"),
    pytest.param([standby("0/1"), standby(None)], "how far db2 got is unknown", id="a standby that is down"),
    pytest.param([primary(), None], "db2 has no data, .*: -e etcd_lost_leader", id="a member without data"),
    pytest.param([primary(), primary()], "db1 and db2 both were primary", id="two primaries"),
]


@pytest.mark.parametrize(("members", "reason"), UNTOLD)
def test_what_can_t_be_told(members: list[Position | None], reason: str) -> None:
    with pytest.raises(PositionError, match=reason):
        most_advanced({f"db{number}": each for number, each in enumerate(members, 1)})
