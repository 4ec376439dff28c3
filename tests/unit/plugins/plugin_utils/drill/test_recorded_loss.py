# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real drill with asynchronous replication, which lost rows."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import ledger_file
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.analysis import judge
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.budgets import Timings, default_budget

RECORD = Path(__file__).parent / "data/asynchronous_primary_cut_from_peers.ledger.json.gz"


def test_lost_rows_are_counted() -> None:
    record = ledger_file.read(RECORD)
    verdict = judge(record, default_budget(record.fault, Timings(synchronous_mode=False)))
    assert len(verdict.lost) == 259
    assert any(writer.startswith("local-") for writer, _sequence in verdict.lost)
    assert "lost_acknowledged" in {breach.rule for breach in verdict.breaches}
