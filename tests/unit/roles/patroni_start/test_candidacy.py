# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The winner of the leader key looks again whether it may be promoted, and every wait with the key ends."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from patroni_start.candidacy import Candidacy, Election, is_synchronous


@pytest.mark.parametrize(
    ("leader", "standbys", "expected"),
    [
        ("db1", "db2", True),
        ("db1", "DB2", True),
        ("db1", "db3, db2", True),
        ("db2", None, True),
        ("DB2", "", True),
        ("db1", "db3", False),
        ("db1", "", False),
        ("db1", None, False),
        (None, None, True),
        ("", "", True),
    ],
)
def test_who_is_in_sync_has_every_commit(leader, standbys, expected):
    assert is_synchronous("db2", leader, standbys) is expected


class Ha:
    """Patroni's Ha on db2 before 4.0; sync: what it reads of /sync with the key in hand."""

    def __init__(self, sync=("db1", "db3")):
        self.sync = sync
        self.state_handler = SimpleNamespace(
            name="db2", role="replica", is_running=lambda: True, is_leader=lambda: False
        )
        self.cluster = SimpleNamespace(failover=None, sync=None)
        self.standby_cluster = False
        self.done = []
        self.is_synchronous_mode = lambda: True
        self.is_paused = lambda: False
        self.is_standby_cluster = lambda: self.standby_cluster
        self.election = Election()

    def process(self):
        """Look before the race, take the key, read the cluster again, and promote."""
        self.done.append("took the key")
        self.cluster = SimpleNamespace(failover=None, sync=None)
        return self.enforce()

    def enforce(self):
        leader, standbys = self.sync
        self.cluster.sync = SimpleNamespace(leader=leader, sync_standby=standbys)
        promote = self.election.enforcing(lambda ha, *messages: ha.done.append("promoted") or messages)
        return promote(self, "leader", "promoted")

    def race(self):
        self.election.joining(Ha.process)(self)
        return self.done[1:]

    def release_leader_key_voluntarily(self):
        self.done.append("released")


def named(ha):
    ha.cluster.failover = SimpleNamespace(leader=None, candidate="db2")


def named_another(ha):
    ha.cluster.failover = SimpleNamespace(leader=None, candidate="db3")


def paused(ha):
    ha.is_paused = lambda: True


def asynchronous(ha):
    ha.is_synchronous_mode = lambda: False


def primary(ha):
    ha.state_handler.is_leader = lambda: True


def being_promoted(ha):
    ha.state_handler.role = "promoted"


def of_a_new_cluster(ha):
    ha.sync = (None, None)


def standby_leader(ha):
    ha.state_handler.role = "standby_leader"


@pytest.mark.parametrize(
    ("change", "done"),
    [
        (lambda _ha: None, "released"),
        (named_another, "released"),
        (standby_leader, "released"),
        (named, "promoted"),
        (paused, "promoted"),
        (asynchronous, "promoted"),
        (primary, "promoted"),
        (being_promoted, "promoted"),
        (of_a_new_cluster, "promoted"),
    ],
)
def test_who_is_not_synchronous_any_more_gives_the_key_back(change, done):
    ha = Ha()
    change(ha)
    assert ha.race() == [done]


def test_who_still_is_synchronous_is_promoted():
    assert Ha(("db1", "db2")).race() == ["promoted"]


def test_a_standby_leader_becomes_a_primary_whatever_sync_says():
    """The cluster is one of its own from now on; it did not race for it, and members in /sync may be gone for good."""
    ha = Ha()
    ha.state_handler.role, ha.standby_cluster = "standby_leader", True
    ha.election.joining(lambda _ha: None)(ha)
    ha.standby_cluster = False
    ha.enforce()
    assert ha.done == ["promoted"]


def test_a_former_standby_leader_that_races_is_no_exception():
    ha, candidacy = Ha(), Candidacy()
    ha.state_handler.role = "standby_leader"
    assert candidacy.is_exempt(ha)
    candidacy.begin(ha)
    assert not candidacy.is_exempt(ha)
