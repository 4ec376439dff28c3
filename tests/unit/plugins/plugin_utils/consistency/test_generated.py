# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random histories of a correct store have no anomaly; those of a store with a fault have its anomaly."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.check import check
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.history import appended, looks
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import Fate, Look, Name, Route

from tests.unit.plugins.plugin_utils.consistency import store
from tests.unit.plugins.plugin_utils.consistency.histories import names, primary

SEEDS = range(20)

FAULTS: dict[type[store.Store], Name] = {
    store.Forgetful: Name.LOST_APPEND,
    store.Torn: Name.PARTIAL,
    store.Repeating: Name.DUPLICATE,
    store.Inventive: Name.GARBAGE,
    store.Dirty: Name.G1A,
    store.Stale: Name.STALE_READ,
    store.Fractured: Name.G_SINGLE,
    store.Snapshots: Name.G2_ITEM,
    store.Careless: Name.LOST_UPDATE,
    store.Failover: Name.LOST_APPEND,
}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_correct_store_has_no_anomaly(seed: int) -> None:
    recorded = store.history(seed)
    assert {found.fate for found in recorded} == {*Fate}
    expected = {"standby stale_read"}  # its standbys may be behind, and nothing else
    assert {*names(check(recorded))} <= expected
    assert {*names(check(recorded[:-1]))} <= expected


def test_its_standbys_are_behind() -> None:
    assert all(any(found.on_standby for found in check(store.history(seed))) for seed in SEEDS)


@pytest.mark.parametrize(("faulty", "name"), FAULTS.items(), ids=[faulty.__name__ for faulty in FAULTS])
def test_the_fault_of_a_store_is_found(faulty: type[store.Store], name: Name) -> None:
    assert all(name in primary(store.history(seed, faulty)) for seed in SEEDS[:5])


def test_snapshot_isolation_has_write_skew_only() -> None:
    """In a cycle with two rw arcs in a row, an order in time may stand for what was read."""
    for seed in SEEDS:
        assert primary(store.history(seed, store.Snapshots)) <= {Name.G2_ITEM, Name.REAL_TIME}


def test_a_forked_standby_spoils_nothing_on_the_primary() -> None:
    counts = [names(check(store.history(seed, store.Forked))) for seed in SEEDS]
    shown = {name for found in counts for name in found}
    assert shown == {"standby stale_read", "standby long_fork"}


@pytest.mark.parametrize("seed", SEEDS)
def test_one_dropped_acknowledged_append_is_found(seed: int) -> None:
    recorded = store.history(seed)
    *clients, end = recorded
    acknowledged = {found for own in clients if own.fate is Fate.OK for found in appended(own)}
    lists = {found.key: found.values or () for found in looks(end)}
    dropped = next((key, value) for key, values in lists.items() for value in values if (key, value) in acknowledged)
    shorter = tuple(
        Look(key, tuple(value for value in values if (key, value) != dropped)) for key, values in lists.items()
    )
    lost = [found for found in check([*clients, replace(end, operations=shorter)]) if found.name is Name.LOST_APPEND]
    assert [(found.key, *found.values) for found in lost] == [dropped]


def test_the_routes_of_a_history() -> None:
    assert {own.route for own in store.history(1)} == {Route.PRIMARY, Route.STANDBY, Route.FINAL}
