# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strongly connected components and shortest cycles of a directed graph whose nodes are numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from math import inf
from typing import NamedTuple

from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import Kind


class Arc(NamedTuple):
    """An arc between two nodes, and the append that shows it."""

    source: int
    target: int
    kind: Kind
    key: int | None = None
    value: int | None = None


State = tuple[int, bool]
"""A node, and whether an rw arc led to it."""


class Graph:
    """Arcs by their source. Nodes from ``moments`` on are points in time, which no transaction counts as a step."""

    def __init__(self, size: int) -> None:
        self.arcs: list[list[Arc]] = [[] for _node in range(size)]
        self.moments = size

    def add(self, arc: Arc) -> None:
        """Add an arc, unless it leads back to its source."""
        if arc.source != arc.target:
            self.arcs[arc.source].append(arc)

    def moment(self) -> int:
        """Add a point in time; return its number."""
        self.arcs.append([])
        return len(self.arcs) - 1

    def components(self, kinds: AbstractSet[Kind], within: Iterable[int] | None = None) -> list[list[int]]:
        """Return the components of several nodes that arcs of these kinds make, of some nodes or of all."""
        nodes = range(len(self.arcs)) if within is None else sorted(within)
        inside = nodes if within is None else frozenset(nodes)

        def successors(node: int) -> list[int]:
            return [arc.target for arc in self.arcs[node] if arc.kind in kinds and arc.target in inside]

        return [found for found in strongly_connected(nodes, successors) if len(found) > 1]

    def cycle(
        self, first: Arc, kinds: AbstractSet[Kind], within: AbstractSet[int], *, apart: bool = False
    ) -> list[Arc] | None:
        """Return the cycle of the fewest transactions that begins with an arc, None without one.

        kinds: of its other arcs; apart: whether no two rw arcs may follow each other.
        """

        def moves(state: State) -> Iterator[tuple[Arc, State, int]]:
            node, after_rw = state
            for arc in self.arcs[node]:
                if arc.kind in kinds and arc.target in within and not (apart and after_rw and arc.kind is Kind.RW):
                    yield arc, (arc.target, arc.kind is Kind.RW), int(arc.target < self.moments)

        rw = first.kind is Kind.RW
        ends = {(first.source, False), *([] if apart and rw else [(first.source, True)])}
        way = shortest((first.target, rw), ends, moves)
        return None if way is None else [first, *way]


def shortest(
    begin: State, ends: AbstractSet[State], moves: Callable[[State], Iterable[tuple[Arc, State, int]]]
) -> list[Arc] | None:
    """Return the arcs of the cheapest way to one of the ends, None without one; a move costs 0 or 1."""
    cost: dict[State, float] = {begin: 0}
    came: dict[State, tuple[State, Arc]] = {}
    queue, done = deque([begin]), set[State]()
    while queue:
        state = queue.popleft()
        if state in ends:
            return traced(came, begin, state)
        if state in done:
            continue
        done.add(state)
        for arc, following, price in moves(state):
            if cost[state] + price < cost.get(following, inf):
                cost[following] = cost[state] + price
                came[following] = state, arc
                if price:
                    queue.append(following)
                else:
                    queue.appendleft(following)
    return None


def traced(came: dict[State, tuple[State, Arc]], begin: State, end: State) -> list[Arc]:
    """Return the arcs that led from one state to another."""
    arcs: list[Arc] = []
    while end != begin:
        end, arc = came[end]
        arcs.append(arc)
    return arcs[::-1]


def strongly_connected(nodes: Sequence[int], successors: Callable[[int], Sequence[int]]) -> Iterator[list[int]]:
    """Yield the strongly connected components by Tarjan's algorithm, without recursion."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    waiting: set[int] = set()

    def visit(node: int) -> tuple[int, Iterator[int]]:
        index[node] = low[node] = len(index)
        stack.append(node)
        waiting.add(node)
        return node, iter(successors(node))

    for root in nodes:
        work = [] if root in index else [visit(root)]
        while work:
            node, rest = work[-1]
            for target in rest:
                if target not in index:
                    work.append(visit(target))
                    break
                if target in waiting:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    yield popped(stack, waiting, node)


def popped(stack: list[int], waiting: set[int], node: int) -> list[int]:
    """Take a component off the stack."""
    at = len(stack) - 1
    while stack[at] != node:
        at -= 1
    found = stack[at:]
    del stack[at:]
    waiting.difference_update(found)
    return found
