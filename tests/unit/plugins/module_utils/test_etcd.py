# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.etcd import (
    AuthState,
    Join,
    LookedAt,
    Member,
    Peer,
    Permission,
    Restart,
    User,
    bootstrap_environment,
    initial_cluster,
    judge_peer_names,
    judge_restart,
    parse_member,
    parse_permission,
    plan_auth,
    plan_join,
    prefix_end,
    why_unknown,
)

PEERS = [Peer(name, f"https://{name}:2380") for name in ("db2", "db1", "db3")]
ME = PEERS[2]


def member(name: str, started: bool = True, known: bool = True) -> Member:
    clients = (f"https://{name}:2379",) if started else ()
    return Member(int(name[2:]), name if known else "", (f"https://{name}:2380",), clients)


OTHERS = (member("db1"), member("db2"))


NEW = member("db3", started=False)
ADDED = member("db3", started=False, known=False)
ALL = "db1 db2 db3"


@pytest.mark.parametrize(
    ("answering", "members", "empty", "quorum", "expected"),
    [
        pytest.param("", (), ALL, False, Join.BOOTSTRAP, id="nobody has data"),
        pytest.param("", (), "db3", False, None, id="nobody answers, nobody else was looked at"),
        pytest.param("", (), "db2 db3", False, None, id="one has data and does not answer yet"),
        pytest.param("db1 db2", (*OTHERS, NEW), ALL, True, Join.BOOTSTRAP, id="the others were quicker"),
        pytest.param("db1 db2", (*OTHERS, NEW), "db3", True, Join.REPLACE, id="awaited since an earlier run"),
        pytest.param("db1", (*OTHERS, NEW), "db2 db3", False, Join.BOOTSTRAP, id="an earlier run began with one"),
        pytest.param("db1", (*OTHERS, NEW), "db3", False, None, id="the silent one may know more"),
        pytest.param("db1 db2", (*OTHERS, ADDED), "db3", True, Join.REPLACE, id="added, and perhaps started"),
        pytest.param("db1 db2", (*OTHERS, ADDED), "db3", False, Join.ADDED, id="added, and needed for the quorum"),
        pytest.param("db1 db2", OTHERS, "db3", True, Join.ADD, id="unknown"),
        pytest.param("db1 db2", (*OTHERS, member("db3")), "db3", True, Join.REPLACE, id="data lost"),
        pytest.param("db1", (*OTHERS, member("db3")), "db2 db3", False, Join.REPLACE, id="data lost, no quorum"),
        pytest.param("db1", (*OTHERS, member("db3")), ALL, False, Join.REPLACE, id="one runs on deleted data"),
    ],
)
def test_plan_join(answering: str, members: tuple[Member, ...], empty: str, quorum: bool, expected: Join) -> None:
    answers = dict.fromkeys(answering.split(), members)
    assert plan_join(ME, PEERS, answers, LookedAt(frozenset(empty.split())), quorum) is expected


def test_the_member_that_knows_most_is_believed() -> None:
    answers = {"db1": (*OTHERS, NEW), "db2": (*OTHERS, member("db3"))}
    assert plan_join(ME, PEERS, answers, LookedAt(frozenset(("db1", "db2", "db3"))), False) is Join.REPLACE


def test_a_look_counts_for_its_own_cluster_only() -> None:
    found = [
        {"name": "db1", "token": "lab", "empty": True},
        {"name": "db2", "token": "other", "empty": True},
        {"name": "db3", "token": "lab", "empty": False},
        {},
    ]
    assert LookedAt.of("lab", found) == LookedAt(frozenset({"db1"}), frozenset({"db3"}))


def test_a_refusal_names_who_is_missing_and_why() -> None:
    text = why_unknown(ME, PEERS, (), LookedAt(frozenset({"db3"}), frozenset({"db2"})))
    assert "db1 was not looked at in this run" in text
    assert "db2 has data, but its etcd does not answer" in text
    assert "--limit" in text
    assert "db3 still runs" in why_unknown(ME, PEERS, (), LookedAt(frozenset(), frozenset({"db3"})))


@pytest.mark.parametrize(
    ("join", "members", "expected"),
    [
        (Join.BOOTSTRAP, (), "db1 db2 db3"),
        (Join.BOOTSTRAP, (*OTHERS, member("db3", started=False)), "db1 db2 db3"),
        (Join.ADD, OTHERS, "db1 db2 db3"),
        (Join.REPLACE, (*OTHERS, member("db3", started=False, known=False)), "db1 db2 db3"),
        (Join.ADD, (*OTHERS, member("db9")), "db1 db2 db3 db9"),
        (Join.ADD, (member("db1"), member("db2", started=False, known=False)), "db1 db2 db3"),
    ],
)
def test_initial_cluster(join: Join, members: tuple[Member, ...], expected: str) -> None:
    cluster = initial_cluster(join, ME, PEERS, members)
    assert " ".join(peer.name for peer in cluster) == expected


