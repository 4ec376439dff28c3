# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each anomaly, planted into a small history, is found by its name, and nothing else is."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.check import check
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import Kind, Name, Transaction
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.words import explained

from tests.unit.plugins.plugin_utils.consistency.histories import failed, final, found, one, standby, unknown

A, B = ("a", 0.0, 2.0), ("b", 0.1, 2.0)
"""Two clients at the same time."""

PLANTED: dict[str, tuple[dict[str, int], tuple[Transaction, ...]]] = {
    "an acknowledged append is gone": (
        {"lost_append": 1},
        (one(*A, "x+1"), one(*B, "x+2"), final("x:2")),
    ),
    "a lost append whose list is empty": ({"lost_append": 1}, (one(*A, "x+1"), final("y:"))),
    "a failover loses a read append": (
        {"lost_append": 1, "G1a": 1},
        (one("a", 0, 1, "x+1"), one("b", 2, 3, "x:1"), one("b", 9, 10, "x+2"), final("x:2")),
    ),
    "half of a transaction": ({"partial": 1}, (unknown(*A, "x+1 y+2"), final("x:1 y:"))),
    "half of a failed transaction": ({"partial": 1, "G1a": 1}, (failed(*A, "x+1 y+2"), final("x:1 y:"))),
    "appends in opposite orders": (
        {"G0": 1},
        (one(*A, "x+1 y+3"), one(*B, "x+2 y+4"), final("x:1,2 y:4,3")),
    ),
    "a read of a failed append": (
        {"G1a": 1},
        (failed(*A, "x+1"), one(*B, "x:1"), final("x:")),
    ),
    "a failed append in the end": ({"G1a": 1}, (failed(*A, "x+1"), final("x:1"))),
    "a failed append, without an end": ({"G1a": 1}, (failed(*A, "x+1"), one(*B, "x:1"))),
    "a read of an unknown append that is lost": (
        {"G1a": 1},
        (unknown(*A, "x+1"), one(*B, "x:1"), final("x:")),
    ),
    "a read in the middle of a transaction": (
        {"G1b": 1},
        (one(*A, "x+1 x+2"), one(*B, "x:1"), final("x:1,2")),
    ),
    "each reads the other's append": (
        {"G1c": 1},
        (one(*A, "x+1 y:2"), one(*B, "y+2 x:1"), final("x:1 y:2")),
    ),
    "two appends to the version that both read": (
        {"lost_update": 1},
        (one(*A, "x: x+1"), one(*B, "x: x+2"), final("x:1,2")),
    ),
    "an update that overwrites another": (
        {"lost_update": 1, "lost_append": 1},
        (one(*A, "x: x+1"), one(*B, "x: x+2"), final("x:2")),
    ),
    "half of the snapshot is old": (
        {"G-single": 1},
        (one(*A, "x+1 y+2"), one(*B, "x:1 y:"), final("x:1 y:2")),
    ),
    "two readers, two orders": (
        {"long_fork": 1},
        (
            one(*A, "x+1"),
            one(*B, "y+2"),
            one("c", 0.2, 2.0, "x:1 y:"),
            one("d", 0.3, 2.0, "x: y:2"),
            final("x:1 y:2"),
        ),
    ),
    "write skew": (
        {"G2-item": 1},
        (one(*A, "x: y+2"), one(*B, "y: x+1"), final("x:1 y:2")),
    ),
    "write skew with one that was applied without an answer": (
        {"G2-item": 1},
        (unknown(*A, "x: y+2"), one(*B, "y: x+1"), final("x:1 y:2")),
    ),
    "a read without an acknowledged append": (
        {"stale_read": 1},
        (one("a", 0, 1, "x+1"), one("b", 2, 3, "x:"), final("x:1")),
    ),
    "a read without what another read had": (
        {"stale_read": 1},
        (unknown("a", 0, 9, "x+1"), one("b", 0, 1, "x:1"), one("c", 2, 3, "x:"), final("x:1")),
    ),
    "a read without an acknowledged append, and without an end": (
        {"stale_read": 1},
        (one("a", 0, 1, "x+1"), one("b", 2, 3, "x:"), one("c", 4, 5, "x:1")),
    ),
    "a later append stands first": (
        {"real_time": 1},
        (one("a", 0, 1, "x+1"), one("b", 2, 3, "x+2"), final("x:2,1")),
    ),
    "a read of the future": (
        {"real_time": 1},
        (one("a", 0, 1, "x:1"), one("b", 2, 3, "x+1"), final("x:1")),
    ),
    "a client's earlier transaction comes later": (
        {"real_time": 1},
        (one("a", 0, 1, "x:1"), one("a", 1, 2, "x+1"), final("x:1")),
    ),
    "its own append is missing": ({"internal": 1}, (one(*A, "x+1 x:"), final("x:1"))),
    "a second read that differs": (
        {"internal": 1},
        (one(*A, "x+1"), one(*B, "x: x:1"), final("x:1")),
    ),
    "two orders of a list": (
        {"incompatible_order": 1},
        (one(*A, "x+1"), one(*B, "x+2"), one("c", 0.2, 2.0, "x:2"), final("x:1,2")),
    ),
    "a value twice": ({"duplicate": 1}, (one(*A, "x+1"), final("x:1,1"))),
    "a value from nowhere": ({"garbage": 1}, (one(*A, "x+1"), final("x:1,7"))),
    # On standbys
    "a standby behind": (
        {"standby stale_read": 1},
        (one("a", 0, 1, "x+1"), standby("s", 2, 3, "x:"), final("x:1")),
    ),
    "a standby behind another": (
        {"standby stale_read": 1},
        (unknown("a", 0, 9, "x+1"), standby("s", 1, 2, "x:1"), standby("t", 3, 4, "x:"), final("x:1")),
    ),
    "the standby shows another order than the primary": (
        {"standby long_fork": 1},
        (
            one(*A, "x+1"),
            one(*B, "y+2"),
            one("c", 0.2, 2.0, "x:1 y:"),
            standby("s", 0.3, 2.0, "x: y:2"),
            final("x:1 y:2"),
        ),
    ),
    "the standby shows what no serial order has": (
        {"standby G2-item": 1},
        (one(*A, "x: y+2"), one(*B, "x+1"), standby("s", 0.3, 2.0, "x:1 y:"), final("x:1 y:2")),
    ),
    "the standby had what was lost": (
        {"standby G1a": 1},
        (unknown(*A, "x+1"), standby("s", 0.3, 2.0, "x:1"), final("x:")),
    ),
    "half of a snapshot on a standby": (
        {"standby G-single": 1},
        (one(*A, "x+1 y+2"), standby("s", 0.3, 2.0, "x:1 y:"), final("x:1 y:2")),
    ),
}

