# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order that a history shows: whose append stands before whose, who read what, and the order in time."""

from __future__ import annotations

from itertools import pairwise

from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.graph import Arc, Graph
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.history import History
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import Fate, Kind, Route


def dependencies(history: History) -> Graph:
    """Return the graph of all committed transactions; those on standbys have no order in time."""
    graph = Graph(len(history.transactions))
    add_appends(graph, history)
    add_reads(graph, history)
    add_sessions(graph, history)
    add_times(graph, history)
    return graph


def add_appends(graph: Graph, history: History) -> None:
    """Add the order of the values in each list."""
    for key, values in history.orders.items():
        for before, value in pairwise(values if key not in history.unordered else ()):
            graph.add(Arc(history.writers[key, before], history.writers[key, value], Kind.WW, key, value))


def add_reads(graph: Graph, history: History) -> None:
    """Add whose value each read ends with, and whose comes right after."""
    for at, key, length in history.reads():
        if length:
            value = history.orders[key][length - 1]
            graph.add(Arc(history.writers[key, value], at, Kind.WR, key, value))
        following = history.following(key, length)
        if following is not None:
            graph.add(Arc(at, history.writers[key, following], Kind.RW, key, following))


def on_primary(history: History) -> list[int]:
    """Return the committed transactions that did not run on a standby."""
    return [
        at for at, own in enumerate(history.transactions) if history.committed[at] and own.route is not Route.STANDBY
    ]


def add_sessions(graph: Graph, history: History) -> None:
    """Add the order of each client's transactions."""
    last: dict[str, int] = {}
    for at in sorted(on_primary(history), key=lambda at: history.transactions[at].begun):
        own = history.transactions[at]
        if own.client in last:
            graph.add(Arc(last[own.client], at, Kind.SESSION))
        if own.fate is Fate.OK:
            last[own.client] = at


def add_times(graph: Graph, history: History) -> None:
    """Add which transaction was acknowledged before another began.

    A chain of points in time stands for all pairs: an acknowledgement leads to its point, the latest point before a
    begin leads to that transaction.
    """
    marks: list[tuple[float, bool, int]] = []
    for at in on_primary(history):
        own = history.transactions[at]
        marks.append((own.begun, False, at))  # at the same time, the begin counts as the earlier one
        if own.fate is Fate.OK:
            marks.append((own.ended, True, at))
    latest: int | None = None
    for _time, ends, at in sorted(marks):
        if ends:
            moment = graph.moment()
            graph.add(Arc(at, moment, Kind.TIME))
            if latest is not None:
                graph.add(Arc(latest, moment, Kind.TIME))
            latest = moment
        elif latest is not None:
            graph.add(Arc(latest, at, Kind.TIME))
