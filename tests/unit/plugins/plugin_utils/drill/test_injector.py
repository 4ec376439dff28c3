# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from unittest.mock import Mock

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import Isolate, Scope
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.injector import Injector, cut_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.rules import Cut

from tests.unit.plugins.plugin_utils.drill.cluster import EXPECTED, plan

OTHERS = ("192.0.2.12", "192.0.2.13")
CASES = {
    "everybody": (Isolate(Scope.EVERYBODY), Cut()),
    "all but the balancers": (Isolate(Scope.PEERS), Cut((*OTHERS, "192.0.2.16"))),
    "is not heard": (Isolate(Scope.PEERS, one_way=True), Cut((*OTHERS, "192.0.2.16"), incoming=False)),
    "etcd": (Isolate(Scope.ETCD), Cut(OTHERS, (2379, 2380))),
    "replication": (Isolate(Scope.STANDBYS), Cut(OTHERS, (5432,))),
}


@pytest.mark.parametrize(("action", "cut"), CASES.values(), ids=CASES)
def test_whom_an_isolated_primary_loses(action, cut) -> None:
    assert cut_of(action, "db1", EXPECTED, plan()) == cut


def test_what_can_not_be_undone_is_tried_again() -> None:
    done: list[str] = []
    tried = iter([OSError("busy")])

    def stubborn() -> None:
        for error in tried:
            raise error
        done.append("power")

    injector = Injector(plan(), EXPECTED, Mock(), Mock())
    injector._undo = [("isolation", lambda: done.append("isolation")), ("power", stubborn)]

    assert injector.heal() == ["power: busy"]
    assert done == ["isolation"]
    assert injector.heal() == []
    assert done == ["isolation", "power"]
    assert injector.heal() == []
