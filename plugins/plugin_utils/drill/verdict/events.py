# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The events around an injection, derived from the samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import BalancerSample, Event, MemberSample
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.spans import grouped

SILENCE = 1.0


def derive(
    members: Sequence[MemberSample],
    balancers: Sequence[BalancerSample],
    *,
    injected: float,
    healed: float,
    primary: str,
    write_pool: str,
) -> list[Event]:
    """Return the events in the samples, in order of time; primary is the one before the fault."""
    after = [sample for sample in balancers if sample.at >= injected]
    found = [
        *detected(after, primary, write_pool),
        *promoted([sample for sample in members if sample.at >= injected], primary),
        *switched(after, primary, write_pool),
        *moved(balancers, injected),
        *rejoined(members, injected, healed),
    ]
    return sorted(found, key=lambda event: event.at)


def first(samples: Iterable[Any], holds: Callable[[Any], bool]) -> Any:
    """Return the first sample that satisfies a condition, None without one."""
    return next((sample for sample in samples if holds(sample)), None)


def detected(balancers: Sequence[BalancerSample], primary: str, pool: str) -> Iterator[Event]:
    """Yield the time at which a balancer first took the old primary out of the pool."""
    seen = first(balancers, lambda sample: sample.up is not None and primary not in sample.up.get(pool, ()))
    if seen:
        yield Event(seen.at, "detected", seen.balancer, f"{primary} is out of pool {pool}")


def promoted(members: Sequence[MemberSample], primary: str) -> Iterator[Event]:
    """Yield the time at which each other member first was not a standby."""
    for name, own in sorted(grouped(members, "member").items()):
        seen = first(own, lambda sample: sample.in_recovery is False)
        if seen and name != primary:
            yield Event(seen.at, "promoted", name, f"timeline {seen.timeline}")


def switched(balancers: Sequence[BalancerSample], primary: str, pool: str) -> Iterator[Event]:
    """Yield the time at which each balancer first had a member other than the old primary in the pool."""
    for name, own in sorted(grouped(balancers, "balancer").items()):
        for sample in own:
            others = [server for server in (sample.up or {}).get(pool, ()) if server != primary]
            if others:
                yield Event(sample.at, "pool switched", name, f"to {', '.join(others)}")
                break


def moved(balancers: Sequence[BalancerSample], injected: float) -> Iterator[Event]:
    """Yield the time at which a balancer got a virtual IP that it did not hold before the fault."""
    for name, own in sorted(grouped(balancers, "balancer").items()):
        had = set(own[0].holds)
        for sample in own:
            got = set(sample.holds) - had
            had = set(sample.holds)
            if got and sample.at >= injected:
                yield Event(sample.at, "vip moved", name, ", ".join(sorted(got)))


def rejoined(members: Sequence[MemberSample], injected: float, healed: float) -> Iterator[Event]:
    """Yield the time at which a member that was away followed the leader's timeline after healing."""
    for name, own in sorted(grouped(members, "member").items()):
        since, timeline = last_away(own, injected), own[-1].timeline
        if since is None or not own[-1].in_recovery:
            continue
        later = [sample for sample in own if sample.at >= max(since, healed) and sample.timeline == timeline]
        if later:
            yield Event(later[0].at, "rejoined", name, f"timeline {timeline}")


def last_away(own: Sequence[MemberSample], injected: float) -> float | None:
    """Return the time of a member's last missing answer or end of silence; None if it was never away."""
    away = [sample.at for sample in own if sample.at > injected and sample.in_recovery is None]
    steps = [after.at for before, after in pairwise(own) if after.at > injected and after.at - before.at > SILENCE]
    return max([*away, *steps], default=None)
