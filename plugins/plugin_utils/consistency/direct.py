# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The anomalies that a single read, or a list at the end, shows without a cycle."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from math import inf

from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.history import (
    History,
    appended,
    last_appends,
    looks,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import (
    Anomaly,
    Append,
    Edge,
    Fate,
    Kind,
    Name,
    Route,
    Transaction,
    Version,
)

Anomalies = Iterator[Anomaly]


def direct(history: History) -> Anomalies:
    """Yield every anomaly that needs no cycle."""
    for find in (lost_appends, partial, foreign_reads, intermediate_reads, internal, lost_updates, stale_reads):
        yield from find(history)


# What must be in the lists at the end


def lost_appends(history: History) -> Anomalies:
    """Every acknowledged append is there."""
    for own in history.transactions if history.final else ():
        if own.fate is Fate.OK:
            for key, value in appended(own):
                if (key, value) not in history.present:
                    yield Anomaly(Name.LOST_APPEND, own, key=key, values=(value,))


def partial(history: History) -> Anomalies:
    """A transaction without an acknowledgement is there as a whole, or not at all."""
    for own in history.transactions if history.final else ():
        elements = [*appended(own)]
        gone = [element for element in elements if element not in history.present]
        if own.fate is not Fate.OK and 0 < len(gone) < len(elements):
            key, value = gone[0]
            yield Anomaly(Name.PARTIAL, own, key=key, values=(value,))


# Single reads


def acknowledged(history: History) -> Iterator[tuple[Transaction, dict[int, Version]]]:
    """Yield the acknowledged transactions and the final one, with what they first read."""
    for own, read in zip(history.transactions, history.external, strict=True):
        if own.fate is Fate.OK:
            yield own, read
    if history.final:
        yield history.final, {look.key: look.values or () for look in looks(history.final)}


def foreign_reads(history: History) -> Anomalies:
    """A read holds committed values only, each once, in the order of the list."""
    failed = {
        key for key, value in history.present if history.transactions[history.writers[key, value]].fate is Fate.FAILED
    }
    suspect = history.unordered | failed
    for own, read in acknowledged(history):
        for key, values in read.items():
            if key in suspect or not history.begins(key, values):
                yield from foreign(history, own, key, values)


def foreign(history: History, own: Transaction, key: int, values: Version) -> Anomalies:
    """Yield what is wrong with a read."""
    known = [history.writers[key, value] for value in values if (key, value) in history.writers]
    aborted = [
        history.transactions[at]
        for at in known
        if history.transactions[at].fate is Fate.FAILED or not has_all(history, at, key, values)
    ]
    if len({*values}) < len(values):
        twice = tuple(value for value in dict.fromkeys(values) if values.count(value) > 1)
        yield Anomaly(Name.DUPLICATE, own, key=key, values=twice)
    elif len(known) < len(values):
        strange = tuple(value for value in values if (key, value) not in history.writers)
        yield Anomaly(Name.GARBAGE, own, key=key, values=strange)
    elif aborted:
        theirs = {value for other in aborted for at, value in appended(other) if at == key}
        lost = tuple(value for value in values if value in theirs)
        yield Anomaly(Name.G1A, own, tuple(dict.fromkeys(aborted)), key=key, values=lost)
    elif not history.begins(key, values):
        yield Anomaly(Name.INCOMPATIBLE_ORDER, own, key=key, values=values)


def has_all(history: History, at: int, key: int, values: Version) -> bool:
    """Return whether what a read has of a transaction is in the final list too, as far as it is known."""
    theirs = {value for place, value in appended(history.transactions[at]) if place == key}
    return not history.final or all((key, value) in history.present for value in values if value in theirs)


def intermediate_reads(history: History) -> Anomalies:
    """A read does not end in the middle of another transaction."""
    last = last_appends(history.transactions)
    for own, read in acknowledged(history):
        for key, values in read.items():
            writer = history.writers.get((key, values[-1])) if values else None
            if writer is not None and last[writer][key] != values[-1]:
                yield Anomaly(Name.G1B, own, (history.transactions[writer],), key=key, values=values[-1:])


def internal(history: History) -> Anomalies:
    """A transaction reads its own appends, and otherwise what it read before."""
    for own, read in zip(history.transactions, history.external, strict=True):
        mine: dict[int, Version] = {}
        for operation in own.operations if own.fate is Fate.OK else ():
            before = mine.get(operation.key, ())
            if isinstance(operation, Append):
                mine[operation.key] = (*before, operation.value)
            elif operation.values is not None and operation.values != read[operation.key] + before:
                yield Anomaly(Name.INTERNAL, own, key=operation.key, values=operation.values)
                break


def lost_updates(history: History) -> Anomalies:
    """Of the committed transactions that read the same version of a list, at most one appends to it."""
    groups: dict[tuple[int, int], list[int]] = {}
    for at, key, length in history.reads():
        if any(place == key for place, _value in appended(history.transactions[at])):
            groups.setdefault((key, length), []).append(at)
    for (key, length), numbers in groups.items():
        if len(numbers) > 1:
            first, *rest = (history.transactions[at] for at in numbers)
            yield Anomaly(Name.LOST_UPDATE, rest[-1], (first, *rest[:-1]), key=key, values=history.orders[key][:length])


# Reads and time


def stale_reads(history: History) -> Anomalies:
    """A read has what was acknowledged, or read on the same port, before it began."""
    on_primary, anywhere = Visible(history, standbys=False), Visible(history, standbys=True)
    for at, key, length in history.reads(acknowledged=True):
        own = history.transactions[at]
        visible = anywhere if own.route is Route.STANDBY else on_primary
        since, witness = visible.after(key, length)
        if since < own.begun and witness is not None:
            value = history.orders[key][length]
            missed = history.transactions[history.writers[key, value]]
            edges = stale_edges(own, missed, history.transactions[witness], key, value)
            others = tuple(edge.target for edge in edges[:-1])
            yield Anomaly(Name.STALE_READ, own, others, edges, key=key, values=(value,), seconds=own.begun - since)


def stale_edges(own: Transaction, missed: Transaction, witness: Transaction, key: int, value: int) -> tuple[Edge, ...]:
    """Return the cycle of a stale read; the witness is the writer itself, or one that came after it."""
    kind = Kind.WW if any(place == key for place, _value in appended(witness)) else Kind.WR
    seen = () if witness is missed else (Edge(missed, witness, kind, key, value),)
    return (Edge(own, missed, Kind.RW, key, value), *seen, Edge(witness, own, Kind.TIME))


class Visible:
    """Since when each version of each list certainly was visible, and by whose acknowledgement that is known."""

    def __init__(self, history: History, *, standbys: bool) -> None:
        self._since: dict[int, list[tuple[float, int | None]]] = {
            key: [(inf, None)] * (len(order) + 2) for key, order in history.orders.items()
        }
        written = (
            (history.writers[key, value], key, at)
            for key, order in history.orders.items()
            if key not in history.unordered
            for at, value in enumerate(order, 1)
        )
        for at, key, length in chain(written, history.reads(acknowledged=True)):
            own = history.transactions[at]
            if own.fate is Fate.OK and (standbys or own.route is not Route.STANDBY):
                since = self._since[key]
                since[length] = min(since[length], (own.ended, at), key=lambda found: found[0])
        for since in self._since.values():
            for length in range(len(since) - 2, -1, -1):
                since[length] = min(since[length], since[length + 1], key=lambda found: found[0])

    def after(self, key: int, length: int) -> tuple[float, int | None]:
        """Return since when a longer version than this was visible, and the witness; (inf, None) without one."""
        return self._since[key][length + 1]