RIGHT: dict[str, tuple[Transaction, ...]] = {
    "nothing": (),
    "an unknown append that came late": (
        unknown("a", 0, 1, "x+1"),
        one("b", 2, 3, "x:"),
        one("b", 4, 5, "x:1"),
        final("x:1"),
    ),
    "an unknown append that never came": (unknown("a", 0, 1, "x+1 y+2"), one("b", 2, 3, "x:"), final("x: y:")),
    "a failed transaction may have read anything": (failed("a", 0, 1, "x:9 x+1"), final("x:")),
    "reads of its own appends": (one("a", 0, 1, "x+1 x:1 x+2 x:1,2"), final("x:1,2")),
    "transactions at the same time, in either order": (
        one(*A, "x+1 y:"),
        one(*B, "x:1 y+2"),
        final("x:1 y:2"),
    ),
    "a read that ends when the append begins": (one("a", 0, 1, "x:"), one("b", 1, 2, "x+1"), final("x:1")),
    "an append that ends when the read begins": (one("a", 0, 1, "x+1"), one("b", 1, 2, "x:"), final("x:1")),
    "a standby ahead of the primary": (
        one("a", 0, 9, "x+1"),
        standby("s", 1, 2, "x:1"),
        one("b", 3, 4, "x:"),
        final("x:1"),
    ),
    "a standby ahead of all reads of the primary, without an end": (
        unknown("a", 0, 1, "x+1"),
        one("b", 2, 3, "x:"),
        standby("s", 4, 5, "x:1"),
    ),
    "a read without an answer": (unknown("a", 0, 1, "x+1 y?"), final("x:1")),
}


@pytest.mark.parametrize(("expected", "transactions"), PLANTED.values(), ids=PLANTED)
def test_a_planted_anomaly_is_found(expected: dict[str, int], transactions: tuple[Transaction, ...]) -> None:
    assert found(*transactions) == expected


@pytest.mark.parametrize("transactions", RIGHT.values(), ids=RIGHT)
def test_a_right_history_has_none(transactions: tuple[Transaction, ...]) -> None:
    assert found(*transactions) == {}


def test_every_name_is_planted() -> None:
    planted = {name.removeprefix("standby ") for expected, _transactions in PLANTED.values() for name in expected}
    assert planted == {*Name}


@pytest.mark.parametrize("transactions", [case[1] for case in PLANTED.values()], ids=PLANTED)
def test_a_cycle_is_closed_and_explained(transactions: tuple[Transaction, ...]) -> None:
    for anomaly in check(transactions):
        edges = anomaly.edges
        assert [edge.target for edge in edges] == [edge.source for edge in (*edges[1:], *edges[:1])]
        lines = explained(anomaly)
        assert lines[0].startswith(f"{anomaly.name}: ")
        assert len(lines) == 1 + len({id(own) for own in (anomaly.seen, *anomaly.others)}) + len(edges)


def test_the_sentences_of_an_anomaly() -> None:
    (anomaly,) = check([one("a", 10, 11, "x+1"), one("b", 12, 13, "x:"), final("x:1")])
    assert explained(anomaly, origin=10.0) == [
        "stale_read: a read lacks a value that was visible before it began; key 24, [1]; visible 1.000 s before",
        "T1 = b/120 through pool primary on db1, 2.000 to 3.000 s, acknowledged: read 24: []",
        "T2 = a/100 through pool primary on db1, 0.000 to 1.000 s, acknowledged: append 1 to 24",
        "T1 → T2 (rw): T1 read 24 without 1, which T2 appended",
        "T2 → T1 (real time): T2 was acknowledged 1.000 s before T1 began",
    ]


def test_the_shortest_cycle_is_told() -> None:
    skew = (one(*A, "x: y+2"), one(*B, "y: x+1"))
    longer = (one("c", 0.2, 2.0, "x:1 z:"), one("d", 0.3, 2.0, "z+5 y:"))
    (anomaly,) = check([*longer, *skew, final("x:1 y:2 z:5")])
    assert [edge.kind for edge in anomaly.edges] == [Kind.RW, Kind.RW]
