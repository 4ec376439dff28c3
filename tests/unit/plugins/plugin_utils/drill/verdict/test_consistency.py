# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which anomalies break a drill, and how they are told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import Name, Transaction
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report import files as report
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.data import injection_data
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.files import Run
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import ledger_file
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.analysis import judge
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Ledger
from jsonschema import Draft202012Validator

from tests.unit.plugins.plugin_utils.consistency.histories import final, one, standby, unknown
from tests.unit.plugins.plugin_utils.drill.ledgers import BUDGET, ledger

ROOT = Path(__file__).resolve().parents[6]
SCHEMA = json.loads((ROOT / "docs/drill-report.schema.json").read_text())
CALM = (one("a", 11, 12, "x+1 y?"), standby("s", 13, 14, "x:1"), final("x:1"))
BEHIND = (one("a", 11, 12, "x+1"), standby("s", 13, 14, "x:"), standby("s", 15, 16, "x:"), final("x:1"))
STALE = (one("a", 11, 12, "x+1"), one("b", 13, 14, "x:"), final("x:1"))


def recorded(*transactions: Transaction) -> Ledger:
    return ledger(consistency=True, transactions=transactions)


def test_a_calm_history_breaks_nothing() -> None:
    verdict = judge(recorded(*CALM), BUDGET)
    assert (verdict.anomalies, verdict.breaches) == ((), ())


def test_what_standbys_show_is_counted() -> None:
    verdict = judge(recorded(*BEHIND), BUDGET)
    (found,) = verdict.anomalies
    assert (found.name, found.port, found.count, found.seconds) == ("stale_read", "standby", 2, 3.0)
    assert "5.000 to 6.000 s" in found.example[1]  # after the injection
    assert verdict.breaches == ()


def test_a_write_that_a_standby_had_and_that_is_lost_is_told() -> None:
    verdict = judge(
        recorded(one("a", 5, 6, "y?"), unknown("a", 11, 12, "x+1"), standby("s", 13, 14, "x:1"), final("")), BUDGET
    )
    assert [(found.name, found.port) for found in verdict.anomalies] == [("G1a", "standby")]
    assert verdict.breaches == ()


def test_half_of_a_snapshot_breaks_a_drill_on_a_standby_too() -> None:
    found = judge(recorded(one("a", 11, 14, "x+1 y+2"), standby("s", 12, 14, "x:1 y:"), final("x:1 y:2")), BUDGET)
    assert [breach.rule for breach in found.breaches] == ["inconsistent"]
    assert found.breaches[0].text.startswith("1 × on the standbys' port: G-single: ")


@pytest.mark.parametrize(("two_primaries", "broken"), [(0.0, True), (0.5, False), (0.2, True)])
def test_an_old_primary_serves_old_reads_as_long_as_it_may_go_on(two_primaries: float, broken: bool) -> None:
    verdict = judge(recorded(*STALE), replace(BUDGET, two_primaries=two_primaries))
    assert [(found.name, found.port, found.seconds) for found in verdict.anomalies] == [("stale_read", "primary", 1.0)]
    assert [breach.rule for breach in verdict.breaches] == (["inconsistent"] if broken else [])


def test_clients_that_recorded_nothing_break_a_drill() -> None:
    assert [breach.rule for breach in judge(recorded(), BUDGET).breaches] == ["no_samples"]


def test_without_the_clients_a_ledger_stays_as_it_was() -> None:
    assert not {"consistency", "transactions"} & ledger_file.as_data(ledger()).keys()
    assert "consistency" not in injection_data(ledger(), judge(ledger(), BUDGET), BUDGET)


def test_transactions_come_back(tmp_path: Path) -> None:
    ledger_file.write(recorded(*CALM), tmp_path / "ledger.json.gz")
    found = ledger_file.read(tmp_path / "ledger.json.gz")
    assert (found.consistency, found.transactions) == (True, CALM)


def test_reports_have_the_anomalies(run: Run, tmp_path: Path) -> None:
    records = (recorded(*BEHIND), recorded(*STALE))
    results = tuple((record, judge(record, BUDGET), BUDGET) for record in records)
    both = replace(run, results=results)
    report.write(both, tmp_path)
    document = json.loads((tmp_path / "report.json").read_text())
    Draft202012Validator(SCHEMA).validate(document)
    behind, stale = (one["consistency"] for one in document["faults"][0]["injections"])
    assert behind["transactions"] == {"primary": 1, "standby": 2}
    assert [(found["name"], found["port"]) for found in stale["anomalies"]] == [("stale_read", "primary")]
    text = "1 transaction on the primary's ports: no anomaly; 2 transactions on the standbys' port: 2 × stale_read"
    assert f"  1. primary_power_loss 1: {text} (at most 3.00 s)" in report.table(both).splitlines()
    page = (tmp_path / "report.html").read_text()
    assert "<dt>Consistency</dt><dd>1 transaction on the primary&#39;s ports: no anomaly" in page
    assert "T1 → T2 (rw): T1 read 24 without 1, which T2 appended" in page


def test_every_name_is_in_the_schema() -> None:
    consistency = SCHEMA["$defs"]["injection"]["properties"]["consistency"]
    names = consistency["properties"]["anomalies"]["items"]["properties"]["name"]["enum"]
    assert names == [*Name]
