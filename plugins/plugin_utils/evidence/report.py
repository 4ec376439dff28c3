# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of an evidence: evidence.json, the ledger, report.html as of a drill, and a table for the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.page import Words, as_page
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.table import seconds, section
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import ledger_file
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Breach, Ledger, Verdict
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.run import Run
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.words import counted
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.judge import WHOLE, Found, Group, Tally
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.load import LIFETIME
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.plan import EvidencePlan
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.waits import Wait
from ansible_collections.holdfast.ha.plugins.plugin_utils.table import table

FORMAT = "holdfast-evidence/1"
LEDGER = "evidence.ledger.json.gz"
KINDS = {
    "direct": f"direct writers, connections renewed every {LIFETIME:g} s",
    "direct-kept": "direct writer that keeps its connection",
    "pooled": f"pooled clients, connections renewed every {LIFETIME:g} s",
    "pooled-kept": "pooled client that keeps its connection",
    "readers": f"readers, connections renewed every {LIFETIME:g} s",
    "naive": f"naive client, connection renewed every {LIFETIME:g} s",
}
HEAD = ("step", "lasted", "rows", "lost", "direct wait", "failed", "pooled wait", "failed", "read wait", "failed")


class EvidenceRun(Run):
    """A run whose first result is the whole, which the others are parts of."""

    @property
    def breaches(self) -> tuple[tuple[Verdict, Breach], ...]:
        """Return the breaches of the whole."""
        return tuple((verdict, breach) for _ledger, verdict, _budget in self.results[:1] for breach in verdict.breaches)

    @property
    def acknowledged(self) -> int:
        """Return the number of acknowledged rows."""
        return self.results[0][1].acknowledged if self.results else 0

    @property
    def lost(self) -> int:
        """Return the number of lost rows."""
        return len(self.results[0][1].lost) if self.results else 0


@dataclass(frozen=True, slots=True)
class Report:
    """What is reported: notes are remarks that break nothing."""

    plan: EvidencePlan
    run: EvidenceRun
    ledger: Ledger
    found: Found
    notes: tuple[str, ...] = ()


def write(report: Report, directory: Path) -> None:
    """Write all files into a directory, the ledger first."""
    ledger_file.write(report.ledger, directory / LEDGER)
    data = json.dumps(as_data(report), indent=1, ensure_ascii=False)
    (directory / "evidence.json").write_text(f"{data}\n", encoding="utf-8")
    (directory / "report.html").write_text(as_page(report.run, words(report)), encoding="utf-8")


# Data


def as_data(report: Report) -> dict[str, Any]:
    """Return the report as plain data; times are seconds after the record's begin."""
    run, plan, found = report.run, report.plan, report.found
    return {
        "format": FORMAT,
        "cluster": run.cluster,
        "title": plan.title,
        "begun": run.begun.isoformat(timespec="seconds"),
        "seconds": round(run.seconds, 3),
        "passed": run.passed,
        "failure": run.failure,
        "budgets": asdict(plan.limits),
        "breaches": [asdict(breach) for breach in found.breaches],
        "notes": list(report.notes),
        "kinds": {name: KINDS[name] for name in found.whole.groups},
        "whole": tally_data(found.whole, report.ledger.begun),
        "steps": [tally_data(step, report.ledger.begun) for step in found.steps],
        "hosts": [asdict(host) for host in run.hosts],
        "clock_uncertainty": {name: round(value, 6) for name, value in report.ledger.clock_uncertainty.items()},
    }


def tally_data(found: Tally, begun: float) -> dict[str, Any]:
    """Return a tally as plain data."""
    step = found.step
    counts = ("acknowledged", "lost", "missing", "duplicated", "refused", "unknown", "warned")
    return {
        "host": step.host,
        "text": step.text,
        "begin": round(step.begin - begun, 3),
        "end": round(step.end - begun, 3),
        "finished": step.finished,
        **{name: getattr(found, name) for name in counts},
        "clients": {name: group_data(group, begun) for name, group in found.groups.items()},
    }


def group_data(group: Group, begun: float) -> dict[str, Any]:
    """Return a kind of clients as plain data; the longest wait has its client and its begin."""
    wait = group.wait
    return {
        "attempts": group.attempts,
        "failed": group.failed,
        "unknown": group.unknown,
        "broken_idle": group.broken,
        "error": group.error,
        "longest_wait": None if wait is None else round(wait.seconds, 3),
        "waited": "" if wait is None else wait.client,
        "waited_at": None if wait is None else round(wait.begun - begun, 3),
    }


def summary(report: Report) -> dict[str, Any]:
    """Return the numbers that a task returns."""
    data = as_data(report)
    counts = ("acknowledged", "lost", "duplicated", "refused", "unknown", "clients")
    return {**{name: data["whole"][name] for name in counts}, "steps": data["steps"]}


# The terminal


