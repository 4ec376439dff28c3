# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client does at each attempt: one statement, or a transaction that appends to lists and reads them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Sent = tuple[str, Sequence[Any]]
"""A statement and its values."""
KEYS = 8
"""The lists in use at a time."""
APPENDS_PER_KEY = 24
"""The acknowledged appends after which the oldest list goes out of use, and a new one comes in."""
READ = "SELECT list FROM {table} WHERE key = %s"
APPEND = (
    "INSERT INTO {table} AS old (key, list) VALUES (%s, ARRAY[%s]::bigint[]) "
    "ON CONFLICT (key) DO UPDATE SET list = old.list || excluded.list"
)
MOST_OPERATIONS = 4
READ_ONLY = 0.2
"""The share of transactions that only read, on ports that also write."""
MOST_ATTEMPTS = 1_000_000
"""Of one client: the values of the next begin there."""
CONFLICT = "40"
"""The class of SQLSTATEs after which a rollback makes the session usable again."""


class Attempt(Protocol):
    """One attempt of a client.

    decisive: whether the statement under way may have stored something; details: what is recorded beside the outcome.
    """

    decisive: bool

    @property
    def details(self) -> list[Any]:
        """Return what is recorded beside the outcome."""

    def following(self, rows: Sequence[Sequence[Any]] | None) -> Sent | None:
        """Return the next statement after the rows of the last one (None: before the first), None at the end."""

    def undone(self, error: Exception) -> bool:
        """Return whether the session can go on after a rollback."""


class Statement:
    """An attempt of one statement."""

    decisive = True

    def __init__(self, sent: Sent) -> None:
        self._sent: Sent | None = sent

    @property
    def details(self) -> list[Any]:
        """Return nothing."""
        return []

    def following(self, _rows: Sequence[Sequence[Any]] | None) -> Sent | None:
        """Return the statement once."""
        sent, self._sent = self._sent, None
        return sent

    def undone(self, _error: Exception) -> bool:
        """A session whose statement failed is given up."""
        return False


@dataclass(frozen=True)
class Lists:
    """How a client works on lists: number makes its values unique; writes: whether it also appends."""

    route: str
    table: str
    isolation: str
    number: int
    writes: bool


class Keys:
    """The lists that all clients of a load have in use; they move on with acknowledged appends."""

    def __init__(self) -> None:
        self._appended = 0

    def drawn(self, chance: random.Random) -> int:
        """Return one of the lists in use."""
        return self._appended // APPENDS_PER_KEY + chance.randrange(KEYS)

    def note(self, appended: int) -> None:
        """Count acknowledged appends."""
        self._appended += appended


class ListAppend:
    """A transaction of several keys, one statement after the other; its details are its route and its operations."""

    def __init__(self, lists: Lists, keys: Keys, sequence: int) -> None:
        self._lists = lists
        self._keys = keys
        self._operations = drawn(lists, keys, sequence)
        self._at = -1
        self.decisive = False

    @property
    def details(self) -> list[Any]:
        """Return the route and the operations: ["append", key, value] and ["read", key, values]."""
        return [self._lists.route, self._operations]

    def following(self, rows: Sequence[Sequence[Any]] | None) -> Sent | None:
        """Return the next statement; the first one also begins the transaction."""
        if self.decisive:
            self._keys.note(sum(kind == "append" for kind, _key, _value in self._operations))
            return None
        if rows is not None and self._operations[self._at][0] == "read":
            self._operations[self._at][2] = list(rows[0][0]) if rows else []
        self._at += 1
        if self._at == len(self._operations):
            self.decisive = True
            return "COMMIT", ()
        statement, values = self._statement(*self._operations[self._at])
        return (f"BEGIN ISOLATION LEVEL {self._lists.isolation}; {statement}" if self._at == 0 else statement), values

    def undone(self, error: Exception) -> bool:
        """A conflict with another transaction leaves the session usable."""
        return str(getattr(error, "pgcode", None) or "").startswith(CONFLICT)

    def _statement(self, kind: str, key: int, value: Any) -> Sent:
        if kind == "read":
            return READ.format(table=self._lists.table), (key,)
        return APPEND.format(table=self._lists.table), (key, value)


def drawn(lists: Lists, keys: Keys, sequence: int) -> list[list[Any]]:
    """Return the operations of a client's attempt; reads have no values yet."""
    chance = random.Random(f"{lists.table} {lists.number} {sequence}")  # noqa: S311 - not for secrets
    reads_only = not lists.writes or chance.random() < READ_ONLY
    operations = []
    for place in range(chance.randint(2, MOST_OPERATIONS)):
        key = keys.drawn(chance)
        value = lists.number * MOST_ATTEMPTS * MOST_OPERATIONS + sequence * MOST_OPERATIONS + place
        append = not reads_only and (place == 0 or chance.random() < 0.5)
        operations.append(["append", key, value] if append else ["read", key, None])
    chance.shuffle(operations)
    return operations
