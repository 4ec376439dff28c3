# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill of one cluster: its results, one by one and by fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Breach, Budget, Ledger, Verdict
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.outlook import Outlook

Result = tuple[Ledger, Verdict, Budget]


@dataclass(frozen=True, slots=True)
class Spread:
    """The smallest, the middle and the largest of some seconds."""

    min: float
    median: float
    max: float


def spread(values: Iterable[float]) -> Spread:
    """Return the spread of at least one value."""
    ordered = sorted(values)
    return Spread(ordered[0], median(ordered), ordered[-1])


@dataclass(frozen=True, slots=True)
class FaultResult:
    """All injections of one fault; the budget is that of the first."""

    fault: str
    results: tuple[Result, ...]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Return the verdicts in the order of injection."""
        return tuple(verdict for _ledger, verdict, _budget in self.results)

    @property
    def repeated(self) -> bool:
        """Whether there is more than one injection."""
        return len(self.results) > 1

    @property
    def budget(self) -> Budget:
        """Return what each injection was allowed to cost."""
        return self.results[0][2]

    @property
    def rto(self) -> Spread:
        """Return the times without acknowledged writes."""
        return spread(verdict.rto for verdict in self.verdicts)

    @property
    def read_gap(self) -> Spread:
        """Return the times without served reads."""
        return spread(verdict.read_gap for verdict in self.verdicts)

    @property
    def naive_gap(self) -> Spread:
        """Return the times for which the client with default settings got no acknowledgement."""
        return spread(verdict.naive_gap for verdict in self.verdicts)

    @property
    def pooled_gap(self) -> Spread | None:
        """Return the times without acknowledged writes through the poolers, None without poolers."""
        gaps = [verdict.pooled_gap for verdict in self.verdicts if verdict.pooled_gap is not None]
        return spread(gaps) if gaps else None

    @property
    def lost(self) -> int:
        """Return how many acknowledged rows the leader did not have (RPO)."""
        return sum(len(verdict.lost) for verdict in self.verdicts)

    @property
    def breaches(self) -> tuple[Breach, ...]:
        """Return everything that broke."""
        return tuple(breach for verdict in self.verdicts for breach in verdict.breaches)

    @property
    def passed(self) -> bool:
        """Say whether nothing broke."""
        return not self.breaches

    def total(self, name: str) -> int:
        """Return the sum of a verdict's count: unknown, warned, read_errors, acknowledged."""
        return sum(getattr(verdict, name) for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class Unjudged:
    """An injection that was begun and gave no verdict; reason: it was not proven, or the drill ended in it."""

    fault: str
    repetition: int
    reason: str

    def __str__(self) -> str:
        return f"{self.fault} {self.repetition}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Host:
    """A host of the cluster and its components; the drill's clients' host has none."""

    name: str
    address: str
    components: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """One drill of one cluster.

    begun: wall clock with time zone; seconds: how long it took; settings: {name: value} the cluster ran with;
    versions: {software: version}; load: {what: value} of the machine that ran it; skipped: {fault: reason};
    command: how to run it again; failure: what went wrong with the drill itself: why it ended before its end, what it
    could not undo; outlook: what was predicted before; unjudged: the injections that are not in results; profile: the
    cluster's timing; containers: whether its hosts are containers of the machine.
    """

    cluster: str
    begun: datetime
    results: tuple[Result, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    load: Mapping[str, Any] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    seconds: float = 0.0
    failure: str = ""
    unjudged: tuple[Unjudged, ...] = ()
    outlook: Outlook = field(default_factory=Outlook)
    hosts: tuple[Host, ...] = ()
    profile: str = ""
    containers: bool = False

    @property
    def passed(self) -> bool:
        """Say whether the drill came to its end, every injection was judged, at least one, and nothing broke."""
        return bool(self.results) and not self.failure and not self.unjudged and not self.breaches

    @property
    def faults(self) -> tuple[FaultResult, ...]:
        """Return the results by fault, in the order of first injection."""
        grouped: dict[str, list[Result]] = {}
        for result in self.results:
            grouped.setdefault(result[0].fault, []).append(result)
        return tuple(FaultResult(fault, tuple(results)) for fault, results in grouped.items())

    @property
    def planned(self) -> int:
        """Return how many faults were asked for."""
        return len(
            {*(ledger.fault for ledger, *_rest in self.results), *self.skipped, *(one.fault for one in self.unjudged)}
        )

    @property
    def phases(self) -> dict[str, float]:
        """Return the seconds that each phase took in all injections together."""
        total: Counter[str] = Counter()
        for ledger, _verdict, _budget in self.results:
            total.update(ledger.phases)
        return dict(total)

    @property
    def breaches(self) -> tuple[tuple[Verdict, Breach], ...]:
        """Return everything that broke, with where."""
        return tuple((verdict, breach) for _ledger, verdict, _budget in self.results for breach in verdict.breaches)

    @property
    def acknowledged(self) -> int:
        """Return how many rows were promised."""
        return sum(fault.total("acknowledged") for fault in self.faults)

    @property
    def lost(self) -> int:
        """Return how many of them were lost."""
        return sum(fault.lost for fault in self.faults)
