# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The invariants of every fault: one function per rule, each yields the breaches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, combinations, pairwise
from math import inf
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import Route
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import (
    BalancerSample,
    Breach,
    Budget,
    Ledger,
    MemberSample,
    Outcome,
    Write,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.rows import (
    Key,
    acknowledgements,
    duplicated_keys,
    every_write,
    leader_presence,
    lost_keys,
    missing_keys,
    refused_but_present,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.spans import (
    Span,
    by_name,
    dark_spans,
    grouped,
    longest,
    overlaps,
    runs,
    uncovered,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.words import counted

OPEN_AFTER = 2.0
"""Seconds without an acknowledgement at a record's end that exceed a client's last attempt."""
STALE = 0.75
"""Seconds by which a member's claim may be older than its sample: Patroni is asked less often."""
SHOWN = 5

Breaches = Iterator[Breach]


# Words


def moment(ledger: Ledger, at: float) -> str:
    """Return a time relative to the injection, as text."""
    after = at - ledger.injected
    return f"{abs(after):.2f} s {'after' if after >= 0 else 'before'} the injection"


def rows_text(keys: Iterable[Key]) -> str:
    """Return the first rows as writer/sequence, and the number of the others."""
    ordered = sorted(keys)
    shown = ", ".join(f"{writer}/{sequence}" for writer, sequence in ordered[:SHOWN])
    return shown + (f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else "")


def uncertainty(ledger: Ledger, *names: str) -> float:
    """Return the maximum error between the hosts' clocks."""
    return sum(ledger.clock_uncertainty.get(name, 0.0) for name in names)


# The fault and the record itself


def nothing_happened(ledger: Ledger, _budget: Budget) -> Breaches:
    """A fault without a proof, or a switchover to the same primary, can't be judged."""
    if not ledger.proof.strip():
        yield Breach("nothing_happened", f"nothing proves that {ledger.fault} happened")
    if ledger.fault == "switchover" and ledger.primary_before == ledger.primary_after:
        yield Breach("nothing_happened", f"{ledger.primary_before} is the primary as before the switchover")


def no_samples(ledger: Ledger, _budget: Budget) -> Breaches:
    """Every expected host must have been seen."""
    for name, records in (("writers", ledger.writes), ("readers", ledger.reads), ("naive client", ledger.naive)):
        if not records:
            yield Breach("no_samples", f"the {name} recorded nothing")
    if ledger.pooled_pool and not ledger.pooled:
        yield Breach("no_samples", "the clients of the poolers recorded nothing")
    if ledger.consistency and not any(own.route is Route.PRIMARY for own in ledger.transactions):
        yield Breach("no_samples", "the clients of lists recorded nothing")
    for name, samples in observed(ledger).items():
        if not samples:
            yield Breach("no_samples", f"{name} was never observed")
    if not ledger.members:
        yield Breach("no_samples", "no member was observed")


def observed(ledger: Ledger) -> dict[str, Sequence[Any]]:
    """Return the samples of every expected host."""
    members, balancers = by_name(ledger.members, "member"), by_name(ledger.balancers, "balancer")
    expected: dict[str, Sequence[Any]] = dict.fromkeys((*ledger.expected_members, *ledger.expected_balancers), ())
    merged: dict[str, list[Any]] = {}
    for name, samples in (*members.items(), *balancers.items()):
        merged.setdefault(name, []).extend(samples)
    return {**expected, **merged}


def blind(ledger: Ledger, budget: Budget) -> Breaches:
    """Every host must be observed from the injection to the end, except while it was dark."""
    for name, samples in observed(ledger).items():
        times = [sample.at for sample in samples]
        for begin, end in holes(times, ledger) if times else ():
            if unexplained(ledger, budget, name, begin, end) > budget.blind:
                text = f"{name} was not observed for {end - begin:.2f} s from {moment(ledger, begin)}"
                yield Breach("blind", text)
    for name, records in (("writers", ledger.writes), ("readers", ledger.reads)):
        attempts = [(record.begun, record.ended) for record in records]
        for begin, end in uncovered(attempts, ledger.injected, ledger.ended) if attempts else ():
            if end - begin > budget.blind:
                yield Breach("blind", f"the {name} tried nothing for {end - begin:.2f} s from {moment(ledger, begin)}")


def holes(times: Sequence[float], ledger: Ledger) -> list[tuple[float, float]]:
    """Return the times between the samples from the injection to the end."""
    within = sorted(at for at in times if ledger.injected < at < ledger.ended)
    return list(pairwise([ledger.injected, *within, ledger.ended]))


def unexplained(ledger: Ledger, budget: Budget, host: str, begin: float, end: float) -> float:
    """Return the seconds of a silence during which the host was neither dark nor booting afterwards."""
    dark = [span for span in dark_spans(ledger, host) if span.begin < end and span.end > begin]
    spans = [(span.begin, span.end + budget.boot) for span in dark]
    return max((last - first for first, last in uncovered(spans, begin, end)), default=0.0)


def clock_backwards(ledger: Ledger, _budget: Budget) -> Breaches:
    """A record whose times run backwards is unusable; it is kept and reported."""
    marks = [ledger.begun, ledger.injected, ledger.healed, ledger.ended]
    found = [] if marks == sorted(marks) else ["begin, injection, healing and end are out of order"]
    for name, records in client_streams(ledger):
        ended = sum(record.ended < record.begun for record in records)
        found += [f"{counted(ended, 'record')} of {name} ended before they began"] if ended else []
        found += steps_back(name, [record.begun for record in records], 2 * uncertainty(ledger, name))
    observers = (grouped(ledger.members, "member"), grouped(ledger.balancers, "balancer"))
    for name, samples in chain.from_iterable(observer.items() for observer in observers):
        found += steps_back(name, [sample.at for sample in samples], 2 * uncertainty(ledger, name))
    if found:
        yield Breach("clock_backwards", f"{listed(found)}: the times of this record are unusable")


def listed(sentences: Sequence[str]) -> str:
    """Return the first sentences, and the number of the others."""
    more = len(sentences) - SHOWN
    return "; ".join(sentences[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def client_streams(ledger: Ledger) -> Iterator[tuple[str, list[Any]]]:
    """Yield the records of each client, in the order in which they were recorded."""
    yield from grouped((*ledger.writes, *ledger.naive, *ledger.pooled), "writer").items()
    yield from grouped(ledger.reads, "reader").items()
    yield from grouped(ledger.local_writes, "server").items()
    yield from grouped(ledger.transactions, "client").items()


def steps_back(name: str, times: Sequence[float], allowed: float) -> list[str]:
    """Return how far a source's times go back, beyond its clock's uncertainty."""
    back = max((before - after for before, after in pairwise(times)), default=0.0)
    return [f"the times of {name} go back by {back:.3f} s"] if back > allowed else []


# Rows


def rows_kept(ledger: Ledger, _budget: Budget) -> Breaches:
    """Every acknowledged row is on every member; no row is stored twice or after a refusal."""
    if leader_presence(ledger) is None:
        yield Breach("no_samples", f"the rows on the leader {ledger.primary_after or '(none)'} were not looked up")
    lost = lost_keys(ledger)
    if lost:
        text = f"{counted(len(lost), 'acknowledged row')} not on the leader {ledger.primary_after}: {rows_text(lost)}"
        yield Breach("lost_acknowledged", text)
    for member, missing in missing_keys(ledger).items():
        beyond = missing - lost
        if beyond:
            text = f"{counted(len(beyond), 'acknowledged row')} not on the standby {member}: {rows_text(beyond)}"
            yield Breach("missing_on_standby", text)
    for member in ledger.expected_members:
        if member != ledger.primary_after and member not in {found.member for found in ledger.presence}:
            yield Breach("no_samples", f"the rows on {member} were not looked up")
    duplicated = duplicated_keys(ledger)
    if duplicated:
        yield Breach("duplicated", f"{counted(len(duplicated), 'row')} stored more than once: {rows_text(duplicated)}")
    refused = refused_but_present(ledger)
    if refused:
        yield Breach("refused_but_present", f"{counted(len(refused), 'refused row')} stored: {rows_text(refused)}")


# Writers and primaries


def two_writers(ledger: Ledger, budget: Budget) -> Breaches:
    """After a member took over, no other may acknowledge, unless it was a standby in between."""
    leader, since = ledger.primary_before, -inf
    standby: dict[str, float] = {}
    offences: dict[tuple[str, str], list[Write]] = {}
    for at, kind, member, write in sorted(authority(ledger, budget), key=lambda item: item[:2]):
        if kind == "standby":
            standby[member] = at
        elif member == leader:
            continue
        elif kind == "promoted" or since == -inf or standby.get(member, -inf) > since:
            leader, since = member, at
        elif write is not None and write.begun > since + uncertainty(ledger, member, leader):
            offences.setdefault((member, leader), []).append(write)
    for (member, other), writes in offences.items():
        text = f"{member} acknowledged {counted(len(writes), 'write')} after {other} had taken over"
        yield Breach("two_writers", f"{text}, the first {moment(ledger, min(write.begun for write in writes))}")


def authority(ledger: Ledger, budget: Budget) -> Iterator[tuple[float, str, str, Write | None]]:
    """Yield role changes and writes: (at, promoted | standby | wrote, member, the write)."""
    for event in ledger.events:
        if event.kind == "promoted":
            yield event.at, "promoted", event.subject, None
    for sample in ledger.members:
        if sample.in_recovery:
            yield sample.at, "standby", sample.member, None
    for write in (*every_write(ledger), *sampled_writes(ledger, budget)):
        if write.outcome is Outcome.ACKNOWLEDGED and write.server:
            yield write.ended, "wrote", write.server, write


def sampled_writes(ledger: Ledger, budget: Budget) -> Iterator[Write]:
    """Yield the writes in the samples: each happened at some time since the previous sample."""
    for member, samples in by_name(ledger.members, "member").items():
        for number, (before, this) in enumerate(pairwise(samples)):
            if this.takes_write and this.at - before.at <= budget.blind:
                yield Write(f"on {member}", number, before.at, this.at, Outcome.ACKNOWLEDGED, member)


def primaries(ledger: Ledger, budget: Budget) -> dict[str, list[Span]]:
    """Return the spans in which each member claimed to be primary."""
    return {
        member: runs(samples, lambda sample: sample.claims_primary is True, budget.blind, dark_spans(ledger, member))
        for member, samples in by_name(ledger.members, "member").items()
    }


def two_primaries(ledger: Ledger, budget: Budget) -> Breaches:
    """The balancers never see two primaries at once, or for no longer than the profile's watch allows."""
    for (one, ones), (other, others) in combinations(primaries(ledger, budget).items(), 2):
        both = longest(overlaps(ones, others))
        if both is not None and both.length > STALE + uncertainty(ledger, one, other) + budget.two_primaries:
            text = (
                f"{one} and {other} both said they are primary for {lasting(both)}, from {moment(ledger, both.begin)}"
            )
            yield Breach("two_primaries", text)


def lasting(span: Span) -> str:
    """Return the certain seconds of a span, and the possible ones between the samples."""
    return f"{span.length:.2f} s (at most {span.longest:.2f} s)"


# Balancers


def two_holders(ledger: Ledger, budget: Budget) -> Breaches:
    """Two reachable balancers hold the same VIP at once for no longer than the advert window."""
    balancers = by_name(ledger.balancers, "balancer")
    for vip in virtual_ips(ledger):
        held = {name: holding(ledger, budget, vip, name, samples) for name, samples in balancers.items()}
        for (one, ones), (other, others) in combinations(held.items(), 2):
            both = longest(overlaps(ones, others))
            if both is not None and both.length - uncertainty(ledger, one, other) > budget.two_holders:
                text = f"{one} and {other} both held {vip} for {lasting(both)}, {budget.two_holders:.2f} s are allowed"
                yield Breach("two_holders", f"{text}, from {moment(ledger, both.begin)}")


def virtual_ips(ledger: Ledger) -> list[str]:
    """Return every VIP that any balancer ever held."""
    return sorted({vip for sample in ledger.balancers for vip in sample.holds})


def holding(ledger: Ledger, budget: Budget, vip: str, name: str, samples: Sequence[BalancerSample]) -> list[Span]:
    """Return when a balancer held a VIP and was reachable: an isolated one can't know that it lost the VIP."""
    doubt = uncertainty(ledger, name)
    unreached = [(begin + doubt, end - doubt) for begin, end in ledger.cut.get(name, ())]

    def offers(sample: BalancerSample) -> bool:
        return vip in sample.holds and not any(begin < sample.at < end for begin, end in unreached)

    return runs(samples, offers, budget.blind, dark_spans(ledger, name))


def no_holder(ledger: Ledger, _budget: Budget) -> Breaches:
    """Every VIP has a holder at the end."""
    last = {name: samples[-1] for name, samples in by_name(ledger.balancers, "balancer").items()}
    vips = virtual_ips(ledger)
    if last and not vips:
        yield Breach("no_holder", "no balancer ever held a VIP")
    for vip in vips:
        if not any(vip in sample.holds for sample in last.values()):
            yield Breach("no_holder", f"no balancer holds {vip} at the end")


def wrong_pool_member(ledger: Ledger, budget: Budget) -> Breaches:
    """HAProxy sends writes to the primary only, and reads to standbys, as soon as its checks can detect the roles."""
    yield from wrong_while(ledger, budget, ledger.write_pools, no_primaries(ledger, budget), "is not primary")
    yield from wrong_while(ledger, budget, ledger.read_pools, out_of_recovery(ledger, budget), "is primary")
    yield from wrong_in_the_end(ledger)
    yield from reads_on_primary(ledger, budget)


def no_primaries(ledger: Ledger, budget: Budget) -> dict[str, list[Span]]:
    """Return when each member certainly was not the primary: a standby, denied by Patroni, or dark."""
    return {
        member: [
            *runs(samples, is_no_primary, budget.blind, dark_spans(ledger, member)),
            *dark_spans(ledger, member),
        ]
        for member, samples in by_name(ledger.members, "member").items()
    }


def is_no_primary(sample: MemberSample) -> bool:
    """Return whether a member knows that it is not the primary."""
    return sample.claims_primary is False or (sample.in_recovery is True and not sample.claims_primary)


def out_of_recovery(ledger: Ledger, budget: Budget) -> dict[str, list[Span]]:
    """Return when each member certainly was not a standby: until the promotion ends, it serves reads as before."""
    return {
        member: runs(samples, lambda sample: sample.in_recovery is False, budget.blind, dark_spans(ledger, member))
        for member, samples in by_name(ledger.members, "member").items()
    }


def wrong_while(
    ledger: Ledger, budget: Budget, pools: Sequence[str], wrong: dict[str, list[Span]], what: str
) -> Breaches:
    """Yield the wrong servers that a pool listed for too long."""
    for balancer, samples in by_name(ledger.balancers, "balancer").items():
        dark = dark_spans(ledger, balancer)
        for pool in pools:
            for server, spans in wrong.items():
                listed = runs(samples, lists(pool, server), budget.blind, dark)
                both = longest(overlaps(listed, spans))
                allowed = budget.pool_detection + uncertainty(ledger, balancer, server)
                if both is not None and both.length > allowed:
                    text = f"{balancer} listed {server} in pool {pool} for {lasting(both)} though it {what}"
                    yield Breach("wrong_pool_member", f"{text}, from {moment(ledger, both.begin)}")


def lists(pool: str, server: str) -> Callable[[BalancerSample], bool]:
    """Return whether a sample has a server up in a pool."""
    return lambda sample: server in (sample.up or {}).get(pool, ())


def wrong_in_the_end(ledger: Ledger) -> Breaches:
    """Yield the pools whose servers are wrong in the last sample."""
    for balancer, samples in by_name(ledger.balancers, "balancer").items():
        up = samples[-1].up or {}
        for pool in ledger.read_pools:
            if ledger.primary_after in up.get(pool, ()):
                text = f"{balancer} lists the primary {ledger.primary_after} in pool {pool} at the end"
                yield Breach("wrong_pool_member", text)
        for pool in ledger.write_pools:
            if pool in up and tuple(up[pool]) != (ledger.primary_after,):
                text = f"{balancer} lists {', '.join(up[pool]) or 'no server'} in pool {pool} at the end"
                yield Breach("wrong_pool_member", f"{text}, the primary is {ledger.primary_after}")


def reads_on_primary(ledger: Ledger, budget: Budget) -> Breaches:
    """Yield the reads that reached, through the read port, a member that had been primary for longer than a check."""
    spans = out_of_recovery(ledger, budget) if ledger.read_pools else {}
    wrong = [
        read
        for read in ledger.reads
        if read.ok
        and any(span.begin + budget.pool_detection < read.begun < span.end for span in spans.get(read.server, ()))
    ]
    if wrong:
        names = ", ".join(sorted({read.server for read in wrong}))
        text = f"{counted(len(wrong), 'read')} went to the primary {names}"
        yield Breach("wrong_pool_member", f"{text}, the first {moment(ledger, min(read.begun for read in wrong))}")


# The end


def not_recovered(ledger: Ledger, _budget: Budget) -> Breaches:
    """At the end rows are acknowledged, one member is primary, and all others follow it on its timeline."""
    silence = ledger.ended - max(acknowledgements(ledger.writes), default=ledger.begun)
    if silence > OPEN_AFTER:
        yield Breach(
            "not_recovered",
            f"no write was acknowledged in the last {silence:.2f} s, the least length of the outage",
        )
    for what, seconds in ledger.recovery.items():
        if seconds is None or seconds is False:
            yield Breach("not_recovered", f"{what} did not recover")
    yield from members_in_the_end(ledger)


def members_in_the_end(ledger: Ledger) -> Breaches:
    """Yield the members' problems in their last samples."""
    last = {member: samples[-1] for member, samples in by_name(ledger.members, "member").items()}
    claiming = [member for member, sample in last.items() if sample.claims_primary]
    if last and not claiming:
        yield Breach("not_recovered", "no member claims to be primary at the end")
    if len(claiming) == 1 and claiming[0] != ledger.primary_after:
        yield Breach(
            "not_recovered", f"{claiming[0]} is primary at the end, {ledger.primary_after or 'none'} was recorded"
        )
    leader = last.get(ledger.primary_after)
    for member, sample in last.items():
        if sample.in_recovery is None:
            yield Breach("not_recovered", f"{member} does not answer at the end")
        elif leader and None not in (sample.timeline, leader.timeline) and sample.timeline != leader.timeline:
            text = f"{member} is on timeline {sample.timeline} at the end, the leader on {leader.timeline}"
            yield Breach("not_recovered", text)


INVARIANTS: tuple[Callable[[Ledger, Budget], Breaches], ...] = (
    nothing_happened,
    clock_backwards,
    no_samples,
    blind,
    rows_kept,
    two_writers,
    two_primaries,
    two_holders,
    no_holder,
    wrong_pool_member,
    not_recovered,
)
