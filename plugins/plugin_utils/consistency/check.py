# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Searches a recorded history for anomalies, as Elle does for lists (Kingsbury and Alvaro, VLDB 2020).

Elle itself needs a JVM, and there is no such library in Python. Of a library of graphs this would use two functions,
which graph.py has in a hundred lines.
"""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.cycles import cycles, forks
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.dependencies import dependencies
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.direct import direct
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.history import History
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import Anomaly, Name, Transaction

CYCLIC = {Name.G1B, Name.LOST_UPDATE, Name.STALE_READ}
"""What is found without a search for cycles, though each of them makes one."""


def check(transactions: Sequence[Transaction]) -> tuple[Anomaly, ...]:
    """Return the anomalies of a history.

    Transactions on the primary must fit one serial order that agrees with real time. Those on standbys may see an
    older state; how they deviate from that order is returned too, with them as ``seen``.
    """
    history = History(transactions)
    graph = dependencies(history)
    found = [*direct(history)]
    numbers = {id(own): at for at, own in enumerate(history.transactions)}
    explained = {
        numbers[id(own)]
        for one in found
        if one.name in CYCLIC and not one.on_standby
        for own in (one.seen, *one.others)
        if id(own) in numbers
    }
    return (*found, *cycles(history, graph, explained), *forks(history, graph))
