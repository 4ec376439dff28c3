# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import doubts, view

from tests.unit.plugins.plugin_utils.drill.cluster import EXPECTED, probes

CLOSED = {
    "etcd sick": ({"db2_etcd": {"healthy": False}}, "etcd on db2 is not healthy"),
    "etcd silent": ({"db2_etcd": None}, "etcd on db2: no answer"),
    "etcd failed": ({"db2_etcd": {"error": "refused"}}, "etcd on db2: refused"),
    "etcd at odds": ({"db1_etcd": {"leader": "1"}, "db3_etcd": {"leader": "3"}}, "do not agree on a leader"),
    "patroni silent": ({"db3_patroni": None}, "patroni on db3: no answer"),
    "two primaries": ({"db2_patroni": {"primary": True}}, "answered with 200 by db1 and db2, the leader is db1"),
    "no primary": ({"db1_patroni": {"primary": False}}, "answered with 200 by no member"),
    "paused": ({"db1_patroni": {"paused": True}}, "Patroni is paused"),
    "standby gone": ({"db1_postgresql": {"standbys": [["db3", "streaming", "quorum"]]}}, "db2 does not stream"),
    "catching up": (
        {"db1_postgresql": {"standbys": [["db2", "catchup", "async"], ["db3", "streaming", "quorum"]]}},
        "db2 does not stream",
    ),
    "old timeline": ({"db2_postgresql": {"timeline": 3}}, "db2 is on timeline 3, the leader on 4"),
    "outside the quorum": (
        {"db1_postgresql": {"standbys": [["db2", "streaming", "async"], ["db3", "streaming", "quorum"]]}},
        "db2 not in the quorum yet",
    ),
    "VIP nowhere": ({"lb1_balancer": {"holds": []}}, "192.0.2.100 is on no balancer"),
    "VIP twice": ({"lb2_balancer": {"holds": ["192.0.2.100"]}}, "192.0.2.100 is on lb1 and lb2"),
    "HAProxy dead": ({"lb2_balancer": {"up": None}}, "HAProxy on lb2 does not answer"),
    "wrong server": (
        {"lb2_balancer": {"up": {"primary": ["db1", "db2"], "standby": ["db2", "db3"]}}},
        "pool primary on lb2 has db1, db2 up, expected db1",
    ),
    "server missing": (
        {"lb1_balancer": {"up": {"primary": ["db1"], "standby": ["db2"]}}},
        "pool standby on lb1 has db2 up, expected db2, db3",
    ),
}


@pytest.mark.parametrize("leader", ["db1", "db2", "db3"])
def test_a_healthy_cluster_opens_the_gate(leader) -> None:
    assert doubts(EXPECTED, probes(leader=leader)) == []


@pytest.mark.parametrize(("changes", "message"), CLOSED.values(), ids=CLOSED)
def test_the_gate_stays_closed(changes, message) -> None:
    assert message in "; ".join(doubts(EXPECTED, probes(**changes)))


def test_patroni_keeps_a_member_that_never_leads_out_of_the_quorum() -> None:
    seen = probes(db1_postgresql={"standbys": [["db2", "streaming", "async"], ["db3", "streaming", "quorum"]]})
    expected = replace(EXPECTED, never_primary=("db2",))
    assert doubts(expected, seen) == []
    gone = probes(db1_postgresql={"standbys": [["db3", "streaming", "quorum"]]})
    assert "db2 does not stream" in doubts(expected, gone)


def test_a_silent_host_closes_the_gate() -> None:
    seen = {host: parts for host, parts in probes().items() if host != "lb1"}
    assert doubts(EXPECTED, seen) == ["192.0.2.100 is on no balancer", "HAProxy on lb1 does not answer"]


def test_who_is_what() -> None:
    seen = view(EXPECTED, probes(leader="db3", etcd_leader="2"))
    assert (seen.leader, seen.etcd_leader, seen.vip_holder, seen.timeline) == ("db3", "db2", "lb1", 4)
    assert seen.synchronous == ("db1", "db2")


def test_one_stale_view_does_not_decide() -> None:
    stale = [["db2", "leader", "running", 3], ["db1", "replica", "running", 3]]
    assert view(EXPECTED, probes(leader="db1", db3_patroni={"members": stale})).leader == "db1"


def test_without_a_majority_nobody_leads() -> None:
    seen = view(EXPECTED, probes(leader="db1", db2_patroni=None, db3_patroni=None, db2_etcd=None, db3_etcd=None))
    assert (seen.leader, seen.etcd_leader) == ("", "")
