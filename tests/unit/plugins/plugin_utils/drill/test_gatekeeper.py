# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate, asked of a cluster that answers from a script."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import GateError

from tests.unit.plugins.plugin_utils.drill.scripted import Parts


def test_an_archive_that_was_tried_is_not_tried_again(cluster) -> None:
    made = Parts(cluster).gatekeeper
    made.wait("after")
    asked = cluster.asked
    _seen, well = made.wait("before")

    assert (cluster.switched, cluster.asked) == (1, asked + 1)
    assert "archive" in well


def test_the_hosts_are_asked_again_every_time(cluster) -> None:
    made = Parts(cluster).gatekeeper
    made.wait("after")
    cluster.broken = {"db2_etcd": {"healthy": False}}
    with pytest.raises(GateError, match="etcd on db2 is not healthy"):
        made.wait("before")


def test_a_closed_gate_tells_what_the_member_s_log_says(cluster) -> None:
    cluster.broken = {"db1_postgresql": {"standbys": [["db3", "streaming", "quorum"]]}}
    cluster.journal = 'FATAL:  password authentication failed for user "replicator"\nLOG:  waiting for WAL'
    with pytest.raises(
        GateError, match=r"db2 does not stream; .*db2's log says: FATAL:  password authentication failed"
    ):
        Parts(cluster).gatekeeper.wait("before")


def test_another_timeline_is_archived_anew(cluster) -> None:
    made = Parts(cluster).gatekeeper
    made.wait("after")
    cluster.broken = {f"db{number}_postgresql": {"timeline": 5} for number in (1, 2, 3)}
    with pytest.raises(GateError, match="is not archived yet"):
        made.wait("before")
