# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges a recorded injection: gaps, losses and broken invariants. Pure: a ledger in, a verdict out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import alerts, consistency
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.alerts import Alerts
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.invariants import INVARIANTS
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import (
    Breach,
    Budget,
    Ledger,
    Outcome,
    Verdict,
    Write,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.rows import (
    acknowledged_keys,
    acknowledgements,
    duplicated_keys,
    every_write,
    lost_keys,
    missing_keys,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.words import counted


def judge(ledger: Ledger, budget: Budget, wanted: Alerts | None = None) -> Verdict:
    """Return the cost of one injection and all breaches; wanted: its alerts, None to judge none."""
    verdict = measure(ledger)
    found = list(breaches(ledger, budget, verdict))
    if wanted is None:
        return with_breaches(verdict, found)
    heard = alerts.heard(ledger, wanted)
    return replace(verdict, heard=heard, breaches=(*found, *alerts.breaches(ledger, wanted)))


def measure(ledger: Ledger) -> Verdict:
    """Return the cost of one injection, without a judgement."""
    gap = longest_gap(ledger, acknowledgements(ledger.writes))
    read_gap = longest_gap(ledger, [read.ended for read in ledger.reads if read.ok])
    naive_gap = longest_gap(ledger, acknowledgements(ledger.naive))
    outcomes = [write.outcome for write in every_write(ledger)]
    return Verdict(
        fault=ledger.fault,
        repetition=ledger.repetition,
        rto=gap[1] - gap[0],
        read_gap=read_gap[1] - read_gap[0],
        naive_gap=naive_gap[1] - naive_gap[0],
        acknowledged=len(acknowledged_keys(ledger)),
        lost=tuple(sorted(lost_keys(ledger))),
        duplicated=tuple(sorted(duplicated_keys(ledger))),
        unknown=outcomes.count(Outcome.UNKNOWN),
        warned=outcomes.count(Outcome.WARNED),
        read_errors=sum(not read.ok for read in ledger.reads if read.ended >= ledger.injected),
        breaches=(),
        write_gap=gap,
        missing=tuple(sorted({key for keys in missing_keys(ledger).values() for key in keys})),
        resumed=resumed(ledger),
        pooled_gap=pooled_gap(ledger),
        pooled_errors=len(pooled_errors(ledger)),
        anomalies=consistency.anomalies(ledger),
    )


def with_breaches(verdict: Verdict, found: Iterable[Breach]) -> Verdict:
    """Return the verdict with its breaches."""
    return replace(verdict, breaches=tuple(found))


def breaches(ledger: Ledger, budget: Budget, verdict: Verdict) -> Iterator[Breach]:
    """Yield every broken invariant and budget."""
    for invariant in INVARIANTS:
        yield from invariant(ledger, budget)
    yield from over_budget(budget, verdict)
    yield from over_pooled_budget(ledger, budget)
    yield from consistency.breaches(budget, verdict)


def longest_gap(ledger: Ledger, served: Sequence[float]) -> tuple[float, float]:
    """Return the longest time without service that ends after the injection; the record's ends bound it."""
    bounds = sorted([ledger.begun, *served, ledger.ended])
    gaps = [(begin, end) for begin, end in pairwise(bounds) if end > ledger.injected]
    return max(gaps, key=lambda gap: gap[1] - gap[0], default=(ledger.injected, ledger.injected))


def resumed(ledger: Ledger) -> float | None:
    """Return the seconds from healing to the next acknowledged write, None without one."""
    after = [at for at in acknowledgements(ledger.writes) if at >= ledger.healed]
    return min(after) - ledger.healed if after else None


def pooled_gap(ledger: Ledger) -> float | None:
    """Return the longest time without an acknowledged write through the poolers, None without poolers."""
    begin, end = longest_gap(ledger, acknowledgements(ledger.pooled))
    return end - begin if ledger.pooled else None


def pooled_errors(ledger: Ledger) -> list[Write]:
    """Return the writes through the poolers that failed since the injection."""
    failed = (Outcome.REFUSED, Outcome.UNKNOWN)
    return [
        write for write in ledger.pooled if write.outcome in failed and ledger.injected <= write.ended <= ledger.ended
    ]


def over_pooled_budget(ledger: Ledger, budget: Budget) -> Iterator[Breach]:
    """Yield the exceeded budgets of the poolers' clients."""
    gap, errors = pooled_gap(ledger), pooled_errors(ledger)
    if budget.pooled is not None and gap is not None and gap > budget.pooled:
        text = f"no acknowledged write through the poolers for {gap:.2f} s, the budget is {budget.pooled:.2f} s"
        yield Breach("over_budget", text)
    if budget.pooled_errors is not None and len(errors) > budget.pooled_errors:
        text = f"{counted(len(errors), 'write')} through the poolers failed, {budget.pooled_errors:g} may"
        yield Breach("over_budget", f"{text}; the first: {errors[0].error}")


def over_budget(budget: Budget, verdict: Verdict) -> Iterator[Breach]:
    """Yield the exceeded budgets."""
    if budget.writes is not None and verdict.rto > budget.writes:
        text = f"no acknowledged write for {verdict.rto:.2f} s, the budget is {budget.writes:.2f} s"
        yield Breach("over_budget", text)
    if budget.reads is not None and verdict.read_gap > budget.reads:
        text = f"no read served for {verdict.read_gap:.2f} s, the budget is {budget.reads:.2f} s"
        yield Breach("over_budget", text)
    if budget.resumed is not None and (verdict.resumed is None or verdict.resumed > budget.resumed):
        seen = "never" if verdict.resumed is None else f"only {verdict.resumed:.2f} s"
        yield Breach("over_budget", f"writes resumed {seen} after healing, the budget is {budget.resumed:.2f} s")
    if budget.predicted is not None and verdict.rto > budget.predicted:
        text = f"no acknowledged write for {verdict.rto:.2f} s, at worst {budget.predicted:.2f} s were predicted"
        yield Breach("over_predicted", text)
