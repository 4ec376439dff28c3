# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The course of one injection as lanes of coloured segments over time; the timeline draws them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.alerts import Firing, firings, tells
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import (
    BalancerSample,
    Ledger,
    MemberSample,
    Outcome,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.rows import every_write
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.spans import by_name
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.steps import BEGUN, ENDED, steps

KINDS = ("injected", "detected", "promoted", "pool switched", "vip moved", "healed", "rejoined")
UNSEEN = 2.0
"""Seconds for which a sample counts when no other follows."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A state over a span, in seconds after the injection; kind decides the colour."""

    begin: float
    end: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment in seconds after the injection."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One row under the plot: states, moments, and when a member acknowledged writes."""

    title: str
    segments: tuple[Segment, ...] = ()
    marks: tuple[Mark, ...] = ()
    writing: tuple[tuple[float, float], ...] = ()


def lanes(ledger: Ledger) -> list[list[Lane]]:
    """Return the lanes in groups: steps, events, alerts, members, VIPs, pools; empty groups are left out."""
    makers = (step_lanes, event_lanes, alert_lanes, member_lanes, vip_lanes, pool_lanes)
    return [group for group in (make(ledger) for make in makers) if group]


def step_lanes(ledger: Ledger) -> list[Lane]:
    """Return a lane for each host on which planned work was done."""
    found: dict[str, list[Segment]] = {}
    for step in steps(ledger):
        segment = Segment(step.begin - ledger.injected, step.end - ledger.injected, "step", step.text)
        found.setdefault(step.host, []).append(segment)
    return [Lane(f"work on {host}", tuple(segments)) for host, segments in found.items()]


def event_lanes(ledger: Ledger) -> list[Lane]:
    """Return a lane for each kind of event that happened."""
    kinds = dict.fromkeys([*KINDS, *(event.kind for event in ledger.events if event.kind not in {BEGUN, ENDED})])
    marks = {
        kind: tuple(Mark(event.at - ledger.injected, event.subject) for event in ledger.events if event.kind == kind)
        for kind in kinds
    }
    return [Lane("VIP moved" if kind == "vip moved" else kind, marks=found) for kind, found in marks.items() if found]


def alert_lanes(ledger: Ledger) -> list[Lane]:
    """Return a lane for each alert that told somebody, with its name where it began."""
    found: dict[tuple[str, str], list[Firing]] = {}
    for one in firings(ledger, tells):
        found.setdefault((one.alert.name, one.alert.host), []).append(one)
    return [
        Lane(
            f"alert on {host}" if host else "alert",
            tuple(alert_segment(ledger, one) for one in several),
            tuple(Mark(one.begin - ledger.injected, name) for one in several if one.begin > ledger.injected),
        )
        for (name, host), several in found.items()
    ]


def alert_segment(ledger: Ledger, one: Firing) -> Segment:
    """Return the span in which an alert fired; one that fired before the injection has its name inside."""
    end = ledger.ended if one.end is None else one.end
    text = one.alert.name if one.begin <= ledger.injected else ""
    return Segment(one.begin - ledger.injected, end - ledger.injected, "alert", text)


def member_lanes(ledger: Ledger) -> list[Lane]:
    """Return a lane for each member: its role, and the times at which it acknowledged writes."""
    samples = by_name(ledger.members, "member")
    names = sorted({*samples, *ledger.expected_members})
    return [
        Lane(name, segments(ledger, name, samples.get(name, ()), role), writing=tuple(writing(ledger, name)))
        for name in names
    ]


def role(sample: MemberSample) -> tuple[str, str]:
    """Return the kind and the name of a member's own state."""
    if sample.claims_primary:
        return "primary", "primary"
    if sample.in_recovery is None:
        return "silent", "no answer"
    if sample.in_recovery:
        return "standby", "standby"
    return "unlocked", "Patroni silent" if sample.claims_primary is None else "not the leader"


def vip_lanes(ledger: Ledger) -> list[Lane]:
    """Return a lane for each VIP and balancer."""
    vips = sorted({vip for sample in ledger.balancers for vip in sample.holds})
    balancers = by_name(ledger.balancers, "balancer")
    return [
        Lane(
            f"VIP on {name}" if len(vips) == 1 else f"{vip} on {name}",
            segments(ledger, name, samples, holds(vip, ledger.cut.get(name, ()))),
        )
        for vip in vips
        for name, samples in sorted(balancers.items())
    ]


def holds(vip: str, cut: Sequence[tuple[float, float]]) -> Callable[[BalancerSample], tuple[str, str]]:
    """Return whether a balancer holds a VIP, and whether clients can reach it, as a kind and a name."""

    def held(sample: BalancerSample) -> tuple[str, str]:
        if vip not in sample.holds:
            return "", ""
        unreached = any(begin < sample.at < end for begin, end in cut)
        return ("unreached", "holds it, cut off") if unreached else ("vip", "holds it")

    return held


def pool_lanes(ledger: Ledger) -> list[Lane]:
    """Return a lane for each pool that leads to the primary, on each balancer."""
    balancers = by_name(ledger.balancers, "balancer")
    return [
        Lane(f"{pool} pool on {name}", segments(ledger, name, samples, listed(pool)))
        for pool in filter(None, ledger.write_pools)
        for name, samples in sorted(balancers.items())
    ]


def listed(pool: str) -> Callable[[BalancerSample], tuple[str, str]]:
    """Return the servers that a balancer has up in a pool, as a kind and names."""

    def servers(sample: BalancerSample) -> tuple[str, str]:
        if sample.up is None:
            return "silent", "HAProxy does not run"
        names = ", ".join(sample.up.get(pool, ()))
        return ("pool", names) if names else ("", "")

    return servers


def segments(
    ledger: Ledger, host: str, samples: Sequence[Any], state: Callable[[Any], tuple[str, str]]
) -> tuple[Segment, ...]:
    """Return a host's states from sample to sample; unobserved times stay empty, a dark host is shown as off."""
    found: list[Segment] = []
    for number, sample in enumerate(samples):
        kind, text = state(sample)
        after = samples[number + 1].at if number + 1 < len(samples) else ledger.ended
        end = min(
            after, sample.at + UNSEEN, *(begin for begin, _end in ledger.dark.get(host, ()) if begin >= sample.at)
        )
        previous = found[-1] if found else None
        begin = sample.at - ledger.injected
        if previous and previous.kind == kind and previous.text == text and previous.end == begin:
            found[-1] = Segment(previous.begin, end - ledger.injected, kind, text)
        else:
            found.append(Segment(begin, end - ledger.injected, kind, text))
    dark = (
        Segment(begin - ledger.injected, end - ledger.injected, "off", "off")
        for begin, end in ledger.dark.get(host, ())
    )
    return (*(segment for segment in found if segment.kind), *dark)


def writing(ledger: Ledger, member: str) -> Iterable[tuple[float, float]]:
    """Return the spans in which a member acknowledged writes, ignoring short pauses."""
    times = sorted(
        write.ended - ledger.injected
        for write in every_write(ledger)
        if write.server == member and write.outcome is Outcome.ACKNOWLEDGED
    )
    spans: list[tuple[float, float]] = []
    for at in times:
        if spans and at - spans[-1][1] <= 0.5:
            spans[-1] = (spans[-1][0], at)
        else:
            spans.append((at, at))
    return spans
