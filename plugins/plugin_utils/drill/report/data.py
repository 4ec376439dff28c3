# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill as plain data for report.json, which docs/drill-report.schema.json describes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.consistency import acknowledged
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Budget, Ledger, Verdict
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.run import FaultResult, Run
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto import outlook

FORMAT = "holdfast-drill-report/1"
DECIMALS = 3


def as_data(run: Run) -> dict[str, Any]:
    """Return a drill as plain data."""
    return {
        "format": FORMAT,
        "cluster": run.cluster,
        "begun": run.begun.isoformat(timespec="seconds"),
        "seconds": rounded(run.seconds),
        "passed": run.passed,
        "failure": run.failure,
        "unjudged": [asdict(injection) for injection in run.unjudged],
        "command": run.command,
        "settings": dict(run.settings),
        "versions": dict(run.versions),
        "load": dict(run.load),
        "skipped": dict(run.skipped),
        "profile": run.profile,
        "hosts": [asdict(host) for host in run.hosts],
        "prediction": outlook.as_data(run.outlook),
        "faults": [fault_data(fault, run.containers) for fault in run.faults],
    }


def fault_data(fault: FaultResult, containers: bool) -> dict[str, Any]:
    """Return one fault with its injections."""
    return {
        "fault": fault.fault,
        "description": CATALOGUE[fault.fault].sentences(containers),
        "passed": fault.passed,
        "rto": rounded(asdict(fault.rto)),
        "read_gap": rounded(asdict(fault.read_gap)),
        "naive_gap": rounded(asdict(fault.naive_gap)),
        "pooled_gap": rounded(asdict(fault.pooled_gap)) if fault.pooled_gap else None,
        "acknowledged": fault.total("acknowledged"),
        "lost": fault.lost,
        "unknown": fault.total("unknown"),
        "warned": fault.total("warned"),
        "read_errors": fault.total("read_errors"),
        "pooled_errors": fault.total("pooled_errors"),
        "injections": [injection_data(*result) for result in fault.results],
    }


def injection_data(ledger: Ledger, verdict: Verdict, budget: Budget) -> dict[str, Any]:
    """Return one injection; times are seconds after the injection."""
    return {
        "repetition": ledger.repetition,
        "passed": not verdict.breaches,
        "proof": ledger.proof,
        "primary_before": ledger.primary_before,
        "primary_after": ledger.primary_after,
        "budget": rounded(asdict(budget)),
        "rto": rounded(verdict.rto),
        "write_gap": [after(ledger, at) for at in verdict.write_gap],
        "resumed_after_healing": rounded(verdict.resumed),
        "read_gap": rounded(verdict.read_gap),
        "naive_gap": rounded(verdict.naive_gap),
        "acknowledged": verdict.acknowledged,
        "unknown": verdict.unknown,
        "warned": verdict.warned,
        "read_errors": verdict.read_errors,
        "pooled_gap": rounded(verdict.pooled_gap),
        "pooled_errors": verdict.pooled_errors,
        "lost": [list(key) for key in verdict.lost],
        "missing_on_standbys": [list(key) for key in verdict.missing],
        "duplicated": [list(key) for key in verdict.duplicated],
        "alerts": [rounded(asdict(one)) for one in verdict.heard] if ledger.monitor else None,
        **({"consistency": consistency_data(ledger, verdict)} if ledger.consistency else {}),
        "breaches": [asdict(breach) for breach in verdict.breaches],
        "recorded": {name: after(ledger, getattr(ledger, name)) for name in ("begun", "healed", "ended")},
        "events": [{**asdict(event), "at": after(ledger, event.at)} for event in ledger.events],
        "recovery": rounded(dict(ledger.recovery)),
        "phases": rounded(dict(ledger.phases)),
        "cut_off": {host: [[after(ledger, at) for at in span] for span in spans] for host, spans in ledger.cut.items()},
        "clock_uncertainty": {name: round(value, 6) for name, value in ledger.clock_uncertainty.items()},
    }


def consistency_data(ledger: Ledger, verdict: Verdict) -> dict[str, Any]:
    """Return the acknowledged transactions on lists by port, and their anomalies."""
    return {"transactions": acknowledged(ledger), "anomalies": [rounded(asdict(one)) for one in verdict.anomalies]}


def after(ledger: Ledger, at: float) -> float:
    """Return a time as seconds after the injection."""
    return round(at - ledger.injected, DECIMALS)


def rounded(value: Any) -> Any:
    """Return a value whose times are cut to milliseconds."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return round(value, DECIMALS) if isinstance(value, float) else value
