# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real drill with asynchronous replication, which lost rows."""

from __future__ import annotations

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import BUDGETS
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.analysis import judge
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.budgets import Timings, default_budget

from tests.unit.plugins.plugin_utils.drill.ledgers import recorded


def test_lost_rows_are_counted() -> None:
    record = recorded("asynchronous_primary_cut_from_peers")
    verdict = judge(record, default_budget(BUDGETS[record.fault], Timings(synchronous_mode=False)))
    assert len(verdict.lost) == 259
    assert any(writer.startswith("local-") for writer, _sequence in verdict.lost)
    assert "lost_acknowledged" in {breach.rule for breach in verdict.breaches}
