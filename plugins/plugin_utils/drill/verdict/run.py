# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill of one cluster: its results by injection and by fault."""

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
    """The minimum, the median and the maximum of some seconds."""

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
        """Return the budget of each injection."""
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
        """Return the times without acknowledgement of the client with default settings."""
        return spread(verdict.naive_gap for verdict in self.verdicts)

    @property
    def pooled_gap(self) -> Spread | None:
        """Return the times without acknowledged writes through the poolers, None without poolers."""
        gaps = [verdict.pooled_gap for verdict in self.verdicts if verdict.pooled_gap is not None]
        return spread(gaps) if gaps else None

    @property
    def lost(self) -> int:
        """Return the number of acknowledged rows that the leader lacked (RPO)."""
        return sum(len(verdict.lost) for verdict in self.verdicts)

    @property
    def breaches(self) -> tuple[Breach, ...]:
        """Return all breaches."""
        return tuple(breach for verdict in self.verdicts for breach in verdict.breaches)

    @property
    def passed(self) -> bool:
        """Return whether there is no breach."""
        return not self.breaches

    def total(self, name: str) -> int:
        """Return the sum of a verdict's count: unknown, warned, read_errors, acknowledged."""
        return sum(getattr(verdict, name) for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class Unjudged:
    """An injection that was begun but has no verdict; reason: it was not proven, or the drill stopped during it."""

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
    command: how to run it again; failure: the errors of the drill itself, such as why it stopped early or what it could
    not undo; outlook: the predictions made before; unjudged: the injections that are not in results; profile: the
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
        """Return whether the drill completed, judged at least one and all injections, and found no breach."""
        return bool(self.results) and not self.failure and not self.unjudged and not self.breaches

    @property
    def faults(self) -> tuple[FaultResult, ...]:
        """Return the results by fault, in order of the first injection."""
        grouped: dict[str, list[Result]] = {}
        for result in self.results:
            grouped.setdefault(result[0].fault, []).append(result)
        return tuple(FaultResult(fault, tuple(results)) for fault, results in grouped.items())

    @property
    def planned(self) -> int:
        """Return the number of requested faults."""
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
        """Return all breaches with their injections."""
        return tuple((verdict, breach) for _ledger, verdict, _budget in self.results for breach in verdict.breaches)

    @property
    def acknowledged(self) -> int:
        """Return the number of acknowledged rows."""
        return sum(fault.total("acknowledged") for fault in self.faults)

    @property
    def lost(self) -> int:
        """Return the number of lost rows."""
        return sum(fault.lost for fault in self.faults)
