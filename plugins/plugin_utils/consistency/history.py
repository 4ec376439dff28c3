# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A history with what follows from it at once: who appended a value, the order of each list, what was committed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import (
    Append,
    Fate,
    Look,
    Route,
    Transaction,
    Version,
)

Element = tuple[int, int]
"""A key and a value in its list."""


class History:
    """Transactions by their numbers; several functions of this package take and return such numbers.

    final: the lists at the end, which every committed append must be in; None where they were not read. orders: by
    key the final list, otherwise the longest that was read, from a standby only if it goes on from the primary's.
    """

    def __init__(self, transactions: Sequence[Transaction]) -> None:
        self.transactions = [found for found in transactions if found.route is not Route.FINAL]
        last = [found for found in transactions if found.route is Route.FINAL]
        self.final = last[-1] if last else None
        self.writers = {element: at for at, own in enumerate(self.transactions) for element in appended(own)}
        self.external = [external(own) if own.fate is not Fate.FAILED else {} for own in self.transactions]
        self.orders = self._orders()
        self.unordered = {key for key, values in self.orders.items() if not self._is_order(key, values)}
        listed = {(key, value) for key, values in self.orders.items() for value in values}
        self.present = listed & self.writers.keys()
        seen = {self.writers[element] for element in self.present}
        self.committed = [own.fate is Fate.OK or at in seen for at, own in enumerate(self.transactions)]

    def keys(self) -> set[int]:
        """Return the keys that any transaction used."""
        last = [self.final] if self.final else []
        return {found.key for own in (*self.transactions, *last) for found in own.operations}

    def _orders(self) -> dict[int, Version]:
        if self.final:
            read = {look.key: look.values or () for look in looks(self.final)}
            return {key: read.get(key, ()) for key in self.keys()}
        orders: dict[int, Version] = dict.fromkeys(self.keys(), ())
        for standbys in (False, True):
            for look in self._acknowledged_looks(standbys):
                known, values = orders[look.key], look.values or ()
                if len(values) > len(known) and (not standbys or values[: len(known)] == known):
                    orders[look.key] = values
        return orders

    def _acknowledged_looks(self, standbys: bool) -> Iterator[Look]:
        for own in self.transactions:
            if own.fate is Fate.OK and (own.route is Route.STANDBY) is standbys:
                yield from looks(own)

    def _is_order(self, key: int, values: Version) -> bool:
        """Return whether every value has a writer and stands once."""
        return len({*values}) == len(values) and all((key, value) in self.writers for value in values)

    def reads(self, *, acknowledged: bool = False) -> Iterator[tuple[int, int, int]]:
        """Yield (transaction, key, length) for each read of a beginning of a list, of committed transactions."""
        for at, own in enumerate(self.transactions):
            if own.fate is Fate.OK or (self.committed[at] and not acknowledged):
                for key, values in self.external[at].items():
                    if key not in self.unordered and self.begins(key, values):
                        yield at, key, len(values)

    def begins(self, key: int, values: Version) -> bool:
        """Return whether a list began with these values once."""
        return self.orders[key][: len(values)] == values

    def following(self, key: int, length: int) -> int | None:
        """Return the value right after the first ones of a list, None at its end."""
        order = self.orders[key]
        return order[length] if length < len(order) else None


def appended(transaction: Transaction) -> Iterator[Element]:
    """Yield what a transaction appended, in its order."""
    return ((found.key, found.value) for found in transaction.operations if isinstance(found, Append))


def looks(transaction: Transaction) -> Iterator[Look]:
    """Yield the reads of a transaction that were answered."""
    return (found for found in transaction.operations if isinstance(found, Look) and found.values is not None)


def external(transaction: Transaction) -> dict[int, Version]:
    """Return by key what a transaction first read, without its own appends before."""
    own: dict[int, list[int]] = {}
    found: dict[int, Version] = {}
    for operation in transaction.operations:
        mine = own.setdefault(operation.key, [])
        if isinstance(operation, Append):
            mine.append(operation.value)
        elif operation.values is not None and operation.key not in found:
            values = operation.values
            found[operation.key] = without_end(values, mine)
    return found


def without_end(values: Version, end: Sequence[int]) -> Version:
    """Return values without those at their end, if they do end so."""
    size = len(values) - len(end)
    return values[:size] if values[max(size, 0) :] == tuple(end) else values


def last_appends(transactions: Iterable[Transaction]) -> list[dict[int, int]]:
    """Return by transaction the last value that it appended to each key."""
    return [dict(appended(own)) for own in transactions]
