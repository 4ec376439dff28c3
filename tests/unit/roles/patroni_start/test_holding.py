# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A primary leaves the synchronous standbys as they are when it reads that another member has the leader key."""

from __future__ import annotations

import pytest
from patroni_start.holding import holding_key


class Ha:
    """Patroni's Ha on db1; leader: who has the key as it was read together with /sync."""

    def __init__(self, leader):
        self.leader = leader
        self.done = []

    def has_lock(self, info=True):
        assert not info
        return self.leader == "db1"

    def process(self):
        self.done.append("changed /sync")


@pytest.mark.parametrize(("leader", "done"), [("db1", ["changed /sync"]), ("db2", []), (None, [])])
def test_sync_is_changed_with_the_key_only(leader, done):
    ha = Ha(leader)
    holding_key(Ha.process)(ha)
    assert ha.done == done
