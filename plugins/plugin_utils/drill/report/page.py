# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill as one self-contained HTML page: no scripts, no fonts, no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report import alerts, consistency
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.table import seconds, span
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.timeline import ALERT, LEGEND, timeline
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Ledger
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.run import FaultResult, Result, Run
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.words import counted
from ansible_collections.holdfast.ha.plugins.plugin_utils.pages.template import environment
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.outlook import sentence
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
SPELLINGS = {"haproxy": "HAProxy", "patroni": "Patroni", "wal": "WAL"}
COMPONENTS = {
    "backup": "backup repository",
    "haproxy": "HAProxy",
    "lease_watcher": "lease watcher",
    "pgbouncer": "PgBouncer",
    "postgresql": "PostgreSQL with Patroni",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """One injection as the page shows it; svg is its timeline."""

    result: Result
    svg: Markup
    shown: bool


def as_page(run: Run, words: Words | None = None) -> str:
    """Return the HTML document, by default in the words of a drill."""
    words = words or DRILL
    templates = environment(TEMPLATES)
    templates.filters.update(seconds=seconds, title=words.title, counted=counted, plain=plain, sentence=sentence)
    templates.filters.update(span=span, heard=alerts.told)
    templates.globals.update(
        flat=flat,
        strip=strip,
        pictures=partial(pictures, origin=words.origin),
        lengths=lengths,
        alerts=alerts.rows,
        consistency=consistency.sentence,
        runs=partial(runs, clients=words.clients),
    )
    monitored = any(ledger.monitor for ledger, _verdict, _budget in run.results)
    legend = (*LEGEND, *((ALERT,) if monitored else ()), *words.legend)
    template = templates.get_template("report.html.j2")
    return template.render(run=run, words=words, legend=legend)


def lead(run: Run) -> str:
    """Return the verdict as a sentence."""
    judged = f"{counted(len(run.results), 'injection')} of {counted(len(run.faults), 'fault')}"
    if run.passed:
        return f"{judged}: all budgets kept, no acknowledged row lost."
    broken = {(verdict.fault, verdict.repetition) for verdict, _breach in run.breaches}
    found = [
        counted(run.lost, "acknowledged row") + " lost" if run.lost else "",
        f"{counted(len(run.breaches), 'rule')} broken in {len(broken)} of {judged}" if broken else "",
        f"{counted(len(run.unjudged), 'injection')} not judged" if run.unjudged else "",
        "" if run.results else "nothing was judged",
        "the drill itself failed" if run.failure else "",
    ]
    text = "; ".join(filter(None, found))
    return f"{text[:1].upper()}{text[1:]}."


def figures(run: Run) -> list[tuple[str, str]]:
    """Return the numbers of a drill that stand at its top."""
    return [("faults judged", f"{len(run.faults)} of {run.planned}"), ("injections judged", str(len(run.results)))]


def runs(components: Sequence[str], clients: str) -> str:
    """Return the software of a host."""
    return ", ".join(COMPONENTS.get(name, name) for name in components) or clients


def title(fault: str) -> str:
    """Return a fault's name as a heading: primary_power_loss becomes Primary power loss."""
    words = " ".join(SPELLINGS.get(word, word) for word in fault.split("_"))
    return words if words.startswith("etcd") else words[:1].upper() + words[1:]


def plain(value: Any) -> str:
    """Return a setting in readable form."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    return str(value)


def flat(items: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings by their path: postgresql.parameters.max_connections."""
    for name, value in items.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def lengths(value: float) -> str:
    """Return a run's time in minutes and seconds."""
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def pictures(fault: FaultResult, origin: str) -> list[Picture]:
    """Return a fault's injections; the one shown first is a broken one, otherwise the slowest."""
    first = max(fault.results, key=lambda result: (bool(result[1].breaches), result[1].rto))
    return [
        Picture(result, Markup(timeline(*result, f"{fault.fault}-{number}", origin)), result is first)  # noqa: S704 - own text
        for number, result in enumerate(fault.results)
    ]


def strip(fault: FaultResult) -> list[float]:
    """Return each repetition's outage in percent of the budget, at most 100."""
    budget = fault.budget.writes
    if not budget:
        return []
    return [round(min(100.0, 100 * verdict.rto / budget), 1) for verdict in fault.verdicts]


@dataclass(frozen=True, slots=True)
class Words:
    """What a page says of its run.

    name: the kind of run; itself: the same within a sentence; unit: what was judged, the head of the summary's rows;
    origin: what 0 of a timeline is; beyond: which gaps count; clients: what a host without components runs; part: the
    heading of one record; proof: the head of its proof; heals: whether something was healed; legend: more colours;
    title, about: the heading of a unit, and its description on real hosts or containers; lead, figures: the verdict as
    a sentence, and the numbers at the top; facts: more facts of a record.
    """

    name: str
    itself: str
    unit: str
    origin: str
    beyond: str
    clients: str
    proof: str
    heals: bool
    part: Callable[[Ledger], str]
    title: Callable[[str], str]
    about: Callable[[str, bool], str]
    lead: Callable[[Run], str]
    figures: Callable[[Run], list[tuple[str, str]]]
    facts: Callable[[Ledger], list[tuple[str, str]]] = lambda _ledger: []
    legend: tuple[tuple[str, str], ...] = ()


DRILL = Words(
    name="Drill",
    itself="drill",
    unit="Fault",
    origin="the injection",
    beyond=" that reaches beyond the injection",
    clients="the drill's clients",
    proof="Proof",
    heals=True,
    part=lambda ledger: f"Repetition {ledger.repetition}",
    title=title,
    about=lambda fault, containers: CATALOGUE[fault].sentences(containers),
    lead=lead,
    figures=figures,
)
