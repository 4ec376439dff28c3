# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges a recorded piece of work: its cost as a whole and by step. Pure: a ledger in, tallies and breaches out.

An attempt counts in the step in which it ended, a wait in every step that it overlaps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.recorder import Broken
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import alerts, events
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.analysis import measure, with_breaches
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.invariants import rows_kept
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import (
    Breach,
    Budget,
    Ledger,
    MemberSample,
    Outcome,
    Verdict,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.rows import every_write, key_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.run import Result
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.spans import uncovered
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.steps import Step, steps
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.words import counted
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.load import DIRECT_KEPT, POOLED_KEPT
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.plan import Limits
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.waits import (
    Attempt,
    Wait,
    longest,
    of_read,
    of_write,
    waits,
)

WHOLE = "whole"
IDLE_SECONDS = 10.0
"""Seconds without any attempt of a writer after which the load itself stood still."""


@dataclass(frozen=True, slots=True)
class Group:
    """What one kind of clients saw: failed are refused and unknown attempts, broken the connections that ended idle."""

    name: str
    attempts: int
    failed: int
    unknown: int
    broken: int
    wait: Wait | None
    error: str = ""

    @property
    def seconds(self) -> float | None:
        """The longest wait, None where nobody waited."""
        return None if self.wait is None else self.wait.seconds


@dataclass(frozen=True, slots=True)
class Tally:
    """The cost of a span: rows by their fate, and the kinds of clients by name."""

    step: Step
    acknowledged: int
    refused: int
    unknown: int
    warned: int
    lost: int
    missing: int
    duplicated: int
    groups: Mapping[str, Group]

    def of(self, kind: str) -> list[Group]:
        """Return the groups of direct or pooled clients, those that keep their connection among them, or of readers."""
        return [group for name, group in self.groups.items() if name in {kind, f"{kind}-kept"}]

    def failed(self, kind: str) -> int:
        """Return how many of their transactions failed."""
        return sum(group.failed for group in self.of(kind))

    def wait(self, kind: str) -> Wait | None:
        """Return their longest wait, None where nobody waited."""
        found = [group.wait for group in self.of(kind) if group.wait]
        return max(found, key=lambda wait: wait.seconds, default=None)


@dataclass(frozen=True, slots=True)
class Found:
    """The judgement: results has the page's records, the whole first, then the steps."""

    whole: Tally
    steps: tuple[Tally, ...]
    breaches: tuple[Breach, ...]
    results: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of clients with all its attempts, waits and broken connections."""

    name: str
    attempts: Sequence[Attempt]
    waits: Sequence[Wait]
    broken: Sequence[Broken] = field(default=())

    def within(self, begin: float, end: float) -> Group:
        """Return what they saw in a span."""
        ended = [attempt for attempt in self.attempts if begin < attempt.ended <= end]
        failed = [attempt for attempt in ended if not attempt.succeeded]
        return Group(
            self.name,
            attempts=len(ended),
            failed=len(failed),
            unknown=sum(attempt.unknown for attempt in failed),
            broken=sum(begin < one.at <= end for one in self.broken),
            wait=longest(self.waits, begin, end),
            error=failed[0].error if failed else "",
        )


def kinds(ledger: Ledger, broken: Sequence[Broken] = ()) -> list[Kind]:
    """Return the kinds of clients that took part, in the order of the tables."""
    writers, pooled = list(map(of_write, ledger.writes)), list(map(of_write, ledger.pooled))
    found = {
        "direct": [attempt for attempt in writers if attempt.client != DIRECT_KEPT],
        DIRECT_KEPT: [attempt for attempt in writers if attempt.client == DIRECT_KEPT],
        "pooled": [attempt for attempt in pooled if attempt.client != POOLED_KEPT],
        POOLED_KEPT: [attempt for attempt in pooled if attempt.client == POOLED_KEPT],
        "readers": list(map(of_read, ledger.reads)),
        "naive": list(map(of_write, ledger.naive)),
    }
    return [kind(name, attempts, ledger.ended, broken) for name, attempts in found.items() if attempts]


def kind(name: str, attempts: Sequence[Attempt], ended: float, broken: Sequence[Broken]) -> Kind:
    """Return a kind of clients; ended: the record's end."""
    clients = {attempt.client for attempt in attempts}
    return Kind(name, attempts, tuple(waits(attempts, ended)), [one for one in broken if one.client in clients])


def judge(ledger: Ledger, limits: Limits, broken: Sequence[Broken] = (), without: Collection[str] = ()) -> Found:
    """Return what the work cost, as a whole and by step, and what it broke.

    :arg without: hosts that were no part of the cluster then: alerts about them don't count.
    """
    clients = kinds(ledger, broken)
    entire = Step("", "the whole work", ledger.begun, ledger.ended)
    parts = [(WHOLE, entire), *((f"step-{number}", step) for number, step in enumerate(steps(ledger), 1))]
    records = [part(ledger, name, step) for name, step in parts]
    verdicts = [with_all_rows(ledger, verdict_of(records[0])), *map(verdict_of, records[1:])]
    tallies = [
        tally(record, verdict, step, clients)
        for record, verdict, (_name, step) in zip(records, verdicts, parts, strict=True)
    ]
    pages = [one for one in alerts.pages(ledger) if one.alert.host not in without]
    broken_steps = (step_breaches(ledger, one, limits, pages) for one in tallies[1:])
    found = [list(breaches(ledger, limits, tallies[0], pages)), *map(list, broken_steps)]
    budget = Budget(writes=None, pooled=limits.pooled_wait, pooled_errors=limits.pooled_errors)
    results = [
        (shown(ledger, record), with_breaches(verdict, broke), budget)
        for record, verdict, broke in zip(records, verdicts, found, strict=True)
    ]
    return Found(tallies[0], tuple(tallies[1:]), tuple(found[0]), tuple(results))


# The records


def part(ledger: Ledger, name: str, step: Step) -> Ledger:
    """Return the record of a span: the attempts that ended in it, its samples and its rows."""
    begin, end = step.begin, step.end
    rows, samples = ("writes", "reads", "naive", "pooled", "local_writes"), ("members", "balancers", "alerts")
    records: dict[str, Any] = {
        **{key: tuple(row for row in getattr(ledger, key) if begin < row.ended <= end) for key in rows},
        **{key: tuple(sample for sample in getattr(ledger, key) if begin <= sample.at <= end) for key in samples},
    }
    own = replace(
        ledger,
        fault=name,
        repetition=0,
        begun=begin,
        injected=begin,
        healed=end,
        ended=end,
        proof=step.text,
        primary_before=primary_at(ledger.members, begin) or ledger.primary_before,
        **records,
    )
    if name == WHOLE:
        return own
    tried = {key_of(write) for write in every_write(own)}
    presence = [
        replace(found, counts={key: found.counts[key] for key in tried & found.counts.keys()})
        for found in ledger.presence
    ]
    return replace(own, presence=tuple(presence))


def shown(ledger: Ledger, record: Ledger) -> Ledger:
    """Return a record as the page shows it: with its own events, and the primary at its end."""
    derived = events.derive(
        list(record.members),
        list(record.balancers),
        injected=record.injected,
        healed=record.healed,
        primary=record.primary_before,
        write_pool=next(iter(record.write_pools), ""),
    )
    marks = [event for event in ledger.events if record.begun <= event.at <= record.ended]
    return replace(
        record,
        events=tuple(sorted([*marks, *derived], key=lambda event: event.at)),
        primary_after=primary_at(ledger.members, record.ended) or ledger.primary_after,
    )


def primary_at(members: Iterable[MemberSample], at: float) -> str:
    """Return the member that claimed to be primary last before a time, "" for none."""
    claims = (sample for sample in members if sample.claims_primary and sample.at <= at)
    last = max(claims, key=lambda sample: sample.at, default=None)
    return last.member if last else ""


def verdict_of(record: Ledger) -> Verdict:
    """Return the cost of a record; clients that do not exist have no gap."""
    verdict = measure(record)
    return replace(
        verdict,
        read_gap=verdict.read_gap if record.reads else 0.0,
        naive_gap=verdict.naive_gap if record.naive else 0.0,
    )


def with_all_rows(ledger: Ledger, verdict: Verdict) -> Verdict:
    """Return the cost of the whole with the rows from before its begin and from its last moment."""
    full = measure(ledger)
    return replace(
        verdict, acknowledged=full.acknowledged, lost=full.lost, missing=full.missing, duplicated=full.duplicated
    )


def tally(record: Ledger, verdict: Verdict, step: Step, clients: Iterable[Kind]) -> Tally:
    """Return the cost of a span."""
    return Tally(
        step=step,
        acknowledged=verdict.acknowledged,
        refused=sum(write.outcome is Outcome.REFUSED for write in every_write(record)),
        unknown=verdict.unknown,
        warned=verdict.warned,
        lost=len(verdict.lost),
        missing=len(verdict.missing),
        duplicated=len(verdict.duplicated),
        groups={kind.name: kind.within(step.begin, step.end) for kind in clients},
    )


# The rules


def breaches(ledger: Ledger, limits: Limits, whole: Tally, pages: Iterable[alerts.Firing]) -> Iterator[Breach]:
    """Yield what the whole work broke: rows, the record itself, and the limits."""
    yield from rows_kept(ledger, Budget(writes=None))
    yield from idle(ledger)
    yield from paged(ledger, whole.step, pages)
    yield from over(whole, limits)


def step_breaches(ledger: Ledger, found: Tally, limits: Limits, pages: Iterable[alerts.Firing]) -> Iterator[Breach]:
    """Yield what one step broke; the whole work's breaches have it, too."""
    yield from paged(ledger, found.step, pages)
    for rule, number, what in (
        ("lost_acknowledged", found.lost, "acknowledged row"),
        ("missing_on_standby", found.missing - found.lost, "acknowledged row"),
        ("duplicated", found.duplicated, "row"),
    ):
        if number > 0:
            yield Breach(rule, f"{counted(number, what)} of this step")
    yield from over(found, limits, " in this step")


def idle(ledger: Ledger) -> Iterator[Breach]:
    """Yield the times in which no writer tried anything: a record with a hole proves nothing."""
    if not ledger.writes:
        yield Breach("no_samples", "the writers recorded nothing")
    if ledger.pooled_pool and not ledger.pooled:
        yield Breach("no_samples", "the clients of the poolers recorded nothing")
    attempts = [(write.begun, write.ended) for write in ledger.writes]
    for begin, end in uncovered(attempts, ledger.begun, ledger.ended) if attempts else ():
        if end - begin > IDLE_SECONDS:
            text = f"the writers tried nothing for {end - begin:.1f} s, from {begin - ledger.begun:.1f} s"
            yield Breach("blind", text)


def paged(ledger: Ledger, step: Step, pages: Iterable[alerts.Firing]) -> Iterator[Breach]:
    """Yield the alerts that began to call somebody during the work, or a step of it."""
    for one in pages:
        if step.begin < one.begin <= step.end:
            yield Breach("paged", f"the alert {one.alert} fired {one.begin - ledger.begun:.1f} s after the begin")


def over(found: Tally, limits: Limits, where: str = "") -> Iterator[Breach]:
    """Yield the exceeded limits."""
    for kind_of, limit in (("pooled", limits.pooled_wait), ("direct", limits.direct_wait)):
        wait = found.wait(kind_of)
        if limit is not None and wait and wait.seconds > limit:
            text = f"{wait.client} waited {wait.seconds:.2f} s{where}, the budget is {limit:.2f} s"
            yield Breach("over_budget", text)
    failed = found.failed("pooled")
    if limits.pooled_errors is not None and failed > limits.pooled_errors:
        text = f"{counted(failed, 'transaction')} of pooled clients failed{where}, {limits.pooled_errors:g} may"
        first = next((group.error for group in found.of("pooled") if group.failed), "")
        yield Breach("over_budget", f"{text}; the first: {first}")