def as_text(report: Report) -> str:
    """Return the result as a table with a row per step, and what is wrong."""
    run, found = report.run, report.found
    state, whole = "passed" if run.passed else "FAILED", found.whole
    counts = f"{counted(whole.acknowledged, 'row')} acknowledged, {whole.lost} lost, {whole.duplicated} stored twice"
    lines = [f"Evidence of {report.plan.title} on {run.cluster}: {state}, {counts}, in {run.seconds:.0f} s"]
    lines += [table([HEAD, *(row(step) for step in (*found.steps, found.whole))])]
    lines += section("The recording itself failed:", [run.failure] if run.failure else [])
    lines += section("Broken rules:", [f"{breach.text} [{breach.rule}]" for breach in found.breaches])
    lines += section("Notes:", report.notes)
    return "\n".join(lines)


def row(found: Tally) -> list[str]:
    """Return the row of one step, or of the whole."""
    step = found.step
    name = f"{step.host}: {step.text}" if step.host else step.text
    cells = [name, f"{step.end - step.begin:.0f} s", str(found.acknowledged), str(found.lost)]
    for kind in ("direct", "pooled", "readers"):
        cells += [length(found.wait(kind)), str(found.failed(kind)) if found.of(kind) else "–"]
    return cells


def length(wait: Wait | None) -> str:
    """Return a wait's seconds, a dash without one."""
    return seconds(wait.seconds if wait else None)


# The page


def words(report: Report) -> Words:
    """Return what the page says of a piece of work instead of a drill."""
    tallies = {WHOLE: report.found.whole, **{f"step-{at}": one for at, one in enumerate(report.found.steps, 1)}}

    def heading(name: str) -> str:
        step = tallies[name].step
        return f"{step.host}: {step.text}" if step.host else "The whole work"

    return Words(
        name=f"Evidence of {report.plan.title}",
        itself="recording",
        unit="Step",
        origin="the begin",
        beyond=" of any direct client; the wait of each single client stands with its step",
        clients="the clients",
        proof="Work",
        heals=False,
        part=lambda ledger: f"{ledger.ended - ledger.begun:.0f} s",
        title=heading,
        about=lambda name, _containers: about(tallies[name]),
        lead=lambda _run: lead(report),
        figures=lambda _run: list(figures(report)),
        facts=lambda ledger: list(facts(tallies[ledger.fault])),
        legend=(("step", "work on a host, from its begin to its end"),),
    )


def lead(report: Report) -> str:
    """Return the verdict as a sentence."""
    found, run = report.found, report.run
    if run.passed:
        limited = any(value is not None for value in asdict(report.plan.limits).values())
        kept = "all budgets kept, " if limited else ""
        return f"{counted(len(found.steps), 'step')}: {kept}no acknowledged row lost, none stored twice."
    text = "; ".join([*(breach.text for breach in found.breaches), *([run.failure] if run.failure else [])])
    return f"{text[:1].upper()}{text[1:]}."


def figures(report: Report) -> Iterator[tuple[str, str]]:
    """Yield the numbers at the top."""
    whole = report.found.whole
    yield "steps", str(len(report.found.steps))
    for kind in ("pooled", "direct"):
        if whole.of(kind):
            yield f"longest {kind} wait", length(whole.wait(kind))
            yield f"{kind} transactions failed", str(whole.failed(kind))


def about(found: Tally) -> str:
    """Return the description of a step."""
    unfinished = "" if found.step.finished else " Its end was not recorded."
    rows = f"{counted(found.acknowledged, 'row')} acknowledged, {found.lost} lost, {found.duplicated} stored twice"
    return f"{rows}, {found.refused} refused, {found.unknown} with an unknown outcome.{unfinished}"


def facts(found: Tally) -> Iterator[tuple[str, str]]:
    """Yield what each kind of clients saw."""
    for name, group in found.groups.items():
        yield KINDS[name][:1].upper() + KINDS[name][1:], saw(group)


def saw(group: Group) -> str:
    """Return what a kind of clients saw, in words."""
    open_end = ", not answered" if group.wait and not group.wait.answered else ""
    parts = (
        f"{length(group.wait)} longest wait{open_end}" if group.wait else "no wait",
        f"{group.failed} of {group.attempts} failed",
        f"{group.unknown} unknown" if group.unknown else "",
        f"{counted(group.broken, 'idle connection')} ended" if group.broken else "",
        f"first error: {group.error}" if group.error else "",
    )
    return "; ".join(filter(None, parts))


def message(report: Report) -> str:
    """Return why an evidence fails, "" when it passed."""
    told = [*(f"{breach.text} [{breach.rule}]" for breach in report.found.breaches), report.run.failure]
    return "; ".join(filter(None, told))


def outcome(report: Report, directory: Path) -> Mapping[str, Any]:
    """Return the engine's result."""
    return {
        "passed": report.run.passed,
        "failure": message(report),
        "directory": str(directory),
        "table": as_text(report),
        **summary(report),
    }
