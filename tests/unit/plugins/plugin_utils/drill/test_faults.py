# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import get_args

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE, HOW, Action, Until
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.budgets import RULES

WANTED = [
    "primary_power_loss",
    "primary_etcd_leader_power_loss",
    "primary_hang",
    "patroni_hang",
    "primary_isolated",
    "primary_cut_from_peers",
    "primary_cut_from_etcd",
    "primary_cut_from_standbys",
    "primary_cut_one_way",
    "postmaster_killed",
    "patroni_killed",
    "backend_segfault",
    "data_disk_full",
    "wal_disk_full",
    "switchover",
    "standby_lost",
    "both_standbys_lost",
    "etcd_leader_lost",
    "etcd_quorum_lost",
    "balancer_power_loss",
    "haproxy_killed",
    "keepalived_killed",
    "balancer_isolated",
    "backup_host_lost",
    "whole_cluster_power_loss",
    "rolling_reboot",
]


def test_the_catalogue_is_complete() -> None:
    assert list(CATALOGUE) == WANTED


def test_every_fault_has_a_budget() -> None:
    assert set(CATALOGUE) == set(RULES)


@pytest.mark.parametrize("fault", CATALOGUE.values(), ids=CATALOGUE)
def test_every_fault_says_what_it_does(fault) -> None:
    assert fault.title
    assert fault.on_hosts
    assert 0 <= fault.lasting.least <= fault.lasting.most <= 90
    assert fault.lasting.least == fault.lasting.most or fault.lasting.until is not Until.TIME


def test_every_action_says_how_it_is_done() -> None:
    assert set(HOW) == set(get_args(Action))
