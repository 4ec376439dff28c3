# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import Target
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import view
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.targets import choose, etcd_leader_wanted

from tests.unit.plugins.plugin_utils.drill.cluster import DATABASES, EXPECTED, HOSTS, probes

VIEW = view(EXPECTED, probes(leader="db1", etcd_leader="2"))
ALONE = view(EXPECTED, probes(leader="db1", etcd_leader="1"))
CHOICES = {
    Target.PRIMARY: ("db1",),
    Target.PRIMARY_LEADING_ETCD: ("db1",),
    Target.ALL_STANDBYS: ("db2", "db3"),
    Target.ETCD_LEADER: ("db2",),
    Target.ETCD_MAJORITY: ("db2", "db3"),
    Target.VIP_HOLDER: ("lb1",),
    Target.BACKUP_HOST: ("backup1",),
    Target.CLUSTER: tuple(HOSTS),
    Target.ONE_BY_ONE: ("db2", "db3", "lb1", "lb2", "backup1", "db1"),
}


@pytest.mark.parametrize(("target", "hosts"), CHOICES.items(), ids=[target.name for target in CHOICES])
def test_whom_a_fault_hits(target, hosts) -> None:
    assert choose(target, EXPECTED, VIEW, tuple(HOSTS), 1) == hosts


def test_standbys_take_turns() -> None:
    hit = [choose(Target.STANDBY, EXPECTED, VIEW, tuple(HOSTS), number) for number in (1, 2, 3)]
    assert hit == [("db2",), ("db3",), ("db2",)]


@pytest.mark.parametrize(
    ("target", "seen", "wanted"),
    [
        (Target.PRIMARY, VIEW, ""),
        (Target.PRIMARY, ALONE, "db2"),
        (Target.ETCD_LEADER, ALONE, "db2"),
        (Target.PRIMARY_LEADING_ETCD, VIEW, "db1"),
        (Target.PRIMARY_LEADING_ETCD, ALONE, ""),
        (Target.VIP_HOLDER, ALONE, ""),
    ],
)
def test_who_has_to_lead_etcd(target, seen, wanted) -> None:
    assert etcd_leader_wanted(target, EXPECTED, seen) == wanted


def test_every_target_can_be_chosen() -> None:
    for target in Target:
        assert choose(target, EXPECTED, VIEW, (*DATABASES, "lb1", "lb2", "backup1"), 1)
