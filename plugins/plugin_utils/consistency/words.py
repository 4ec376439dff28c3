# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Anomalies in words: what is wrong, the transactions in question, and why each comes before the next."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import (
    Anomaly,
    Append,
    Edge,
    Fate,
    Kind,
    Name,
    Operation,
    Route,
    Transaction,
    Version,
)

MEANINGS: Mapping[Name, str] = {
    Name.LOST_APPEND: "an acknowledged append is not in the list at the end",
    Name.PARTIAL: "one part of a transaction was applied, another was not",
    Name.G0: "the appends of some transactions stand in one order in one list, in the other in another",
    Name.G1A: "a read has a value that was not committed, or was lost later",
    Name.G1B: "a read ends in the middle of another transaction",
    Name.G1C: "some transactions depend on each other in a circle",
    Name.LOST_UPDATE: "several transactions read the same version of a list and appended to it",
    Name.G_SINGLE: "a transaction read one list before, another after a transaction of others",
    Name.LONG_FORK: "two readers saw two transactions in opposite orders",
    Name.G2_ITEM: "transactions that missed each other's appends have no serial order",
    Name.STALE_READ: "a read lacks a value that was visible before it began",
    Name.REAL_TIME: "the only serial order contradicts the order in time",
    Name.INTERNAL: "a transaction does not read its own appends, or reads differently the second time",
    Name.INCOMPATIBLE_ORDER: "two reads of a list have its values in different orders",
    Name.DUPLICATE: "a value is in a list twice",
    Name.GARBAGE: "a list has a value that no client appended",
}
FATES: Mapping[Fate, str] = {
    Fate.OK: "acknowledged",
    Fate.FAILED: "failed",
    Fate.UNKNOWN: "never answered",
}
SHOWN = 4
"""The values of a list that are shown, from its end."""


def explained(anomaly: Anomaly, origin: float = 0.0) -> list[str]:
    """Return an anomaly as lines; times are seconds after the origin."""
    names = named(anomaly)
    return [
        f"{anomaly.name}: {MEANINGS[anomaly.name]}{detail(anomaly)}",
        *(f"{name} = {transaction(own, origin)}" for own, name in names.values()),
        *(edge_text(edge, names) for edge in anomaly.edges),
    ]


def named(anomaly: Anomaly) -> dict[int, tuple[Transaction, str]]:
    """Return T1, T2, … for the transactions of an anomaly."""
    own = (anomaly.seen, *anomaly.others, *(edge.target for edge in anomaly.edges))
    unique = {id(found): found for found in own}
    return {key: (found, f"T{number}") for number, (key, found) in enumerate(unique.items(), 1)}


def detail(anomaly: Anomaly) -> str:
    """Return the list and the values in question."""
    place = "" if anomaly.key is None else f"; key {anomaly.key}"
    values = f", {listed(anomaly.values)}" if anomaly.values else ""
    since = "" if anomaly.seconds is None else f"; visible {anomaly.seconds:.3f} s before"
    return f"{place}{values}{since}"


def transaction(own: Transaction, origin: float) -> str:
    """Return who did what, where and when."""
    where = f" on {own.server}" if own.server else ""
    times = f"{own.begun - origin:.3f} to {own.ended - origin:.3f} s"
    what = ", ".join(map(operation, own.operations))
    way = "directly" if own.route is Route.FINAL else f"through pool {own.route}"
    return f"{own} {way}{where}, {times}, {FATES[own.fate]}: {what}"


def operation(one: Operation) -> str:
    """Return an operation."""
    if isinstance(one, Append):
        return f"append {one.value} to {one.key}"
    return f"read {one.key}: {'no answer' if one.values is None else listed(one.values)}"


def listed(values: Version) -> str:
    """Return the end of a list."""
    shown = " ".join(map(str, values[-SHOWN:]))
    return f"[… {shown}]" if len(values) > SHOWN else f"[{shown}]"


def edge_text(edge: Edge, names: Mapping[int, tuple[Transaction, str]]) -> str:
    """Return why one transaction comes before another."""
    one, other = names[id(edge.source)][1], names[id(edge.target)][1]
    reasons = {
        Kind.WW: f"{one}'s append to {edge.key} stands before {other}'s",
        Kind.WR: f"{other} read {edge.value} in {edge.key}, which {one} appended",
        Kind.RW: f"{one} read {edge.key} without {edge.value}, which {other} appended",
        Kind.SESSION: f"{one} is the same client's earlier transaction",
        Kind.TIME: f"{one} was acknowledged {edge.target.begun - edge.source.ended:.3f} s before {other} began",
    }
    return f"{one} → {other} ({edge.kind}): {reasons[edge.kind]}"
