# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ladder: one short harm at a time, of growing length, and whether it led to a failover. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.kinds import KINDS, Family, targets
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.majority import Shape
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.records import UNPROVEN
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import PRIMARY, Schedule, Step

FORMAT = "holdfast-ladder/1"
STANDBY = "standby-1"
HARMS = {Family.FREEZER: "processes frozen", Family.LINK: "links cut", Family.DISK: "disk stalled"}
PLACES = ("the primary", "the primary's etcd", "a standby")
CASES: Mapping[tuple[Family, str], tuple[str, str]] = {
    (Family.FREEZER, PLACES[0]): ("pause", PRIMARY),
    (Family.FREEZER, PLACES[1]): ("pause_etcd", PRIMARY),
    (Family.FREEZER, PLACES[2]): ("pause", STANDBY),
    (Family.LINK, PLACES[0]): ("blip", PRIMARY),
    (Family.LINK, PLACES[1]): ("blip_etcd", PRIMARY),
    (Family.LINK, PLACES[2]): ("blip", STANDBY),
    (Family.DISK, PLACES[0]): ("stall_wal", PRIMARY),
    (Family.DISK, PLACES[1]): ("stall_etcd", PRIMARY),
    (Family.DISK, PLACES[2]): ("stall_wal", STANDBY),
}
"""{(harm, place): (kind, target)}"""


@dataclass(frozen=True, slots=True)
class Rung:
    """One harm of one length."""

    kind: str
    target: str
    seconds: float

    @property
    def schedule(self) -> Schedule:
        """The rung as a schedule."""
        return Schedule((Step(self.kind, self.target, 0.0, self.seconds),))


def rungs(lengths: Sequence[float], repeat: int, seed: int, kinds: Iterable[str], shape: Shape) -> list[Rung]:
    """Return all rungs in the order of the trials: every one once in random order, then every one again.

    A run that ends early so has each rung about as often as the others.
    """
    known = set(kinds)
    usable = [(kind, at) for kind, at in CASES.values() if kind in known and at in targets(KINDS[kind], shape)]
    every = [Rung(kind, target, seconds) for kind, target in usable for seconds in lengths]
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    return [rung for _lap in range(repeat) for rung in chance.sample(every, len(every))]


def as_data(trials: Sequence[Mapping[str, Any]], **about: Any) -> dict[str, Any]:
    """Return the ladder as plain data: for each rung its trials, failovers, and the longest outage."""
    found: dict[Rung, list[Mapping[str, Any]]] = {}
    for trial in trials:
        (step,) = trial["steps"]
        if trial["outcome"] != UNPROVEN and "failover" in trial:
            found.setdefault(Rung(step["kind"], step["target"], step["seconds"]), []).append(trial)
    return {"format": FORMAT, **about, "rungs": [rung_data(rung, found[rung]) for rung in sorted(found, key=place)]}


def place(rung: Rung) -> tuple[int, float]:
    """Return the order of a rung."""
    return list(CASES.values()).index((rung.kind, rung.target)), rung.seconds


def rung_data(rung: Rung, trials: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one rung as plain data."""
    harm, at = next(case for case, value in CASES.items() if value == (rung.kind, rung.target))
    return {
        "harm": HARMS[harm],
        "place": at,
        "kind": rung.kind,
        "target": rung.target,
        "seconds": rung.seconds,
        "trials": len(trials),
        "failovers": sum(bool(trial["failover"]) for trial in trials),
        "longest_outage": max(trial["outage"] for trial in trials),
        "lost": sum(trial["lost"] for trial in trials),
    }
