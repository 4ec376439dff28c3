# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small explicit-state model checker: breadth first, so a counterexample is one of the shortest."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

StateT = TypeVar("StateT", bound=Hashable)

Step = tuple[str, StateT]
"""What happens, in words, and the state after it."""


class TooLargeError(Exception):
    """A model has more states than expected; its parameters no longer bound it."""


@dataclass(frozen=True)
class Result(Generic[StateT]):
    """What an exploration found.

    broken: the words of the first broken invariant, "" where all hold. trace: the steps that lead there. states and
    depth count what was explored, so with a counterexample they count a part of the model. seen: the labels of all the
    steps that were possible somewhere.
    """

    states: int
    depth: int
    broken: str
    trace: tuple[Step[StateT], ...]
    seen: frozenset[str]

    @property
    def holds(self) -> bool:
        """Whether no state breaks an invariant."""
        return not self.broken


def explore(
    first: StateT,
    steps: Callable[[StateT], Iterable[Step[StateT]]],
    broken: Callable[[StateT], str],
    most: int,
) -> Result[StateT]:
    """Visit every state that can be reached, until one breaks an invariant.

    Args:
        first: the state to begin with.
        steps: what can happen in a state.
        broken: the invariant that a state breaks, in words; "" for none.
        most: the number of states above which the model counts as unbounded.
    """
    with uncollected():
        return visit(first, steps, broken, most)


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep Python from looking for circles among a hundred thousand states, which have none."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def visit(
    first: StateT, steps: Callable[[StateT], Iterable[Step[StateT]]], broken: Callable[[StateT], str], most: int
) -> Result[StateT]:
    """Do the work of explore()."""
    came_from: dict[StateT, Step[StateT] | None] = {first: None}
    labels: set[str] = set()
    layer, depth = [first], 0
    while layer:
        following: list[StateT] = []
        for state in layer:
            words = broken(state)
            if words:
                return Result(len(came_from), depth, words, way_to(state, came_from), frozenset(labels))
            for label, after in steps(state):
                labels.add(label)
                if after not in came_from:
                    came_from[after] = (label, state)
                    following.append(after)
        if len(came_from) > most:
            raise TooLargeError(f"more than {most} states at depth {depth}")
        layer, depth = following, depth + bool(following)
    return Result(len(came_from), depth, "", (), frozenset(labels))


def way_to(state: StateT, came_from: dict[StateT, Step[StateT] | None]) -> tuple[Step[StateT], ...]:
    """Return the steps from the first state to this one."""
    way: list[Step[StateT]] = []
    step = came_from[state]
    while step is not None:
        label, before = step
        way.append((label, state))
        state, step = before, came_from[before]
    return tuple(reversed(way))
