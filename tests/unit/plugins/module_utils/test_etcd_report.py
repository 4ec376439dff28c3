# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.etcd import Member
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_report import Seen, summarise

MEMBERS = tuple(Member(number, f"db{number}", (), ("x",)) for number in (1, 2, 3))


def seen(number: int, leader: int = 1, error: str | None = None) -> Seen:
    status = {
        "header": {"member_id": str(number), "revision": "7"},
        "leader": str(leader),
        "version": "3.5.16",
        "dbSize": "20480",
        "dbSizeInUse": "16384",
        "raftTerm": "2",
        "raftIndex": "21",
    }
    return Seen(f"https://db{number}:2379", error, status, True, True, True)


def dead(number: int) -> Seen:
    return Seen(f"https://db{number}:2379", "Connection refused")


CASES: dict[str, tuple[list[Seen], list[dict[str, str]], dict[str, Any]]] = {
    "all well": (
        [seen(1), seen(2), seen(3)],
        [],
        {"healthy": True, "quorum": True, "leader": "db1", "auth_enabled": True, "plaintext_refused": True},
    ),
    "one dead": ([seen(1), dead(2), seen(3)], [], {"healthy": False, "quorum": True, "leader": "db1"}),
    "all dead": (
        [dead(1), dead(2), dead(3)],
        [],
        {"healthy": False, "quorum": False, "leader": None, "auth_enabled": None, "certificate_required": None},
    ),
    "no quorum": (
        [seen(1, leader=0, error="no leader"), dead(2), dead(3)],
        [],
        {"healthy": False, "quorum": False, "leader": None, "auth_enabled": None, "plaintext_refused": True},
    ),
    "two leaders": ([seen(1, 1), seen(2, 2), seen(3, 1)], [], {"healthy": False, "leader": None}),
    "an alarm": (
        [seen(1), seen(2), seen(3)],
        [{"memberID": "2", "alarm": "NOSPACE"}],
        {"healthy": False, "alarms": ["db2 NOSPACE"]},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_summarise(name: str) -> None:
    endpoints, alarms, expected = CASES[name]
    members = MEMBERS if any(one.error is None for one in endpoints) else ()
    report = summarise(endpoints, members, alarms, [])
    assert {key: getattr(report, key) for key in expected} == expected


def test_endpoints() -> None:
    first, second = summarise([seen(1), dead(2)], MEMBERS, [], []).endpoints
    assert (first.name, first.leader, first.db_size, first.version) == ("db1", True, 20480, "3.5.16")
    assert (second.name, second.leader, second.db_size, second.error) == (None, False, None, "Connection refused")
