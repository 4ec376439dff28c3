# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.injections import (
    as_text,
    injections,
    skipped,
    wanted_faults,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal

from tests.unit.plugins.plugin_utils.drill.cluster import HOSTS, plan


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("all", tuple(CATALOGUE)),
        (None, tuple(CATALOGUE)),
        ([], tuple(CATALOGUE)),
        ("switchover", ("switchover",)),
        ("switchover, primary_hang", ("switchover", "primary_hang")),
        (["primary_hang"], ("primary_hang",)),
    ],
)
def test_faults_are_named(given, wanted) -> None:
    assert wanted_faults(given) == wanted


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(Refusal, match="drill_faults: meteorite: no such fault; known are primary_power_loss, "):
        wanted_faults("switchover,meteorite")


def test_each_standby_gets_its_turn() -> None:
    made = list(injections(plan(faults=("standby_lost", "switchover"), repeat=2)))
    assert [(fault.name, number) for fault, number in made] == [
        *(("standby_lost", number) for number in (1, 2, 3, 4)),
        ("switchover", 1),
        ("switchover", 2),
    ]


def test_what_can_not_be_done_is_skipped_with_its_reason() -> None:
    small = plan(hosts={name: HOSTS[name] for name in ("db1", "db2", "lb1")})
    assert skipped(small, CATALOGUE["balancer_isolated"]) == "the cluster has one balancer"
    assert skipped(small, CATALOGUE["backup_host_lost"]) == "the cluster has no backup"


def test_the_text_names_every_fault_and_no_secret() -> None:
    text = as_text(plan(faults=tuple(CATALOGUE), provider="containers"))
    assert all(name in text for name in CATALOGUE)
    assert "192.0.2.100:5000" in text
    assert "secret" not in text
