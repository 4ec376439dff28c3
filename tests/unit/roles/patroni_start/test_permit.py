# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where etcd knows no cluster, a member begins one with a permit only; a member without data says that it has none."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from patroni_start.permit import (
    EMPTY,
    NEW_CLUSTER,
    NOT_NAMED,
    NOT_PERMITTED,
    PERMIT,
    Founding,
    reporting_emptiness,
)

CREATED = "trying to bootstrap a new cluster"
WENT_ON = "the cycle went on"
IDENTIFIER = "7000000000000000001"


def as_keys(keys, permit):
    """Return etcd's keys as Patroni reads them."""
    nodes = {name: {"value": "x"} for name in keys}
    return nodes if permit is None else {**nodes, PERMIT: {"value": permit}}


class Member:
    """Patroni's Ha, Etcd3 and Postgresql as far as they matter here, under the name db1."""

    name = "db1"
    bootstrapping = False

    def __init__(self, *, empty=True, running=False, primary=False, paused=False, starting=None):
        founding = Founding()
        self._read = founding.noting(lambda _etcd, nodes: SimpleNamespace(nodes=nodes))
        self._bootstrap = founding.limiting(lambda _ha: CREATED)
        self._handle = founding.holding(lambda _ha: starting)
        self._empty, self._running, self._primary, self._paused = empty, running, primary, paused

    def data_directory_empty(self):
        if isinstance(self._empty, Exception):
            raise self._empty
        return self._empty

    def is_running(self):
        return self._running

    def is_primary(self):
        return self._primary

    def cycle(self, *keys, permit=None, initialize=None):
        """Read the keys, then go on until Patroni looks after PostgreSQL."""
        nodes = as_keys(keys, permit)
        assert self._read(None, nodes).nodes == nodes
        cluster = SimpleNamespace(is_unlocked=lambda: "leader" not in keys, initialize=initialize)
        ha = SimpleNamespace(cluster=cluster, state_handler=self, is_paused=lambda: self._paused)
        message = self._handle(ha)
        if message is not None:
            return message
        return self._bootstrap(ha) if self._empty is True else WENT_ON


class MemberOfPatroni3(Member):
    """Who asks by another name whether a PostgreSQL is a primary."""

    is_primary = None

    def is_leader(self):
        return self._primary


def test_a_new_cluster_wants_a_permit():
    member = Member()
    assert member.cycle() == NOT_PERMITTED
    assert member.cycle("members/db1", "config") == NOT_PERMITTED
    assert member.cycle("members/db1", permit="db1") == NOT_PERMITTED
    assert member.cycle("members/db1", permit=NEW_CLUSTER) == CREATED


def test_a_permit_is_lost_with_etcd_s_data():
    member = Member()
    assert member.cycle(permit=NEW_CLUSTER) == CREATED
    assert member.cycle() == NOT_PERMITTED


def test_members_of_a_cluster_need_none():
    member = Member()
    assert member.cycle("initialize", "leader", initialize=IDENTIFIER) == CREATED
    assert member.cycle("leader") == CREATED
    assert member.cycle("initialize", initialize="") == CREATED


@pytest.mark.parametrize("member", [Member(empty=False), Member(empty=False, running=True)], ids=["down", "standby"])
@pytest.mark.parametrize("permit", [None, NEW_CLUSTER, "db2"], ids=["none", "of a new cluster", "another's"])
def test_a_member_with_data_waits_where_another_could_have_more(member, permit):
    assert member.cycle("members/db1", permit=permit) == NOT_NAMED


def test_a_member_that_is_named_goes_on_with_its_data():
    assert Member(empty=False).cycle(permit="db1") == WENT_ON


@pytest.mark.parametrize("keys", [("leader",), ("initialize", "leader"), ("initialize",)])
def test_a_member_of_a_known_cluster_goes_on(keys):
    initialize = IDENTIFIER if "initialize" in keys else None
    assert Member(empty=False).cycle(*keys, initialize=initialize) == WENT_ON


@pytest.mark.parametrize("kind", [Member, MemberOfPatroni3])
def test_a_running_primary_has_what_it_acknowledges(kind):
    assert kind(empty=False, running=True, primary=True).cycle() == WENT_ON
    assert kind(empty=False, running=False, primary=True).cycle() == NOT_NAMED
    assert kind(empty=False, running=True, primary=False).cycle() == NOT_NAMED


@pytest.mark.parametrize("member", [Member(empty=False, paused=True), Member(empty=PermissionError("no"))])
def test_an_operator_s_pause_and_an_unreadable_directory_are_patroni_s(member):
    assert member.cycle() == WENT_ON


def test_a_server_that_starts_is_patroni_s():
    assert Member(empty=False, starting="PostgreSQL is still starting up").cycle() == "PostgreSQL is still starting up"


def test_who_creates_the_cluster_is_not_held():
    member = Member(empty=False, running=True)
    member.bootstrapping = True
    assert member.cycle() == WENT_ON


def directory(empty):
    def look():
        if isinstance(empty, Exception):
            raise empty
        return empty

    return look


@pytest.mark.parametrize(
    ("state", "role", "empty", "said"),
    [
        ("stopped", "uninitialized", True, True),
        ("stopped", "uninitialized", False, False),
        ("stopped", "uninitialized", PermissionError("no"), False),
        ("stopped", "replica", True, None),
        ("running", "uninitialized", True, None),
        ("initializing new cluster", "uninitialized", True, None),
    ],
)
def test_a_member_says_that_it_has_no_data(state, role, empty, said):
    status = reporting_emptiness(lambda _handler, retry=False: {"state": state, "role": role, "retry": retry})
    postgresql = SimpleNamespace(data_directory_empty=directory(empty))
    handler = SimpleNamespace(server=SimpleNamespace(patroni=SimpleNamespace(postgresql=postgresql)))
    answer = status(handler, True)
    assert answer.get(EMPTY) is said
    assert answer["retry"]


def test_the_run_writes_the_key_that_patroni_reads():
    """The one program is not installed where the other is."""
    patroni_etcd = pytest.importorskip("ansible_collections.holdfast.ha.plugins.module_utils.patroni_etcd")
    assert (patroni_etcd.PERMIT, patroni_etcd.NEW_CLUSTER) == (PERMIT, NEW_CLUSTER)
