# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import postgresql_logins as sut
from ansible_collections.holdfast.ha.plugins.module_utils.scram import is_password_of, verifier

STANDIN = sut.Wanted("replicator_next", "new", like="replicator", replication=True)
REGULAR = sut.Wanted("replicator", "new")


def salt(count):
    return b"s" * count


def role(password, *, login=True, replication=True, groups=()):
    return sut.Role(verifier(password, b"another salt"), login, replication, frozenset(groups))


OLD, NEW = role("old"), role("new")
STANDS = role("new", groups=("replicator",))


@pytest.mark.parametrize(
    ("found", "wanted", "absent", "actions"),
    [
        ({"replicator": OLD}, [STANDIN], [], ["add role replicator_next", "grant replicator to replicator_next"]),
        ({"replicator": OLD, "replicator_next": STANDS}, [STANDIN], [], []),
        ({"replicator": OLD, "replicator_next": NEW}, [STANDIN], [], ["grant replicator to replicator_next"]),
        (
            {"replicator": OLD, "replicator_next": role("older", replication=False, groups=("replicator",))},
            [STANDIN],
            [],
            ["set the password of role replicator_next", "let role replicator_next log in"],
        ),
        ({"replicator": OLD}, [REGULAR], [], ["set the password of role replicator"]),
        ({"replicator": NEW}, [REGULAR], [], []),
        ({"replicator": sut.Role(None, True, True)}, [REGULAR], [], ["set the password of role replicator"]),
        # a role that is not declared yet is no concern of this
        ({}, [REGULAR, STANDIN], [], []),
        ({"replicator_next": STANDS}, [], ["replicator_next", "rewinder_next"], ["drop role replicator_next"]),
    ],
)
def test_only_what_is_missing_is_done(found, wanted, absent, actions):
    assert [statement.text for statement in sut.plan(found, wanted, absent, salt)] == actions


def test_statements_have_what_the_server_stores_and_no_password():
    found = {"replicator": OLD, 'a"b': OLD}
    statements = sut.plan(found, [STANDIN, sut.Wanted('a"b', "secret-x")], ['a"b'], salt)
    add, grant, alter, drop = (statement.sql for statement in statements)
    assert add.startswith('CREATE ROLE "replicator_next" LOGIN REPLICATION PASSWORD \'SCRAM-SHA-256$4096:')
    assert grant == 'GRANT "replicator" TO "replicator_next"'
    assert alter.startswith('ALTER ROLE "a""b" PASSWORD \'SCRAM')
    assert is_password_of('a"b', "secret-x", alter.split("'")[1]) is True
    assert drop == 'DROP ROLE "a""b"'
    assert "secret-x" not in f"{statements}{alter}"
    assert "SCRAM" not in repr(statements)


@pytest.mark.parametrize(
    ("conninfo", "expected"),
    [
        ("user=replicator_next passfile=/x host=192.0.2.1 port=5432", "replicator_next"),
        ("host=192.0.2.1 user='replicator' dbname=replication", "replicator"),
        ("application_name=user", ""),
        (None, ""),
    ],
)
def test_as_whom_a_standby_receives(conninfo, expected):
    assert sut.upstream_role(conninfo) == expected


class Server(sut.Server):
    """A standby whose walreceiver connects anew."""

    def __init__(self, answers):
        super().__init__({})
        self.answers = answers

    def ask(self, _statement, _values=()):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([[], [("streaming", "user=old")], [("streaming", "user=new")]], ""),
        ([[("waiting", "user=new")]], "the walreceiver is waiting as new, not streaming as new"),
        ([[]], "the walreceiver does not run, not streaming as new"),
    ],
)
def test_a_standby_is_waited_for(answers, why):
    assert Server(answers).wait_for_upstream("new", 0 if why else 5).startswith(why)
