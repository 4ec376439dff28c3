# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections import Counter
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.generate import objection
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.kinds import KINDS
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.ladder import as_data, rungs

from tests.unit.plugins.plugin_utils.explore.roles import APART, LAB

LENGTHS = (0.5, 1.0, 5.0)


def test_every_lap_has_each_rung_once() -> None:
    found = rungs(LENGTHS, 4, 1, KINDS, LAB)
    assert len(found) == 9 * 3 * 4
    assert set(Counter(found[:27]).values()) == {1}
    assert set(Counter(found).values()) == {4}
    assert found[:27] != found[27:54]
    assert found == rungs(LENGTHS, 4, 1, KINDS, LAB)
    assert all(not objection(rung.schedule, LAB) for rung in found)


def test_what_hosts_do_not_permit_is_left_out() -> None:
    kinds = [name for name in KINDS if not name.startswith("stall")]
    assert {rung.kind for rung in rungs(LENGTHS, 1, 1, kinds, LAB)} == {"pause", "pause_etcd", "blip", "blip_etcd"}
    apart = {(rung.kind, rung.target) for rung in rungs(LENGTHS, 1, 1, KINDS, APART)}
    assert ("pause_etcd", "primary") not in apart


def trial(kind: str, target: str, seconds: float, failover: bool, outcome: str = "passed") -> dict[str, Any]:
    step = {"kind": kind, "target": target, "at": 0.0, "seconds": seconds}
    return {"outcome": outcome, "steps": [step], "failover": failover, "outage": seconds, "lost": 0}


def test_the_share_of_failovers_by_rung() -> None:
    made = as_data(
        [
            trial("blip", "standby-1", 5.0, False),
            trial("pause", "primary", 5.0, True),
            trial("pause", "primary", 5.0, False),
            trial("pause", "primary", 0.5, False),
            {**trial("pause", "primary", 0.5, True), "outcome": "unproven"},
        ],
        profile="fast",
    )
    assert made["profile"] == "fast"
    assert [(one["harm"], one["place"], one["seconds"], one["failovers"], one["trials"]) for one in made["rungs"]] == [
        ("processes frozen", "the primary", 0.5, 0, 1),
        ("processes frozen", "the primary", 5.0, 1, 2),
        ("links cut", "a standby", 5.0, 0, 1),
    ]
