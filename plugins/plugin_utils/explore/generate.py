# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which schedules are permitted, and seeded random ones. Pure: the same seed gives the same schedule."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product

from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.kinds import (
    KINDS,
    RHYTHMS,
    Kind,
    agree,
    loss,
    taken_until,
    targets,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.majority import Shape, leaves_majority
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import (
    ETCD_LEADER,
    LEADER,
    MOVING,
    Schedule,
    Step,
    ordered,
)

MOST_STEPS = 3
APART = 30.0
"""The longest time between the begin or the end of a fault and the begin of the next one."""
OVERLAPPING = 0.5
"""The share of later faults that begin during the one before, and of these on the same host."""
ATTEMPTS = 1000
ENOUGH = 100
"""Attempts after which fewer faults are tried."""


def objection(schedule: Schedule, shape: Shape) -> str:
    """Return why a schedule is not permitted, "" if a majority is left at every moment.

    shape has roles in place of hosts. A target that is chosen later may be any host of its part.
    """
    for step in schedule.steps:
        if found := misfit(step, shape):
            return found
    for at in sorted({step.at for step in schedule.steps}):
        active = [step for step in schedule.steps if step.at <= at < max(taken_until(step), step.at + 0.1)]
        for hosts in product(*(candidates(step.target, shape) for step in active)):
            if found := collision(active, hosts, shape):
                return f"at {at:g} s {found}"
    return ""


def misfit(step: Step, shape: Shape) -> str:
    """Return what is wrong with one step, "" if nothing."""
    kind = KINDS.get(step.kind)
    if kind is None:
        return f"{step.kind}: no such kind; known are {', '.join(KINDS)}"
    if step.target not in targets(kind, shape):
        return f"{step.kind} on {step.target}: give one of {', '.join(dict.fromkeys(targets(kind, shape)))}"
    if not kind.least <= step.seconds <= kind.most:
        return f"{step.kind} for {step.seconds:g} s: give {kind.least:g} to {kind.most:g} seconds"
    if kind.pair != bool(step.other) or (kind.pair and step.other not in second(step.target, shape)):
        return f"{step.kind} on {step.target} and {step.other or 'no other'}: give two hosts for a pair, else one"
    low, high = RHYTHMS if kind.rhythmic else (0.0, 0.0)
    if not low <= step.on <= high or not low <= step.off <= high:
        return f"{step.kind}: on {step.on:g} s and off {step.off:g} s: give {low:g} to {high:g} seconds for each"
    return ""


def candidates(target: str, shape: Shape) -> tuple[str, ...]:
    """Return the hosts that a target may turn out to be."""
    return {LEADER: shape.databases, ETCD_LEADER: shape.etcd}.get(target, (target,))


def second(target: str, shape: Shape) -> tuple[str, ...]:
    """Return the hosts to which a target's link may be cut; a moving target may turn out to be any."""
    return tuple(host for host in shape.databases if host != target) if target not in MOVING else ()


def collision(active: Sequence[Step], hosts: Sequence[str], shape: Shape) -> str:
    """Return why these faults can't be active on these hosts at once, "" if they can."""
    losses = [loss(KINDS[step.kind], host, step.other) for step, host in zip(active, hosts, strict=True)]
    names = " and ".join(f"{step.kind} on {step.target}" for step in active)
    if not leaves_majority(shape, losses):
        return f"{names} leave no majority"
    for (one, here), (other, there) in combinations(zip(active, hosts, strict=True), 2):
        moving = {one.target, other.target}.intersection(MOVING)
        if here == there and not moving and not agree(KINDS[one.kind], KINDS[other.kind]):
            return f"{one.kind} and {other.kind} can't both be on {here}"
    return ""


# Random schedules


def generate(seed: int, number: int, shape: Shape, kinds: Sequence[str]) -> Schedule:
    """Return the schedule of a trial: one to three faults that leave a majority."""
    chance = random.Random(f"{seed}/{number}")  # noqa: S311 - not for secrets
    usable = [KINDS[name] for name in kinds if any(targets(KINDS[name], shape))]
    # Chosen before the attempts, since overlaps are refused more often.
    overlaps = [chance.random() < OVERLAPPING for _later in range(chance.randint(1, MOST_STEPS) - 1)]
    for attempt in range(ATTEMPTS):
        schedule = ordered(draw(chance, overlaps[: max(0, len(overlaps) - attempt // ENOUGH)], shape, usable))
        if not objection(schedule, shape):
            return schedule
    raise ValueError(f"no kind of {', '.join(kinds)} leaves a majority of {shape}")


def draw(chance: random.Random, overlaps: Sequence[bool], shape: Shape, kinds: Sequence[Kind]) -> Iterator[Step]:
    """Yield a random fault, and one for each of overlaps: up to APART seconds after the one before began, or ended."""
    before: Step | None = None
    for overlapping in (False, *overlaps):
        kind = chance.choice(kinds)
        places = list(dict.fromkeys(targets(kind, shape)))
        same = before is not None and overlapping and before.target in places and chance.random() < OVERLAPPING
        target = before.target if before and same else chance.choice(places)
        at = begin(chance, before, overlapping) if before else 0.0
        seconds = chance.uniform(*chance.choice(kind.spans))
        before = Step(kind.name, target, at, seconds, other_of(chance, kind, target, shape), **beat(chance, kind))
        yield before


def begin(chance: random.Random, before: Step, overlapping: bool) -> float:
    """Return when a fault begins; one that overlaps begins before the end of the one before, if that lasts."""
    if overlapping and before.seconds:
        return before.at + chance.uniform(0, min(APART, before.seconds))
    return before.end + chance.uniform(0, APART)


def other_of(chance: random.Random, kind: Kind, target: str, shape: Shape) -> str:
    """Return the second host of a pair, "" where there is none."""
    others = second(target, shape) if kind.pair else ()
    return chance.choice(others) if others else ""


def beat(chance: random.Random, kind: Kind) -> Mapping[str, float]:
    """Return the rhythm of a harm that comes and goes."""
    low, high = RHYTHMS
    return {"on": chance.uniform(low, high), "off": chance.uniform(low, high)} if kind.rhythmic else {}
