# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The observations of a soak and their verdict: no failover, no moved address, no lost row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BLIND_SECONDS = 15.0
"""The longest permitted gap of an observer on a starved machine."""


@dataclass(frozen=True, slots=True)
class State:
    """The roles at one moment; "", None and () where unknown."""

    leader: str
    timeline: int | None
    holders: tuple[str, ...]
    lease: str
    term: int


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a state that must not change, at so many seconds of the soak."""

    at: float
    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class Load:
    """pgbench's results; breaks are the errors with which it ended too early."""

    transactions: int = 0
    tps: float = 0.0
    latency_ms: float = 0.0
    failed: int = 0
    breaks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Journal:
    """A host's messages: lines of its lease watcher and Patroni, and the number of Patroni's late loops.

    missing is the reason why they are unknown, "" otherwise.
    """

    revoked: tuple[str, ...] = ()
    recounts: int = 0
    silences: tuple[str, ...] = ()
    demotions: tuple[str, ...] = ()
    overruns: int = 0
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """All observations, in seconds. disturbed: {kind: number of disturbances}; blind: {observer: its longest gap}.

    silence: the longest time without a renewal of the leader's lease, a lower bound in whole seconds. lost:
    acknowledged rows that the leader lacks.
    """

    before: State
    after: State
    changes: tuple[Change, ...]
    journals: Mapping[str, Journal]
    load: Load
    planned: Mapping[str, int]
    disturbed: Mapping[str, int]
    blind: Mapping[str, float]
    silence: int
    lease_looks: int
    handovers: int
    acknowledged: int
    lost: int
    seconds: float
    machine: Mapping[str, Any] = field(default_factory=dict)
    troubles: tuple[str, ...] = ()

    @property
    def elections(self) -> int:
        """Terms of etcd that the soak's handovers did not begin."""
        return max(0, self.after.term - self.before.term - self.handovers)

    @property
    def overruns(self) -> int:
        """Loops of Patroni that took longer than loop_wait, on all hosts."""
        return sum(journal.overruns for journal in self.journals.values())

    @property
    def recounts(self) -> int:
        """How often the watchers restarted their count because etcd did not answer in time."""
        return sum(journal.recounts for journal in self.journals.values())


def merged(runs: Sequence[Load], seconds: float) -> Load:
    """Return several runs of pgbench as one of so many seconds, including the pauses."""
    transactions = sum(run.transactions for run in runs)
    waited = sum(run.latency_ms * run.transactions for run in runs)
    return Load(
        transactions=transactions,
        tps=transactions / seconds,
        latency_ms=waited / transactions if transactions else 0.0,
        failed=sum(run.failed for run in runs),
        breaks=tuple(error for run in runs for error in run.breaks),
    )


def breaches(seen: Seen) -> Iterator[Change]:
    """Yield all failures of the soak."""
    yield from seen.changes
    end, told = seen.seconds, {change.rule for change in seen.changes}
    for name in ("leader", "timeline", "holders", "lease"):
        was, now = getattr(seen.before, name), getattr(seen.after, name)
        if was != now and f"same {name}" not in told:
            yield Change(end, f"same {name}", f"the {name} was {shown(was)} before and {shown(now)} after")
    for host, journal in seen.journals.items():
        yield from (Change(end, "no revocation", f"{host}: {line}") for line in journal.revoked)
        if journal.missing:
            yield Change(end, "observed", f"{host}: its journal can't be read: {journal.missing}")
    if seen.lost:
        yield Change(end, "no loss", f"{seen.lost} of {seen.acknowledged} acknowledged rows are missing")
    if not seen.acknowledged:
        yield Change(end, "observed", "no row was acknowledged")
    if not seen.load.transactions and not seen.changes:  # a change ends the soak, and pgbench with it
        yield Change(end, "load", "pgbench counted no transaction")
    yield from blind(seen)
    yield from undone(seen)


def blind(seen: Seen) -> Iterator[Change]:
    """Yield the observers with too long a gap."""
    for observer, gap in seen.blind.items():
        if gap > BLIND_SECONDS:
            yield Change(seen.seconds, "observed", f"{observer}: no observation for {gap:.1f} s")


def undone(seen: Seen) -> Iterator[Change]:
    """Yield the disturbances that were planned but not done."""
    for kind, times in seen.planned.items():
        done = seen.disturbed.get(kind, 0)
        if done < times:
            yield Change(seen.seconds, "disturbed", f"{kind}: {done} of {times} were done")


def shown(value: Any) -> str:
    """Return a value in words."""
    if isinstance(value, tuple):
        return " and ".join(value) or "none"
    return str(value) if value not in ("", None) else "none"
