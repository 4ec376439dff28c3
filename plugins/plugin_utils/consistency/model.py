# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transactions that append to lists and read them, and the anomalies between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Version = tuple[int, ...]
"""The values of a list at some time."""


class Fate(StrEnum):
    """A client's knowledge of its transaction when it stops waiting."""

    OK = "ok"  # the commit returned, without a warning
    FAILED = "failed"  # certainly not committed
    UNKNOWN = "unknown"  # the commit was sent: it may have been applied, then or later


class Route(StrEnum):
    """The way of a transaction to a member."""

    PRIMARY = "primary"  # the pool that leads to the primary
    POOLED = "pooled"  # the poolers, which lead to the primary
    STANDBY = "standby"  # the pool that leads to the standbys
    FINAL = "final"  # the leader itself, when all clients have ended


@dataclass(frozen=True, slots=True)
class Append:
    """A value appended to the list of a key; no value is appended twice."""

    key: int
    value: int


@dataclass(frozen=True, slots=True)
class Look:
    """The values that a transaction read from a key, in their order; None: no answer."""

    key: int
    values: Version | None


Operation = Append | Look


def operation(fields: Sequence[Any]) -> Operation:
    """Return an operation from its plain form, ["append", key, value] or ["read", key, values]."""
    kind, key, value = fields
    if kind == "append":
        return Append(key, value)
    return Look(key, None if value is None else tuple(value))


def plain(one: Operation) -> list[Any]:
    """Return the plain form of an operation."""
    if isinstance(one, Append):
        return ["append", one.key, one.value]
    return ["read", one.key, None if one.values is None else [*one.values]]


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction: (client, sequence) is its unique name, server the member's name if it is known."""

    client: str
    sequence: int
    route: Route
    begun: float
    ended: float
    fate: Fate
    operations: tuple[Operation, ...]
    server: str = ""
    error: str = ""

    def __str__(self) -> str:
        return f"{self.client}/{self.sequence}"


class Kind(StrEnum):
    """Why one transaction comes before another."""

    WW = "ww"  # its value stands right before the other's in a list
    WR = "wr"  # the other read its value
    RW = "rw"  # it did not read the other's value
    SESSION = "session"  # the same client ran it first
    TIME = "real time"  # it was acknowledged before the other began


@dataclass(frozen=True, slots=True)
class Edge:
    """One transaction before another; key and value: of the append that shows it, None for orders in time."""

    source: Transaction
    target: Transaction
    kind: Kind
    key: int | None = None
    value: int | None = None


class Name(StrEnum):
    """The anomalies, as in the literature (Adya, Elle) where they have a name there."""

    LOST_APPEND = "lost_append"
    PARTIAL = "partial"
    G0 = "G0"
    G1A = "G1a"
    G1B = "G1b"
    G1C = "G1c"
    LOST_UPDATE = "lost_update"
    G_SINGLE = "G-single"
    LONG_FORK = "long_fork"
    G2_ITEM = "G2-item"
    STALE_READ = "stale_read"
    REAL_TIME = "real_time"
    INTERNAL = "internal"
    INCOMPATIBLE_ORDER = "incompatible_order"
    DUPLICATE = "duplicate"
    GARBAGE = "garbage"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """What no serial order in real time explains.

    seen: the transaction that shows it; others: those that it contradicts; edges: the cycle, if it is one; key and
    values: of the list in question; seconds: for how long, at least, a stale read's missing value was visible before.
    """

    name: Name
    seen: Transaction
    others: tuple[Transaction, ...] = ()
    edges: tuple[Edge, ...] = ()
    key: int | None = None
    values: Version = ()
    seconds: float | None = None

    @property
    def on_standby(self) -> bool:
        """Whether only a transaction on a standby shows it."""
        return self.seen.route is Route.STANDBY
