# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.events import derive
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import BalancerSample, MemberSample

MEMBERS = [
    *(MemberSample(at, "db1", False, True, True, 4) for at in (1.0, 2.0)),
    *(MemberSample(at, "db1", True, False, False, 5) for at in (20.0, 21.0)),
    *(MemberSample(at, "db2", True, False, False, 4) for at in (1.0, 2.0, 5.0)),
    *(MemberSample(at, "db2", False, True, True, 5) for at in (6.0, 21.0)),
]
BALANCERS = [
    BalancerSample(1.0, "lb1", ("192.0.2.100",), {"primary": ("db1",)}),
    BalancerSample(3.0, "lb1", ("192.0.2.100",), {"primary": ()}),
    BalancerSample(6.5, "lb1", (), {"primary": ("db2",)}),
    BalancerSample(1.0, "lb2", (), {"primary": ("db1",)}),
    BalancerSample(4.0, "lb2", ("192.0.2.100",), None),
    BalancerSample(7.0, "lb2", ("192.0.2.100",), {"primary": ("db2",)}),
]


def test_a_failover_is_told() -> None:
    found = derive(MEMBERS, BALANCERS, injected=2.5, healed=10.0, primary="db1", write_pool="primary")
    assert [(event.at, event.kind, event.subject) for event in found] == [
        (3.0, "detected", "lb1"),
        (4.0, "vip moved", "lb2"),
        (6.0, "promoted", "db2"),
        (6.5, "pool switched", "lb1"),
        (7.0, "pool switched", "lb2"),
        (20.0, "rejoined", "db1"),
    ]


def test_nothing_happens_to_a_quiet_cluster() -> None:
    quiet = [sample for sample in MEMBERS if sample.at <= 2.0]
    still = [sample for sample in BALANCERS if sample.at <= 1.0]
    assert derive(quiet, still, injected=0.5, healed=1.0, primary="db1", write_pool="primary") == []
