# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A returning leader does not overwrite its successor's leader key."""

from __future__ import annotations

import pytest
from patroni_start.leader_key import respecting_successor


class Store:
    """Patroni's Etcd3Client as far as it matters here, with the value of the leader key."""

    def __init__(self, leader):
        self.leader = leader
        self.written = []

    def put(self, key, value, lease=None, *, create_revision=None, retry=None):
        if create_revision == 0 and self.leader is not None:
            return False
        self.written.append((key, value, lease))
        return True

    def txn(self, compare, success, retry=None):
        fields = success["request_put"]
        if (compare["target"], compare["value"]) != ("VALUE", self.leader):
            return False
        self.written.append((fields["key"], fields["value"], fields["lease"]))
        return True


LEADER = "/service/main/leader"


def update_leader_of_3_0_2(store):
    store.put(LEADER, "db1", "lease", retry=None)
    return True


@pytest.mark.parametrize(("leader", "leads"), [("db1", True), (None, True), ("db2", False)])
def test_a_leader_that_comes_back_leaves_the_key_to_its_successor(monkeypatch, leader, leads):
    store = Store(leader)
    put, update_leader = respecting_successor(Store.put, update_leader_of_3_0_2, str)
    monkeypatch.setattr(Store, "put", put)
    assert update_leader(store) is leads
    assert store.written == ([(LEADER, "db1", "lease")] if leads else [])


def test_a_refusal_is_that_of_one_renewal(monkeypatch):
    store = Store("db2")
    put, update_leader = respecting_successor(Store.put, update_leader_of_3_0_2, str)
    monkeypatch.setattr(Store, "put", put)
    assert not update_leader(store)
    store.leader = "db1"
    assert update_leader(store)


@pytest.mark.parametrize(
    ("key", "lease", "compared"),
    [("/service/main/members/db1", "lease", {}), (LEADER, "lease", {"create_revision": 0}), (LEADER, None, {})],
)
def test_other_keys_and_comparisons_stay_as_they_are(monkeypatch, key, lease, compared):
    store = Store(None)
    put, _update_leader = respecting_successor(Store.put, update_leader_of_3_0_2, str)
    assert put(store, key, "db1", lease, **compared)
    assert store.written == [(key, "db1", lease)]
