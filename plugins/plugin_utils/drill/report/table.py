# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill as text for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report import alerts, consistency
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.run import FaultResult, Run, Spread
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.words import counted
from ansible_collections.holdfast.ha.plugins.plugin_utils.table import table

HEAD = (
    "fault",
    "runs",
    "RTO",
    "(min–max)",
    "budget",
    "predicted",
    "read gap",
    "naive gap",
    "pooled (max)",
    "lost",
    "unknown",
    "verdict",
)
ALERT_HEAD = ("fault", "alert", "about", "fired after", "had to within", "ended after recovery", "")


def as_table(run: Run) -> str:
    """Return the results as aligned lines, followed by failures, breaches and skipped faults."""
    state = "passed" if run.passed else "FAILED"
    injections = counted(len(run.results), "injection")
    lines = [f"Drill of {run.cluster}: {state}, {injections} judged in {run.seconds:.0f} s"]
    lines += [table(filled([HEAD, *(row(fault) for fault in run.faults)]))] if run.results else []
    lines += ["", table([ALERT_HEAD, *map(alert_row, heard)])] if (heard := alerts.rows(run)) else []
    spent = ", ".join(f"{phase} {took:.0f} s" for phase, took in run.phases.items())
    lines += ["", f"Where the time went: {spent}"] if spent else []
    lines += section("The drill itself failed:", [run.failure] if run.failure else [])
    lines += section("Not judged:", list(map(str, run.unjudged)))
    lines += section("Consistency:", list(consistency.lines(run)))
    lines += section("Broken rules:", list(breach_lines(run)))
    lines += section("Not injected:", [f"{fault}: {reason}" for fault, reason in run.skipped.items()])
    return "\n".join(lines)


def filled(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return rows without columns that are empty below their head."""
    kept = [cells for cells in zip(*rows, strict=True) if {*cells[1:]} - {"", "–"}]
    return [list(row) for row in zip(*kept, strict=True)]


def row(fault: FaultResult) -> list[str]:
    """Return the row of one fault; readers and the naive client have their largest gap only."""
    rto, pooled = fault.rto, fault.pooled_gap
    return [
        fault.fault,
        str(len(fault.results)),
        seconds(rto.median),
        ends(rto) if len(fault.results) > 1 else "",
        seconds(fault.budget.writes),
        seconds(fault.budget.predicted),
        seconds(fault.read_gap.max),
        seconds(fault.naive_gap.max),
        f"{seconds(pooled.median)} ({seconds(pooled.max)})" if pooled else "–",
        str(fault.lost),
        str(fault.total("unknown")),
        "ok" if fault.passed else f"FAILED: {', '.join(dict.fromkeys(breach.rule for breach in fault.breaches))}",
    ]


def alert_row(row: alerts.Row) -> list[str]:
    """Return the row of an alert of a fault."""
    return [
        row.fault,
        row.alert or "none",
        ", ".join(row.hosts),
        span(row.fired),
        seconds(row.due),
        span(row.settled),
        "kept quiet" if row.quiet else "",
    ]


def span(values: Spread | None) -> str:
    """Return a number of seconds, or the smallest and the largest of several, a dash without any."""
    if values is None:
        return "–"
    return seconds(values.median) if values.min == values.max else ends(values).strip("()")


def seconds(value: float | None) -> str:
    """Return 0.31 s or 22.4 s, a dash without a value."""
    if value is None:
        return "–"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def ends(values: Spread) -> str:
    """Return the smallest and the largest value."""
    return f"({seconds(values.min).removesuffix(' s')}–{seconds(values.max)})"


def breach_lines(run: Run) -> Iterator[str]:
    """Yield a sentence for each breach."""
    for verdict, breach in run.breaches:
        yield f"{verdict.fault} {verdict.repetition}: {breach.text} [{breach.rule}]"


def section(title: str, items: Sequence[str]) -> list[str]:
    """Return a titled, numbered list, empty without items."""
    return ["", title, *(f"  {number}. {item}" for number, item in enumerate(items, 1))] if items else []
