# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shrinks a failing schedule to the smallest that still fails. Pure: the caller runs the candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.kinds import KINDS
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import Schedule, Step, ordered

NEAR, SHARE = 0.5, 0.1
"""The seconds, or the share of a duration, by which a shorter one is not worth a run."""
ROUND_BEAT = 1.0
Judge = Callable[[Schedule], bool]


def shrink(schedule: Schedule, fails: Judge, permitted: Judge) -> Schedule:
    """Return the smallest schedule found that fails.

    It drops faults, then shortens them, then rounds rhythms, then lets faults begin together or at once after another;
    and again until nothing changes. fails is asked at most once for each schedule, and only for permitted ones.
    """
    asked: dict[Schedule, bool] = {schedule: True}
    floors: dict[Step, float] = {}

    def still_fails(candidate: Schedule) -> bool:
        if candidate not in asked:
            asked[candidate] = permitted(candidate) and fails(candidate)
        return asked[candidate]

    smallest = schedule
    while True:
        before = smallest
        smallest = first(smallest, fewer, still_fails)
        for at in range(len(smallest.steps)):
            smallest = shortest(smallest, at, floors, still_fails)
        smallest = first(smallest, rounded, still_fails)
        smallest = first(smallest, aligned, still_fails)
        if smallest == before:
            return smallest


def first(schedule: Schedule, smaller: Callable[[Schedule], Iterator[Schedule]], fails: Judge) -> Schedule:
    """Replace a schedule by the first smaller one that fails, until none does."""
    while (found := next((one for one in smaller(schedule) if one != schedule and fails(one)), None)) is not None:
        schedule = found
    return schedule


def fewer(schedule: Schedule) -> Iterator[Schedule]:
    """Yield schedules of fewer faults: each alone, then all but one."""
    steps = schedule.steps
    if len(steps) > 1:
        yield from (ordered([step]) for step in steps)
        yield from (ordered(steps[:at] + steps[at + 1 :]) for at in range(len(steps)))


def shortest(schedule: Schedule, number: int, floors: dict[Step, float], fails: Judge) -> Schedule:
    """Return the schedule with the shortest duration of one fault that fails, by bisection.

    floors: the longest durations that are known not to fail, by the fault without its times.
    """
    step = schedule.steps[number]
    key, least = replace(step, at=0.0, seconds=0.0), KINDS[step.kind].least
    if key not in floors:
        alone = changed(schedule, number, seconds=least)
        if alone == schedule or fails(alone):
            return alone
        floors[key] = least
    while (high := schedule.steps[number].seconds) - floors[key] > max(NEAR, SHARE * high):
        middle = (high + floors[key]) / 2
        seconds = float(round(middle)) if high - floors[key] > 4 * NEAR else round(middle, 1)
        candidate = changed(schedule, number, seconds=seconds)
        if candidate == schedule or not fails(candidate):
            floors[key] = seconds
        else:
            schedule = candidate
    return schedule


def rounded(schedule: Schedule) -> Iterator[Schedule]:
    """Yield schedules with a plain rhythm."""
    for at, step in enumerate(schedule.steps):
        if step.on and (step.on, step.off) != (ROUND_BEAT, ROUND_BEAT):
            yield changed(schedule, at, on=ROUND_BEAT, off=ROUND_BEAT)


def aligned(schedule: Schedule) -> Iterator[Schedule]:
    """Yield schedules in which a fault begins with the one before, at its end, or at the whole second before."""
    steps = schedule.steps
    for at in range(1, len(steps)):
        for moment in (steps[at - 1].at, steps[at - 1].end, float(int(steps[at].at))):
            if moment < steps[at].at:
                yield changed(schedule, at, at=moment)


def changed(schedule: Schedule, number: int, **values: float) -> Schedule:
    """Return the schedule with other times of one step; those after it keep their distance to its end."""
    steps = list(schedule.steps)
    before = steps[number]
    steps[number] = after = replace(before, **values)  # type: ignore[arg-type]
    for later in range(number + 1, len(steps)):
        if steps[later].at >= before.end:
            steps[later] = replace(steps[later], at=max(0.0, steps[later].at + after.end - before.end))
    return ordered(steps)
