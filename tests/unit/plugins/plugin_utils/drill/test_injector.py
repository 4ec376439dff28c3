# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import Isolate, Scope
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.injector import cut_of
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
