# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The anomalies of the transactions on lists, and which of them break a drill."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.check import check
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import Anomaly, Name
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.words import explained
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.invariants import STALE
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import (
    Breach,
    Budget,
    Found,
    Ledger,
    Verdict,
)

PRIMARY, STANDBY = "primary", "standby"
PORTS = {PRIMARY: "the primary's ports", STANDBY: "the standbys' port"}
OF_STANDBYS = {Name.STALE_READ, Name.LONG_FORK, Name.G2_ITEM, Name.G1A}
"""What a standby may show: an older state, commits in another order than the primary, and what is lost later."""


def anomalies(ledger: Ledger) -> tuple[Found, ...]:
    """Return the anomalies by port and name, in the order in which the checker names them."""
    groups: dict[tuple[str, Name], list[Anomaly]] = {}
    for anomaly in check(ledger.transactions):
        groups.setdefault((STANDBY if anomaly.on_standby else PRIMARY, anomaly.name), []).append(anomaly)
    order = [(port, name) for port in (PRIMARY, STANDBY) for name in Name if (port, name) in groups]
    return tuple(found(*place, groups[place], ledger.injected) for place in order)


def found(port: str, name: Name, several: list[Anomaly], origin: float) -> Found:
    """Return anomalies of one name; the example of stale reads is the oldest."""
    oldest = max(several, key=lambda anomaly: anomaly.seconds or 0.0)
    return Found(name, port, len(several), tuple(explained(oldest, origin)), oldest.seconds)


def breaches(budget: Budget, verdict: Verdict) -> Iterator[Breach]:
    """Yield the anomalies that may not be."""
    for one in verdict.anomalies:
        if not permitted(one, budget):
            yield Breach("inconsistent", f"{one.count} × on {PORTS[one.port]}: {'; '.join(one.example)}")


def permitted(one: Found, budget: Budget) -> bool:
    """Return whether an anomaly may be.

    Where an old primary may go on beside the new one for some seconds, it serves old reads as long.
    """
    if one.port == STANDBY:
        return one.name in OF_STANDBYS
    stale = one.name == Name.STALE_READ and one.seconds is not None
    return stale and budget.two_primaries > 0 and (one.seconds or 0.0) <= budget.two_primaries + STALE
