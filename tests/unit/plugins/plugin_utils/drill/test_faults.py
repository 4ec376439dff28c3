# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill import faults
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE, Takes, Until
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.action import Action
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.kinds import KINDS as EXPLORED
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import Step

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


@pytest.mark.parametrize("fault", CATALOGUE.values(), ids=CATALOGUE)
def test_every_fault_says_what_it_does(fault) -> None:
    assert fault.title
    assert 0 <= fault.lasting.least <= fault.lasting.most <= 90
    assert fault.lasting.least == fault.lasting.most or fault.lasting.until is not Until.TIME


def explored() -> set[type[Action]]:
    """Return the kinds of actions that explorations use."""
    return {type(kind.action(Step(kind.name, "primary", seconds=1.0))) for kind in EXPLORED.values()}


def below(kind: type[Action]) -> Iterator[type[Action]]:
    """Yield the kinds of actions that can be carried out."""
    for one in kind.__subclasses__():
        yield from below(one)
        if not one.__abstractmethods__:
            yield one


KINDS = {kind.__name__: kind for kind in below(Action)}  # slots make a class twice, the later one counts


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_action_says_how_it_is_done(kind) -> None:
    assert kind.on_hosts
    assert kind.in_containers
    used = {type(fault.action) for fault in CATALOGUE.values()} | explored()
    assert kind in used


@pytest.mark.parametrize("takes", Takes)
def test_what_takes_the_primary_or_a_balancer_is_known(takes) -> None:
    assert {fault.target for fault in CATALOGUE.values() if fault.takes is takes}


def test_whoever_reads_of_faults_needs_no_sessions() -> None:
    program = (
        "import sys\n"
        "from ansible_collections.holdfast.ha.plugins.plugin_utils.drill import faults\n"
        "sys.exit('paramiko' in sys.modules)\n"
    )
    found = next(path.parent for path in Path(faults.__file__).parents if path.name == "ansible_collections")
    assert subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": str(found)}, check=False).returncode == 0
