# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cycles in the order of transactions, by the names of their anomalies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice

from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.dependencies import on_primary
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.graph import Arc, Graph
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.history import History
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import (
    Anomaly,
    Edge,
    Kind,
    Name,
    Route,
)

TRIED = 200
"""The number of arcs of a component from which the shortest cycle is searched, and of its reads on standbys."""
WRITES = frozenset({Kind.WW})
VALUES = frozenset({Kind.WW, Kind.WR})
DATA = frozenset({Kind.WW, Kind.WR, Kind.RW})
ALL = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class Rung:
    """A kind of cycle: one arc of ``first``, any number of ``rest``; apart: no two rw arcs follow each other."""

    name: Name
    first: frozenset[Kind]
    rest: frozenset[Kind]
    apart: bool = False


RUNGS = (
    Rung(Name.G0, WRITES, WRITES),
    Rung(Name.G1C, frozenset({Kind.WR}), VALUES),
    Rung(Name.G_SINGLE, frozenset({Kind.RW}), VALUES),
    Rung(Name.LONG_FORK, frozenset({Kind.RW}), DATA, apart=True),
    Rung(Name.G2_ITEM, frozenset({Kind.RW}), DATA),
    Rung(Name.REAL_TIME, DATA, ALL),
)
"""From the worst to the least."""
READER = tuple(rung for rung in RUNGS if rung.first == {Kind.RW})
"""Those that a transaction which only reads can close."""


def cycles(history: History, graph: Graph, explained: AbstractSet[int]) -> Iterator[Anomaly]:
    """Yield a shortest cycle, of the worst kind, of each component of transactions on the primary.

    explained: transactions of known anomalies; a component with one of them is left out.
    """
    nodes = [*on_primary(history), *range(graph.moments, len(graph.arcs))]
    knots = graph.components(ALL, nodes)
    known = set(explained)
    for rung in RUNGS if knots else ():
        for component in graph.components(rung.first | rung.rest, [node for knot in knots for node in knot]):
            found = None if known & {*component} else shortest_cycle(graph, rung, component)
            if found:
                known |= {arc.source for arc in found}
                yield anomaly(history, graph, rung.name, found)


def shortest_cycle(graph: Graph, rung: Rung, component: Sequence[int]) -> list[Arc] | None:
    """Return a shortest cycle of one kind in a component, None without one."""
    within = frozenset(component)
    firsts = (arc for node in component for arc in graph.arcs[node] if arc.kind in rung.first and arc.target in within)
    found = (graph.cycle(arc, rung.rest, within, apart=rung.apart) for arc in islice(firsts, TRIED))
    return min(filter(None, found), key=len, default=None)


def forks(history: History, graph: Graph) -> Iterator[Anomaly]:
    """Yield for each read of a standby that no order of all transactions has room for a shortest cycle."""
    for component in graph.components(DATA):
        within = frozenset(component)
        readers = (node for node in component if history.transactions[node].route is Route.STANDBY)
        for node in islice(readers, TRIED):
            yield from islice(closing(history, graph, node, within), 1)


def closing(history: History, graph: Graph, node: int, within: frozenset[int]) -> Iterator[Anomaly]:
    """Yield the cycles through a reader, the worst first."""
    for rung in READER:
        found = [graph.cycle(arc, rung.rest, within, apart=rung.apart) for arc in graph.arcs[node]]
        shortest = min(filter(None, found), key=len, default=None)
        if shortest:
            yield anomaly(history, graph, rung.name, shortest)


def anomaly(history: History, graph: Graph, name: Name, arcs: Sequence[Arc]) -> Anomaly:
    """Return a cycle as an anomaly."""
    edges = tuple(between(history, graph, arcs))
    return Anomaly(name, edges[0].source, tuple(edge.target for edge in edges[:-1]), edges)


def between(history: History, graph: Graph, arcs: Sequence[Arc]) -> Iterator[Edge]:
    """Yield the edges between transactions; arcs through points in time become one."""
    source = arcs[0].source
    for arc in arcs:
        if arc.target < graph.moments:
            ends = history.transactions[source], history.transactions[arc.target]
            yield Edge(*ends, arc.kind, arc.key, arc.value)
            source = arc.target
