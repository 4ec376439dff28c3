# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The transactions on lists, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import Fate, Route
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.consistency import PORTS, PRIMARY, STANDBY
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Found, Ledger, Verdict
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.run import Run


def acknowledged(ledger: Ledger) -> dict[str, int]:
    """Return the number of acknowledged transactions by port."""
    routes = Counter(own.route for own in ledger.transactions if own.fate is Fate.OK)
    return {PRIMARY: routes[Route.PRIMARY] + routes[Route.POOLED], STANDBY: routes[Route.STANDBY]}


def sentence(ledger: Ledger, verdict: Verdict) -> str:
    """Return how many transactions each port served, and which anomalies they have."""
    parts = []
    for port, number in acknowledged(ledger).items():
        several = ", ".join(map(one, (found for found in verdict.anomalies if found.port == port)))
        parts.append(f"{number:,} transaction{'' if number == 1 else 's'} on {PORTS[port]}: {several or 'no anomaly'}")
    return "; ".join(parts)


def one(found: Found) -> str:
    """Return an anomaly with its number."""
    age = "" if found.seconds is None else f" (at most {found.seconds:.2f} s)"
    return f"{found.count} × {found.name}{age}"


def lines(run: Run) -> Iterator[str]:
    """Yield the sentence of each injection that has one."""
    for ledger, verdict, _budget in run.results:
        if ledger.consistency:
            yield f"{ledger.fault} {ledger.repetition}: {sentence(ledger, verdict)}"
