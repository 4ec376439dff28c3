# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schedule of a soak's disturbances: the same seed gives the same schedule."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

LAP_SECONDS = 120.0
BURN_SECONDS = 30.0
STALL_SECONDS = 40.0
LEAST_RESTARTS = 10
CALM_SECONDS = 5.0
"""Seconds without a new disturbance at the beginning and at the end of a soak."""


class Kind(StrEnum):
    """The kinds of disturbances, as text."""

    BURN = "all processors of every host kept busy"
    STALL = "fsync storms and checkpoints on every database host"
    HANDOVER = "etcd's leadership handed over"
    RESTART = "a lease watcher restarted"


@dataclass(frozen=True, slots=True)
class Disturbance:
    """One disturbance: its start and duration in seconds of the soak (0: a moment), and its host ("": all)."""

    at: float
    kind: Kind
    seconds: float = 0.0
    host: str = ""


def schedule(seconds: float, seed: int, watchers: Sequence[str]) -> tuple[Disturbance, ...]:
    """Return all disturbances of a soak, in order; none lasts beyond its end.

    In every lap, starvation and storms overlap, and etcd's leadership changes during the overlap and outside of it. The
    watchers' restarts, at least ten, are spread over the whole soak, so that they coincide with everything else.
    """
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    laps = max(1, int(seconds // LAP_SECONDS))
    length = seconds / laps
    steps = [step for lap in range(laps) for step in _lap(lap * length, chance)]
    steps += _restarts(seconds, laps, chance, watchers)
    return tuple(sorted(steps, key=lambda step: step.at))


def _lap(begin: float, chance: random.Random) -> list[Disturbance]:
    burn = begin + CALM_SECONDS + chance.uniform(0, 10)
    stall = burn + chance.uniform(10, 20)
    return [
        Disturbance(burn, Kind.BURN, BURN_SECONDS),
        Disturbance(stall, Kind.STALL, STALL_SECONDS),
        Disturbance(chance.uniform(stall, burn + BURN_SECONDS), Kind.HANDOVER),
        Disturbance(stall + STALL_SECONDS + chance.uniform(5, 25), Kind.HANDOVER),
    ]


def _restarts(seconds: float, laps: int, chance: random.Random, watchers: Sequence[str]) -> list[Disturbance]:
    if not watchers:
        return []
    times = max(LEAST_RESTARTS, 2 * laps)
    slot = (seconds - 2 * CALM_SECONDS) / times
    return [
        Disturbance(CALM_SECONDS + (turn + chance.random()) * slot, Kind.RESTART, host=watchers[turn % len(watchers)])
        for turn in range(times)
    ]


def counts(steps: Sequence[Disturbance]) -> dict[str, int]:
    """Return the planned number of each kind."""
    return {kind.name.lower(): sum(step.kind is kind for step in steps) for kind in Kind}


def shortest() -> int:
    """Return the minimum of a soak in whole minutes: one lap."""
    return math.ceil(LAP_SECONDS / 60)
