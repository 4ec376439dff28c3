# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A member without data creates a cluster with a permit only, and says that it has none."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from patroni_start import EMPTY, NOT_PERMITTED, PERMIT, Founding, telling_of_emptiness

CREATED = "trying to bootstrap a new cluster"


class Member:
    """Patroni's Ha and Etcd3 as far as they matter here."""

    def __init__(self):
        founding = Founding()
        self._read = founding.noting(lambda _etcd, nodes: SimpleNamespace(nodes=nodes))
        self._bootstrap = founding.limiting(lambda _ha: CREATED)

    def cycle(self, *keys, initialize=None):
        """Read the keys, then go on without data."""
        assert self._read(None, dict.fromkeys(keys)).nodes == dict.fromkeys(keys)
        cluster = SimpleNamespace(is_unlocked=lambda: "leader" not in keys, initialize=initialize)
        return self._bootstrap(SimpleNamespace(cluster=cluster))


def test_a_new_cluster_wants_a_permit():
    member = Member()
    assert member.cycle() == NOT_PERMITTED
    assert member.cycle("members/db1", "config") == NOT_PERMITTED
    assert member.cycle("members/db1", PERMIT) == CREATED


def test_a_permit_is_lost_with_etcd_s_data():
    member = Member()
    assert member.cycle(PERMIT) == CREATED
    assert member.cycle() == NOT_PERMITTED


def test_members_of_a_cluster_need_none():
    member = Member()
    assert member.cycle("initialize", "leader", initialize="7000000000000000001") == CREATED
    assert member.cycle("leader") == CREATED
    assert member.cycle("initialize", initialize="") == CREATED


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
    status = telling_of_emptiness(lambda _handler, retry=False: {"state": state, "role": role, "retry": retry})
    postgresql = SimpleNamespace(data_directory_empty=directory(empty))
    handler = SimpleNamespace(server=SimpleNamespace(patroni=SimpleNamespace(postgresql=postgresql)))
    answer = status(handler, True)
    assert answer.get(EMPTY) is said
    assert answer["retry"]


def test_the_run_writes_the_key_that_patroni_reads():
    """The one program is not installed where the other is."""
    patroni_etcd = pytest.importorskip("ansible_collections.holdfast.ha.plugins.module_utils.patroni_etcd")
    assert patroni_etcd.PERMIT == PERMIT
