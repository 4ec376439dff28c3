# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Histories in a short form: "x+1" appends 1 to x, "x:1,2" reads x as [1, 2], "x?" reads x without an answer."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.check import check
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import (
    Anomaly,
    Append,
    Fate,
    Look,
    Name,
    Operation,
    Route,
    Transaction,
)

END = 1000.0


def operation(text: str) -> Operation:
    key = ord(text[0]) - ord("a") + 1
    if text[1] == "+":
        return Append(key, int(text[2:]))
    if text[1] == "?":
        return Look(key, None)
    return Look(key, tuple(map(int, filter(None, text[2:].split(",")))))


def one(client: str, begun: float, ended: float, text: str, **more: Any) -> Transaction:
    """A transaction; its sequence is its time, in tenths of a second."""
    values: dict[str, Any] = {"route": Route.PRIMARY, "fate": Fate.OK, "server": "db1", **more}
    operations = tuple(map(operation, text.split()))
    return Transaction(client, round(begun * 10), begun=begun, ended=ended, operations=operations, **values)


def failed(client: str, begun: float, ended: float, text: str) -> Transaction:
    return one(client, begun, ended, text, fate=Fate.FAILED)


def unknown(client: str, begun: float, ended: float, text: str) -> Transaction:
    return one(client, begun, ended, text, fate=Fate.UNKNOWN)


def standby(client: str, begun: float, ended: float, text: str) -> Transaction:
    return one(client, begun, ended, text, route=Route.STANDBY)


def final(text: str) -> Transaction:
    return one("final", END, END, text, route=Route.FINAL)


def names(found: tuple[Anomaly, ...]) -> dict[str, int]:
    """How often each anomaly was found; "standby " precedes those that only a standby shows."""
    return dict(Counter(("standby " if anomaly.on_standby else "") + anomaly.name for anomaly in found))


def found(*transactions: Transaction) -> dict[str, int]:
    return names(check(transactions))


def primary(transactions: list[Transaction]) -> set[Name]:
    """The anomalies that transactions on the primary show."""
    return {anomaly.name for anomaly in check(transactions) if not anomaly.on_standby}
