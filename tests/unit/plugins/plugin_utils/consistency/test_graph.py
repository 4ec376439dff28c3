# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Components and shortest cycles of small random graphs, compared with what trying every pair gives."""

from __future__ import annotations

import random
from itertools import pairwise, product

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.graph import Arc, Graph
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import Kind

NODES = 9
KINDS = (Kind.WW, Kind.WR, Kind.RW)
DATA = frozenset(KINDS)
EVERY = frozenset(range(NODES))


def drawn(seed: int) -> Graph:
    chance = random.Random(seed)
    graph = Graph(NODES)
    for _arc in range(chance.randint(4, 16)):
        graph.add(Arc(chance.randrange(NODES), chance.randrange(NODES), chance.choice(KINDS)))
    return graph


def distances(graph: Graph, kinds: frozenset[Kind]) -> dict[tuple[int, int], int]:
    """The number of arcs from each node to each that it leads to, by Floyd and Warshall."""
    known = {(arc.source, arc.target): 1 for arcs in graph.arcs for arc in arcs if arc.kind in kinds}
    for by, one, other in product(range(NODES), repeat=3):
        if (one, by) in known and (by, other) in known:
            known[one, other] = min(known.get((one, other), NODES), known[one, by] + known[by, other])
    return known


@pytest.mark.parametrize("seed", range(60))
def test_components(seed: int) -> None:
    graph = drawn(seed)
    for kinds in (DATA, frozenset({Kind.WW, Kind.WR})):
        known = distances(graph, kinds)
        mutual = [frozenset(b for b in EVERY if (a, b) in known and (b, a) in known) for a in EVERY]
        assert {frozenset(found) for found in graph.components(kinds)} == {*mutual} - {frozenset()}


@pytest.mark.parametrize("seed", range(60))
def test_a_cycle_is_the_shortest(seed: int) -> None:
    graph = drawn(seed)
    known = distances(graph, frozenset({Kind.WW}))
    for arc in (arc for arcs in graph.arcs for arc in arcs):
        found = graph.cycle(arc, frozenset({Kind.WW}), EVERY)
        back = known.get((arc.target, arc.source))
        assert (len(found) if found else None) == (None if back is None else back + 1)
        for one, other in pairwise([*(found or ()), *(found or ())[:1]]):
            assert one.target == other.source
        assert all(step.kind is Kind.WW for step in (found or ())[1:])


def test_components_within_some_nodes() -> None:
    graph = Graph(4)
    for source, target in ((0, 1), (1, 2), (2, 0), (2, 3), (3, 2)):
        graph.add(Arc(source, target, Kind.WW))
    assert [sorted(found) for found in graph.components(DATA, [1, 2, 3])] == [[2, 3]]


def test_a_long_chain_needs_no_recursion() -> None:
    graph = Graph(50_000)
    for at in range(50_000):
        graph.add(Arc(at, (at + 1) % 50_000, Kind.WW))
    assert [len(found) for found in graph.components(DATA)] == [50_000]


def test_rw_arcs_apart() -> None:
    """1 and 2 are reached over two rw arcs in a row, 3 over one after a wr arc."""
    graph = Graph(4)
    first = Arc(0, 1, Kind.RW)
    for arc in (first, Arc(1, 2, Kind.RW), Arc(2, 0, Kind.WR), Arc(1, 3, Kind.WR), Arc(3, 2, Kind.RW)):
        graph.add(arc)
    assert [arc.target for arc in graph.cycle(first, DATA, EVERY) or ()] == [1, 2, 0]
    assert [arc.target for arc in graph.cycle(first, DATA, EVERY, apart=True) or ()] == [1, 3, 2, 0]
    assert graph.cycle(first, DATA, frozenset({0, 1, 2}), apart=True) is None


def test_points_in_time_do_not_count() -> None:
    graph = Graph(3)
    moments = [graph.moment() for _number in range(5)]
    first = Arc(0, 1, Kind.RW)
    chain = [1, *moments, 0]
    for arc in (first, Arc(1, 2, Kind.WW), Arc(2, 0, Kind.WW), *(Arc(a, b, Kind.TIME) for a, b in pairwise(chain))):
        graph.add(arc)
    everywhere = frozenset(range(len(graph.arcs)))
    assert [arc.target for arc in graph.cycle(first, frozenset(Kind), everywhere) or ()] == [1, *moments, 0]