def test_bootstrap_environment() -> None:
    assert bootstrap_environment(Join.REPLACE, "lab", PEERS[:2]).splitlines() == [
        "ETCD_INITIAL_CLUSTER=db2=https://db2:2380,db1=https://db1:2380",
        "ETCD_INITIAL_CLUSTER_STATE=existing",
        "ETCD_INITIAL_CLUSTER_TOKEN=lab",
    ]
    assert "STATE=new\n" in bootstrap_environment(Join.BOOTSTRAP, "lab", PEERS)


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        ({"a": True}, Restart.SAFE),
        ({"a": False}, Restart.HARMLESS),
        ({"a": True, "b": True}, Restart.SAFE),
        ({"a": True, "b": False}, Restart.HARMLESS),
        ({"a": True, "b": True, "c": True}, Restart.SAFE),
        ({"a": False, "b": True, "c": True}, Restart.SAFE),
        ({"a": True, "b": True, "c": False}, Restart.UNSAFE),
        ({"a": True, "b": False, "c": False}, Restart.HARMLESS),
        ({"a": False, "b": False, "c": False}, Restart.HARMLESS),
        ({"a": True, "b": True, "c": True, "d": True, "e": False}, Restart.SAFE),
        ({"a": True, "b": True, "c": True, "d": False, "e": False}, Restart.UNSAFE),
    ],
)
def test_judge_restart(health: dict[str, bool], expected: Restart) -> None:
    assert judge_restart("a", health) is expected


@pytest.mark.parametrize(
    ("named", "has_data", "required_before", "hindrance"),
    [
        pytest.param([True, True, True], True, False, None, id="all have it"),
        pytest.param([True, None, None], False, False, None, id="a cluster that is being made"),
        pytest.param([True, True, None], True, True, None, id="one is down, required all along"),
        pytest.param([True, True, None], True, False, "m2: no answer", id="one is down on the way there"),
        pytest.param([True, False, True], True, False, "m1: the certificate does not", id="a peer got none yet"),
        pytest.param([True, False, None], True, True, "m1: the certificate does not", id="a peer lost it"),
        pytest.param([False, True, True], True, False, "m0: the certificate does not", id="own one is missing"),
        pytest.param([True, False, False], False, False, "m1, m2: the certificate", id="a new member, an old cluster"),
    ],
)
def test_judge_peer_names(
    named: list[bool | None], has_data: bool, required_before: bool, hindrance: str | None
) -> None:
    judged = judge_peer_names({f"m{n}": value for n, value in enumerate(named)}, has_data, required_before)
    assert judged.required is (hindrance is None)
    assert (judged.hindrance or "").startswith(hindrance or "")


def readwrite(prefix: str) -> Permission:
    return Permission("READWRITE", prefix.encode(), prefix_end(prefix.encode()))


PATRONI = User("patroni", "pw", ("/service/lab/",))
LAB = readwrite("/service/lab/")
ROOT_USER = {"root": frozenset({"root"})}
ROOT_ROLE: dict[str, frozenset[Permission]] = {"root": frozenset()}
DONE_USERS = {**ROOT_USER, "patroni": frozenset({"patroni"})}
DONE_ROLES = {**ROOT_ROLE, "patroni": frozenset({LAB})}

AUTH_CASES: dict[str, tuple[AuthState, list[str]]] = {
    "bare": (
        AuthState(False, {}, {}),
        [
            "add role patroni",
            "grant to role patroni: readwrite /service/lab/*",
            "add user patroni",
            "grant role patroni to user patroni",
            "add role root",
            "add user root",
            "grant role root to user root",
            "enable authentication",
        ],
    ),
    "interrupted before it was enabled: passwords can't be told, so they are set": (
        AuthState(False, DONE_USERS, DONE_ROLES),
        ["set the password of user patroni", "set the password of user root", "enable authentication"],
    ),
    "interrupted within the users": (
        AuthState(False, {"root": frozenset()}, ROOT_ROLE),
        [
            "add role patroni",
            "grant to role patroni: readwrite /service/lab/*",
            "add user patroni",
            "grant role patroni to user patroni",
            "grant role root to user root",
            "set the password of user root",
            "enable authentication",
        ],
    ),
    "done": (AuthState(True, DONE_USERS, DONE_ROLES), []),
    "others are left alone": (
        AuthState(True, {**DONE_USERS, "app": frozenset()}, {**DONE_ROLES, "app": frozenset()}),
        [],
    ),
    "another password": (
        AuthState(True, DONE_USERS, DONE_ROLES, frozenset({"patroni"})),
        ["set the password of user patroni"],
    ),
    "too much allowed": (
        AuthState(True, DONE_USERS, {**ROOT_ROLE, "patroni": frozenset({LAB, readwrite("/other/")})}),
        ["revoke from role patroni: readwrite /other/*"],
    ),
    "read only": (
        AuthState(True, DONE_USERS, {**ROOT_ROLE, "patroni": frozenset({Permission("READ", LAB.key, LAB.range_end)})}),
        ["grant to role patroni: readwrite /service/lab/*"],
    ),
    "a role too many": (
        AuthState(True, {**ROOT_USER, "patroni": frozenset({"patroni", "root"})}, DONE_ROLES),
        ["revoke role root from user patroni"],
    ),
}


