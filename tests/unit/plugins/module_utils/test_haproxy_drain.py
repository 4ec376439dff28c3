# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.haproxy import Pool, Server
from ansible_collections.holdfast.ha.plugins.module_utils.haproxy_drain import (
    FORCED_DRAIN,
    Held,
    Plan,
    RefusedError,
    Wish,
    parse_servers_state,
    plan,
    sessions_left,
)

STATE = """\
1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight
3 primary 1 db1 127.0.0.1 2 0 1 1
3 primary 2 db2 127.0.0.1 0 8 0 1
4 primary.checks 1 db1 127.0.0.1 2 0 1 1

"""


def pool(name: str, sessions: int = 0, **states: str) -> Pool:
    """A pool of servers by their state; a state such as ``up/0`` has a weight, too."""
    servers = tuple(
        Server(
            name=server,
            address="192.0.2.1:5432",
            state=state.split("/")[0],
            status="",
            check=None,
            check_code=None,
            check_ms=None,
            reason=None,
            weight=int((state + "/1").split("/")[1]),
            backup=False,
            sessions=sessions,
            sessions_total=9,
            since=None,
        )
        for server, state in states.items()
    )
    return Pool(name, "tcp", "UP", 0, 0, 0, servers)


POOLS = (
    pool("primary", db1="up", db2="down", db3="down"),
    pool("standby", db1="down", db2="up", db3="up"),
    pool("pooled", db1="unchecked", db2="unchecked", db3="unchecked"),
)


OURS = Held(FORCED_DRAIN, 0)
DRAINED = Held(FORCED_DRAIN)
MAINTAINED = Held(0x01)


def drained(server: str, *pools: str, **fallbacks: str) -> Wish:
    return Wish(server, True, pools or None, fallbacks)


PLANS: dict[str, tuple[Any, dict[tuple[str, str], Held], Wish, Plan]] = {
    "a standby leaves the pools that lead clients to it": (
        POOLS,
        {},
        drained("db2"),
        Plan(change=("standby", "pooled"), drained=("standby", "pooled")),
    ),
    "the primary stays in its pool": (
        POOLS,
        {},
        drained("db1"),
        Plan(change=("pooled",), drained=("pooled",), left=("primary",)),
    ),
    "a chosen pool only": (POOLS, {}, drained("db2", "standby"), Plan(change=("standby",), drained=("standby",))),
    "the last standby": ((pool("standby", db1="down", db2="up"),), {}, drained("db2"), Plan(left=("standby",))),
    "the last standby, whose clients go to the primary": (
        (pool("primary", db1="up", db2="down"), pool("standby", db1="down", db2="up")),
        {},
        drained("db2", standby="primary"),
        Plan(change=("standby",), drained=("standby",)),
    ),
    "a fallback to the server itself": (
        (pool("primary", db1="up", db2="down"), pool("standby", db1="up", db2="down")),
        {},
        drained("db1", "standby", standby="primary"),
        Plan(left=("standby",)),
    ),
    "a server without weight serves nobody": (
        (pool("standby", db2="up", db3="up/0"),),
        {},
        drained("db2"),
        Plan(left=("standby",)),
    ),
    "another that is drained serves nobody": (
        (pool("standby", db2="up", db3="drain"),),
        {},
        drained("db2"),
        Plan(left=("standby",)),
    ),
    "drained before": (
        (pool("standby", db2="drain", db3="up"),),
        {("standby", "db2"): OURS},
        drained("db2"),
        Plan(drained=("standby",)),
    ),
    "drained by somebody else before": (
        (pool("standby", db2="drain", db3="up"),),
        {("standby", "db2"): DRAINED},
        drained("db2"),
        Plan(drained=("standby",)),
    ),
    "drained before, and down since": (
        (pool("standby", db2="down", db3="up"),),
        {("standby", "db2"): OURS},
        drained("db2"),
        Plan(drained=("standby",)),
    ),
    "in maintenance of somebody else": (
        (pool("standby", db2="maint", db3="up"),),
        {("standby", "db2"): MAINTAINED},
        drained("db2"),
        Plan(),
    ),
    "back": (
        POOLS,
        {("standby", "db2"): OURS, ("pooled", "db2"): MAINTAINED, ("primary", "db2"): Held(0x20)},
        Wish("db2", False, None, {}),
        Plan(change=("standby",)),
    ),
    "back, but for what somebody else did": (
        POOLS,
        {
            ("standby", "db2"): DRAINED,
            ("pooled", "db2"): Held(0, 0),
            ("primary", "db2"): Held(FORCED_DRAIN, 0, 0),
        },
        Wish("db2", False, None, {}),
        Plan(),
    ),
    "back before": (POOLS, {}, Wish("db2", False, None, {}), Plan()),
}


@pytest.mark.parametrize(("pools", "holds", "wish", "expected"), PLANS.values(), ids=PLANS)
def test_plan(pools: Any, holds: dict[tuple[str, str], Held], wish: Wish, expected: Plan) -> None:
    assert plan(pools, holds, wish) == expected


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (drained("db9"), "server: no pool of this HAProxy has a server db9; known are db1, db2, db3"),
        (drained("db2", "standby", "sync"), "pools: sync: no such pool has a server db2; primary, standby, pooled do"),
    ],
)
def test_unknown_names_are_refused(wish: Wish, message: str) -> None:
    with pytest.raises(RefusedError, match=f"^{message}$"):
        plan(POOLS, {}, wish)


def test_sessions_left() -> None:
    pools = (pool("primary", 5, db2="up"), pool("standby", 3, db2="up", db3="up"))
    assert sessions_left(pools, "db2", ("standby",)) == {"standby": 3}


def test_servers_state() -> None:
    found = parse_servers_state(STATE)
    assert found == {("primary", "db1"): Held(), ("primary", "db2"): OURS, ("primary.checks", "db1"): Held()}


def test_servers_state_refuses_other_text() -> None:
    with pytest.raises(ValueError, match="Permission denied"):
        parse_servers_state("Permission denied\n")
