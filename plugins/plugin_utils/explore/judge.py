# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges a trial: the drill's invariants, and when writes flowed. Pure: a ledger and the hits in, a judgement out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import analysis
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Breach, Budget, Event, Ledger
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.rows import acknowledgements
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.kinds import KINDS, courses
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import Schedule, Step

OUTAGE = 2.0
"""Seconds without an acknowledged write that are an outage, and not the pause of a busy machine."""
RETURNING = 60.0
"""Seconds after a fault's end in which its host may still be on its way back."""

Gap = tuple[float, float]
Spans = Mapping[str, tuple[Gap, ...]]


@dataclass(frozen=True, slots=True)
class Hit:
    """A step as it was carried out, its times on the clients' clock; dark, cut: as in a ledger."""

    step: Step
    hosts: tuple[str, ...]
    begun: float
    ended: float
    proof: str = ""
    dark: Gap | None = None
    cut: Gap | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The cost of a trial in seconds: resumed: from the last end until writes flowed; bound: the worst case for it."""

    breaches: tuple[Breach, ...]
    resumed: float
    bound: float
    outage: float
    acknowledged: int
    lost: int
    failover: bool

    @property
    def passed(self) -> bool:
        """Whether no rule was broken."""
        return not self.breaches


def bound(schedule: Schedule, worst: Mapping[str, float], slack: float, otherwise: float) -> float:
    """Return the predicted worst case after these faults; otherwise: where there is no prediction."""
    found = [worst[fault] for fault in courses(schedule.steps) if fault in worst]
    return max(found, default=otherwise) + slack


def with_hits(ledger: Ledger, hits: Sequence[Hit]) -> Ledger:
    """Return a ledger in which every hit is an event, and each host is dark or cut off only during its own."""
    own = {"injected", "healed"}
    events = [event for event in ledger.events if event.kind not in own]
    for hit in hits:
        names = ", ".join(hit.hosts)
        events += [Event(hit.begun, "injected", names, KINDS[hit.step.kind].title), Event(hit.ended, "healed", names)]
    return replace(
        ledger,
        events=tuple(sorted(events, key=lambda event: event.at)),
        healed=max((hit.ended for hit in hits), default=ledger.healed),
        dark=spans((hit.hosts[0], hit.dark) for hit in hits),
        cut=spans((hit.hosts[0], hit.cut) for hit in hits),
    )


def spans(found: Iterator[tuple[str, Gap | None]]) -> Spans:
    """Return the spans by host."""
    by_host: dict[str, tuple[Gap, ...]] = {}
    for host, span in found:
        if span:
            by_host[host] = (*by_host.get(host, ()), span)
    return by_host


def judge(ledger: Ledger, hits: Sequence[Hit], budget: Budget, worst: float) -> Judgement:
    """Return the judgement of a trial; budget: of the invariants; worst: the bound of an outage."""
    verdict = analysis.judge(ledger, budget)
    late = resumed(ledger, hits)
    promoted = any(event.kind == "promoted" for event in ledger.events)
    return Judgement(
        breaches=(*verdict.breaches, *too_late(late, worst), *stalled(ledger, hits, worst)),
        resumed=late,
        bound=worst,
        outage=verdict.rto,
        acknowledged=verdict.acknowledged,
        lost=len(verdict.lost),
        failover=promoted or ledger.primary_after != ledger.primary_before,
    )


def gaps(ledger: Ledger) -> list[Gap]:
    """Return the times between acknowledged writes; the record's ends bound them."""
    return list(pairwise([ledger.begun, *sorted(acknowledgements(ledger.writes)), ledger.ended]))


def resumed(ledger: Ledger, hits: Sequence[Hit]) -> float:
    """Return the seconds from the last fault's end until writes flowed, and went on to flow."""
    last = max(hit.ended for hit in hits)
    ends = [end for begin, end in gaps(ledger) if end > last and (begin <= last or end - begin > OUTAGE)]
    return max(ends, default=last) - last


def too_late(late: float, worst: float) -> Iterator[Breach]:
    """Yield that writes flowed too late."""
    if late > worst:
        text = f"writes flowed {late:.2f} s after the last fault's end, at worst {worst:.2f} s were predicted"
        yield Breach("resumed_late", text)


def stalled(ledger: Ledger, hits: Sequence[Hit], worst: float) -> Iterator[Breach]:
    """Yield the outages that lasted for too long while the faults did not change, though a majority was left."""
    changes = sorted({at for hit in hits for at in (hit.begun, hit.ended)})
    for begin, end in pairwise(changes):
        if not is_judged(begin, end, hits):
            continue
        silent = max((min(end, after) - max(begin, before) for before, after in gaps(ledger)), default=0.0)
        if silent > worst:
            text = f"no acknowledged write for {silent:.2f} s while the faults did not change"
            yield Breach("stalled", f"{text}, at worst {worst:.2f} s were predicted")


def is_judged(begin: float, end: float, hits: Sequence[Hit]) -> bool:
    """Return whether writes must flow in a time without a change.

    They need not while a fault lasts that may stop them, and while a host may still be on its way back.
    """
    active = [hit for hit in hits if hit.begun < end and hit.ended > begin]
    before = [hit for hit in hits if begin - RETURNING < hit.ended <= begin]
    return bool(active) and not before and not any(KINDS[hit.step.kind].stops for hit in active)