STANDIN = User("patroni_next", "new", like="patroni")
STANDS = {**DONE_USERS, "patroni_next": frozenset({"patroni"})}


@pytest.mark.parametrize(
    ("users", "wanted", "absent", "refused", "expected"),
    [
        (DONE_USERS, [STANDIN], (), (), ["add user patroni_next", "grant role patroni to user patroni_next"]),
        (STANDS, [STANDIN], (), (), []),
        (STANDS, [STANDIN], (), ("patroni_next",), ["set the password of user patroni_next"]),
        (
            {**DONE_USERS, "patroni_next": frozenset()},
            [STANDIN],
            (),
            (),
            ["grant role patroni to user patroni_next"],
        ),
        (STANDS, [], ("patroni_next", "root_next"), (), ["delete user patroni_next"]),
        # what carries the calls out loses its token with root's password
        (
            DONE_USERS,
            [PATRONI],
            (),
            ("root", "patroni"),
            ["set the password of user patroni", "set the password of user root"],
        ),
    ],
)
def test_a_user_that_stands_in_for_another_has_its_role(users, wanted, absent, refused, expected) -> None:
    state = AuthState(True, users, DONE_ROLES, frozenset(refused))
    assert [call.text for call in plan_auth(state, "root-pw", wanted, absent)] == expected


@pytest.mark.parametrize("name", AUTH_CASES)
def test_plan_auth(name: str) -> None:
    current, expected = AUTH_CASES[name]
    assert [call.text for call in plan_auth(current, "root-pw", [PATRONI])] == expected


def test_calls_carry_what_the_gateway_takes() -> None:
    calls = {call.text: call for call in plan_auth(AuthState(False, {}, {}), "root-pw", [PATRONI])}
    assert calls["add user root"].body == {"name": "root", "password": "root-pw"}
    assert calls["grant role patroni to user patroni"].body == {"user": "patroni", "role": "patroni"}
    grant = calls["grant to role patroni: readwrite /service/lab/*"]
    assert grant.body["name"] == "patroni"
    assert parse_permission(grant.body["perm"]) == LAB


def test_passwords_are_not_in_repr() -> None:
    assert "pw" not in repr(plan_auth(AuthState(False, {}, {}), "root-pw", [PATRONI]))
    assert "pw" not in repr(PATRONI)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [(b"/a/", b"/a0"), (b"a\xff", b"b"), (b"a\xff\xff", b"b"), (b"\xff", b"\0"), (b"", b"\0")],
)
def test_prefix_end(prefix: bytes, expected: bytes) -> None:
    assert prefix_end(prefix) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            {"ID": "123", "name": "db1", "peerURLs": ["https://db1:2380"], "clientURLs": ["https://db1:2379"]},
            Member(123, "db1", ("https://db1:2380",), ("https://db1:2379",)),
        ),
        (
            {"id": 18446744073709551615, "name": "", "peerURLs": ["https://db1:2380"], "isLearner": True},
            Member(18446744073709551615, "", ("https://db1:2380",), (), learner=True),
        ),
        ({"ID": "1", "clientURLs": None}, Member(1, "", (), ())),
    ],
)
def test_parse_member(data: dict[str, Any], expected: Member) -> None:
    assert parse_member(data) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"permType": "READWRITE", "key": "YQ==", "range_end": "Yg=="}, "readwrite a*"),
        ({"key": "YQ==", "range_end": "Yw=="}, "read a..c"),
        ({"permType": "WRITE", "key": "YQ=="}, "write a.."),
    ],
)
def test_parse_permission(data: dict[str, str], expected: str) -> None:
    assert str(parse_permission(data)) == expected


def test_a_user_may_be_given_less_than_reading_and_writing():
    user = User("watcher", "pw", ("/a",), ("/b/",), ("/c/",))
    assert {str(permission) for permission in user.permissions} == {"readwrite /a*", "read /b/*", "write /c/*"}
    state = AuthState(True, {"watcher": frozenset({"watcher"})}, {"watcher": user.permissions})
    assert [call.text for call in plan_auth(state, "pw", [user]) if "watcher" in call.text] == []
