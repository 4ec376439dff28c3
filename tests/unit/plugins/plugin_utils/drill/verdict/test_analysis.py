# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every rule fires where it must and stays silent right beside: cases are changes to a faultless record."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.analysis import judge
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import (
    BalancerSample,
    Budget,
    Event,
    Ledger,
    MemberSample,
    Outcome,
    Presence,
    Verdict,
    Write,
)

from tests.unit.plugins.plugin_utils.drill import ledgers
from tests.unit.plugins.plugin_utils.drill.ledgers import BUDGET, ENDED, MEMBERS, VIP, ledger, write

CALM = ledger()
NEW = 1000
"""A sequence that the faultless record does not use."""


def rules(verdict: Verdict) -> set[str]:
    return {breach.rule for breach in verdict.breaches}


def judged(changed: Ledger, **budget: Any) -> Verdict:
    return judge(changed, replace(BUDGET, **budget))


def with_rows(*rows: Write, stored: Iterable[int] = (1, 1, 1), stream: str = "writes") -> Ledger:
    """The faultless record with more rows, each so many times on db1, db2, db3."""
    extra = {(row.writer, row.sequence) for row in rows}
    presence = tuple(
        Presence(found.member, {**found.counts, **(dict.fromkeys(extra, count) if count else {})})
        for found, count in zip(CALM.presence, stored, strict=True)
    )
    return ledger(**{stream: (*getattr(CALM, stream), *rows), "presence": presence})


def with_members(change: Callable[[MemberSample], MemberSample | None]) -> Ledger:
    return ledger(members=tuple(new for old in CALM.members if (new := change(old)) is not None))


def with_balancers(change: Callable[[BalancerSample], BalancerSample | None]) -> Ledger:
    return ledger(balancers=tuple(new for old in CALM.balancers if (new := change(old)) is not None))


def without_acknowledgements(begin: float, end: float = ENDED + 1) -> Ledger:
    """The faultless record whose writes of a time are refused instead."""
    return ledger(
        writes=tuple(replace(row, outcome=Outcome.REFUSED) if begin < row.ended < end else row for row in CALM.writes),
        presence=tuple(
            Presence(
                found.member,
                {
                    key: count
                    for key, count in found.counts.items()
                    if not any(key == (row.writer, row.sequence) and begin < row.ended < end for row in CALM.writes)
                },
            )
            for found in CALM.presence
        ),
    )


def test_a_faultless_record() -> None:
    verdict = judged(CALM)

    assert verdict.breaches == ()
    assert verdict.rto == pytest.approx(4.0)
    assert verdict.write_gap == (10.0, 14.0)
    assert verdict.read_gap == pytest.approx(0.2)
    assert verdict.naive_gap == pytest.approx(12.2)
    assert (verdict.acknowledged, verdict.unknown, verdict.warned) == (109, 2, 0)
    assert (verdict.lost, verdict.missing, verdict.duplicated, verdict.read_errors) == ((), (), (), 0)
    assert verdict.resumed == pytest.approx(0.0)


# Gaps


def test_a_gap_before_the_injection_is_not_the_faults() -> None:
    verdict = judged(without_acknowledgements(5.1, 9.7))
    assert verdict.write_gap == (10.0, 14.0)


def test_a_gap_that_reaches_over_the_injection_begins_at_the_last_acknowledgement() -> None:
    assert judged(without_acknowledgements(9.1, 14.0)).write_gap == (9.0, 14.0)


def test_without_acknowledgements_the_gap_is_the_whole_record() -> None:
    verdict = judged(without_acknowledgements(0.0))
    assert verdict.rto == pytest.approx(25.0)
    assert verdict.resumed is None
    assert {"over_budget", "not_recovered"} <= rules(verdict)


@pytest.mark.parametrize(
    ("since", "open_gap", "broken"),
    [(25.0, 5.0, {"not_recovered"}), (27.5, 4.0, {"not_recovered"}), (28.3, 4.0, set())],
)
def test_a_gap_still_open_at_the_end_counts_as_far_as_it_goes(since: float, open_gap: float, broken: set[str]) -> None:
    verdict = judged(without_acknowledgements(since), writes=5.5)
    assert verdict.rto == pytest.approx(open_gap)
    assert rules(verdict) == broken


def test_a_warned_commit_closes_no_gap_and_promises_nothing() -> None:
    warned = with_rows(write(NEW, 12.0, Outcome.WARNED, writer="w2"), stored=(0, 0, 0))
    verdict = judged(warned)
    assert (verdict.rto, verdict.warned, verdict.breaches) == (pytest.approx(4.0), 1, ())


def test_errors_of_readers_count_from_the_injection() -> None:
    reads = tuple(replace(read, ok=not (9 < read.ended < 9.9 or 15 < read.ended < 15.5)) for read in CALM.reads)
    verdict = judged(ledger(reads=reads))
    assert (verdict.read_errors, verdict.read_gap, verdict.breaches) == (2, pytest.approx(0.6), ())


@pytest.mark.parametrize(
    ("budget", "broken"),
    [
        ({"writes": 4.01}, set()),
        ({"writes": 3.99}, {"over_budget"}),
        ({"writes": 0.1}, {"over_budget"}),
        ({"writes": None}, set()),
        ({"reads": 0.21}, set()),
        ({"reads": 0.19}, {"over_budget"}),
        ({"reads": None}, set()),
        ({"predicted": 4.01}, set()),
        ({"predicted": 3.99}, {"over_predicted"}),
        ({"writes": None, "predicted": 3.99}, {"over_predicted"}),
    ],
)
def test_budgets(budget: dict[str, Any], broken: set[str]) -> None:
    assert rules(judged(CALM, **budget)) == broken


@pytest.mark.parametrize(("until", "broken"), [(20.9, set()), (21.3, {"over_budget"})])
def test_writes_resume_after_healing(until: float, broken: set[str]) -> None:
    assert rules(judged(without_acknowledgements(14.0, until), writes=None)) == broken


# Rows


@pytest.mark.parametrize(
    ("outcome", "stored", "broken"),
    [
        (Outcome.ACKNOWLEDGED, (1, 1, 1), set()),
        (Outcome.ACKNOWLEDGED, (0, 0, 0), {"lost_acknowledged"}),
        (Outcome.ACKNOWLEDGED, (1, 0, 1), {"lost_acknowledged"}),
        (Outcome.ACKNOWLEDGED, (0, 1, 1), {"missing_on_standby"}),
        (Outcome.ACKNOWLEDGED, (1, 2, 1), {"duplicated"}),
        (Outcome.UNKNOWN, (0, 0, 0), set()),
        (Outcome.UNKNOWN, (1, 1, 1), set()),
        (Outcome.UNKNOWN, (2, 2, 2), {"duplicated"}),
        (Outcome.WARNED, (0, 0, 0), set()),
        (Outcome.WARNED, (1, 1, 1), set()),
        (Outcome.WARNED, (1, 1, 2), {"duplicated"}),
        (Outcome.REFUSED, (0, 0, 0), set()),
        (Outcome.REFUSED, (1, 1, 1), {"refused_but_present"}),
    ],
)
def test_rows_and_where_they_are(outcome: Outcome, stored: tuple[int, ...], broken: set[str]) -> None:
    assert rules(judged(with_rows(write(NEW, 29.9, outcome, "db2"), stored=stored))) == broken


@pytest.mark.parametrize("stream", ["naive", "local_writes"])
def test_the_rows_of_every_client_are_looked_for(stream: str) -> None:
    row = Write("other", 1, 9.95, 9.97, Outcome.ACKNOWLEDGED, "db1")
    verdict = judged(with_rows(row, stored=(1, 0, 0), stream=stream))
    assert verdict.lost == (("other", 1),)
    assert rules(verdict) == {"lost_acknowledged"}


def test_a_row_refused_once_and_stored_by_the_next_attempt() -> None:
    rows = (write(NEW, 29.7, Outcome.REFUSED, "", writer="w2"), write(NEW, 29.8, server="db2", writer="w2"))
    assert judged(with_rows(*rows)).breaches == ()


def test_lost_rows_are_named_and_counted() -> None:
    counts = {key: 1 for key in CALM.presence[1].counts if not ("w1", 3) <= key <= ("w1", 10)}
    presence = (CALM.presence[0], Presence("db2", counts), CALM.presence[2])
    verdict = judged(ledger(presence=presence))
    assert verdict.lost == tuple(("w1", sequence) for sequence in range(3, 11))
    assert [breach.text for breach in verdict.breaches] == [
        "8 acknowledged rows not on the leader db2: w1/3, w1/4, w1/5, w1/6, w1/7 and 3 more"
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1 acknowledged row not on the leader db2: w1/1"),
        (5, "5 acknowledged rows not on the leader db2: w1/1, w1/2, w1/3, w1/4, w1/5"),
    ],
)
def test_few_lost_rows_are_all_named(number: int, text: str) -> None:
    gone = {("w1", sequence + 1) for sequence in range(number)}
    counts = {key: 1 for key in CALM.presence[1].counts if key not in gone}
    verdict = judged(ledger(presence=(CALM.presence[0], Presence("db2", counts), CALM.presence[2])))
    assert [breach.text for breach in verdict.breaches] == [text]


@pytest.mark.parametrize("member", MEMBERS)
def test_rows_have_to_be_looked_for_on_every_member(member: str) -> None:
    verdict = judged(ledger(presence=tuple(found for found in CALM.presence if found.member != member)))
    assert rules(verdict) == {"no_samples"}


# Writers and primaries


def local(begun: float, server: str) -> Write:
    """An acknowledged row written on a member itself."""
    return Write(f"local {server}", int(begun * 1000), begun, begun + 0.01, Outcome.ACKNOWLEDGED, server)


@pytest.mark.parametrize(
    ("rows", "broken"),
    [
        ((local(9.9, "db1"), local(13.5, "db2")), set()),
        ((local(12.9, "db1"),), set()),  # db2 is promoted at 13.0
        ((local(13.0005, "db1"),), set()),  # within the clocks' uncertainty
        ((local(13.1, "db1"),), {"two_writers"}),
        ((local(15.0, "db1"), local(15.05, "db2")), {"two_writers"}),
        ((local(15.0, "db3"),), {"two_writers"}),
    ],
)
def test_one_member_acknowledges(rows: tuple[Write, ...], broken: set[str]) -> None:
    assert rules(judged(with_rows(*rows, stream="local_writes"))) == broken


def test_two_writers_show_without_any_event_of_a_promotion() -> None:
    split = replace(with_rows(local(14.1, "db1"), stream="local_writes"), events=())
    calm = replace(with_rows(local(13.9, "db1"), stream="local_writes"), events=())
    assert (rules(judged(split)), rules(judged(calm))) == ({"two_writers"}, set())


def test_a_write_that_a_sample_tells_of_counts() -> None:
    writing = with_members(lambda old: replace(old, takes_write=old.member == "db3" and old.at == 16.0))
    standing = with_members(lambda old: replace(old, takes_write=old.member == "db2" and old.at == 16.0))
    assert (rules(judged(writing)), rules(judged(standing))) == ({"two_writers"}, set())


def test_back_to_the_first_primary_is_no_second_writer() -> None:
    """db1 was a standby from 20 s on, leads again at 25 s and writes."""
    back = with_rows(local(26.0, "db1"), stream="local_writes")
    back = replace(back, events=(*back.events, Event(25.0, "promoted", "db1")))
    back = replace(back, writes=tuple(row for row in back.writes if row.ended < 25.0), naive=back.naive[:3])
    assert "two_writers" not in rules(judged(back))
    assert "two_writers" in rules(judged(replace(back, naive=CALM.naive)))


def test_a_member_seen_as_standby_may_lead_again() -> None:
    """As before, but only samples tell that db1 was a standby, and nobody tells of its promotion."""
    back = with_rows(local(26.0, "db1"), stream="local_writes")
    back = replace(back, writes=tuple(row for row in back.writes if row.ended < 25.0), naive=back.naive[:3])
    unseen = tuple(sample for sample in back.members if sample.member != "db1" or sample.at < 19.0)
    assert "two_writers" not in rules(judged(back))
    assert "two_writers" in rules(judged(replace(back, members=unseen)))


@pytest.mark.parametrize(("until", "broken"), [(13.8, set()), (14.6, {"two_primaries"})])
def test_one_member_claims_to_be_primary(until: float, broken: set[str]) -> None:
    """db2 claims from 13.2 s on; what a sample says may be 0.75 s old."""
    claiming = with_members(lambda old: replace(old, claims_primary=old.claims_primary or (
        old.member == "db3" and 13.0 < old.at <= until)))  # fmt: skip
    assert rules(judged(claiming, pool_detection=5.0)) == broken
    assert rules(judged(claiming, pool_detection=5.0, two_primaries=1.0)) == set()


# Balancers


@pytest.mark.parametrize(
    ("until", "allowed", "broken"),
    [
        (15.6, 0.8, set()),
        (16.0, 0.8, {"two_holders"}),
        (16.0, 1.1, set()),
        (15.0, 0.0, set()),  # one sample lasts no time
        (15.2, 0.0, {"two_holders"}),
    ],
)
def test_one_balancer_holds_the_vip(until: float, allowed: float, broken: set[str]) -> None:
    held = with_balancers(lambda old: replace(old, holds=(VIP,)) if 15.0 <= old.at <= until else old)
    assert rules(judged(held, two_holders=allowed)) == broken


@pytest.mark.parametrize(
    ("cut", "broken"),
    [
        ({}, {"two_holders"}),
        ({"lb1": ((11.0, 19.9),)}, set()),
        ({"lb2": ((11.0, 19.9),)}, set()),
        ({"db1": ((11.0, 19.9),)}, {"two_holders"}),  # another host
        ({"lb1": ((12.5, 19.9),)}, {"two_holders"}),  # only from then on
        ({"lb1": ((11.0, 18.5),)}, {"two_holders"}),  # only until then
        ({"lb1": ((11.0, 14.0), (15.5, 19.9))}, {"two_holders"}),  # not in between
        ({"lb1": ((11.0, 15.0), (15.1, 19.9))}, set()),
    ],
)
def test_a_balancer_cut_off_from_everybody_is_no_holder(cut: dict[str, Any], broken: set[str]) -> None:
    """lb1 keeps the VIP, lb2 takes it from 11.2 to 19.8 s."""
    held = with_balancers(lambda old: replace(old, holds=(VIP,)) if 11.1 < old.at < 19.9 else old)
    assert rules(judged(replace(held, cut=cut))) == broken


def test_the_end_of_a_cut_is_as_certain_as_the_clocks() -> None:
    held = with_balancers(lambda old: replace(old, holds=(VIP,)) if 11.1 < old.at < 20.1 else old)
    surely = replace(held, cut={"lb1": ((11.0, 19.1),)})
    assert rules(judged(surely, two_holders=0.9)) == set()
    assert rules(judged(surely, two_holders=0.7)) == {"two_holders"}
    doubtful = replace(surely, clock_uncertainty={"lb1": 0.15})
    assert rules(judged(doubtful, two_holders=0.7)) == {"two_holders"}


def test_a_cut_off_holder_alone_is_a_holder_in_the_end_only_if_reached() -> None:
    """no_holder looks at the end of the record, where nothing is cut off any more."""
    assert rules(judged(replace(CALM, cut={"lb1": ((11.0, 19.9),)}))) == set()


def test_clocks_may_be_wrong_about_two_holders() -> None:
    held = with_balancers(lambda old: replace(old, holds=(VIP,)) if 15.0 <= old.at <= 16.0 else old)
    doubtful = replace(held, clock_uncertainty={"lb1": 0.15, "lb2": 0.15})
    assert rules(judged(doubtful)) == set()


def test_nothing_is_concluded_from_a_silence() -> None:
    """lb2 holds the VIP at 15 and at 16 s and was not asked in between."""
    held = with_balancers(
        lambda old: old if old.balancer == "lb1" or not 15.0 < old.at < 16.0 else None,
    )
    held = replace(held, balancers=tuple(
        replace(old, holds=(VIP,)) if old.balancer == "lb2" and 15.0 <= old.at <= 16.0 else old
        for old in held.balancers))  # fmt: skip
    assert rules(judged(held, blind=0.9)) == {"blind"}
    assert rules(judged(held, blind=1.1)) == {"two_holders"}


@pytest.mark.parametrize(
    ("since", "broken"), [(29.5, {"no_holder"}), (29.7, {"no_holder"}), (29.9, set()), (0.0, {"no_holder"})]
)
def test_the_vip_is_held_in_the_end(since: float, broken: set[str]) -> None:
    assert rules(judged(with_balancers(lambda old: replace(old, holds=old.holds if old.at < since else ())))) == broken


def listing(pool: str, server: str, begin: float, end: float) -> Ledger:
    """The faultless record with one more server up in lb1's pool."""

    def changed(old: BalancerSample) -> BalancerSample:
        up = dict(old.up or {})
        if old.balancer == "lb1" and begin <= old.at <= end:
            up[pool] = tuple(sorted({*up[pool], server}))
        return replace(old, up=up)

    return with_balancers(changed)


@pytest.mark.parametrize(
    ("pool", "server", "begin", "end", "broken"),
    [
        ("primary", "db3", 15.0, 15.8, set()),
        ("primary", "db3", 15.0, 16.4, {"wrong_pool_member"}),
        ("primary", "db1", 10.0, 10.8, set()),  # dark since 10 s
        ("primary", "db1", 10.0, 12.0, {"wrong_pool_member"}),
        ("primary", "db3", 29.8, 30.0, {"wrong_pool_member"}),  # in the end
        ("standby", "db2", 13.0, 14.0, set()),  # primary since 13.2 s
        ("standby", "db2", 13.0, 14.6, {"wrong_pool_member"}),
        ("standby", "db2", 29.8, 30.0, {"wrong_pool_member"}),
        ("standby", "db1", 5.0, 5.8, set()),
    ],
)
def test_pools_list_the_right_members(pool: str, server: str, begin: float, end: float, broken: set[str]) -> None:
    assert rules(judged(listing(pool, server, begin, end))) == broken


def test_without_checks_every_server_stays_up() -> None:
    everybody = {"primary": MEMBERS, "standby": MEMBERS}
    verdict = judged(with_balancers(lambda old: replace(old, up=everybody)))
    assert rules(verdict) == {"wrong_pool_member"}
    assert any("lb1 listed db3 in pool primary" in breach.text for breach in verdict.breaches)


def test_a_slow_promotion_is_no_wrong_pool_member() -> None:
    """db2 holds the leader's lock from 13.2 s on and is in recovery until 17 s: both pools may list it."""
    slow = with_members(lambda old: replace(old, in_recovery=True) if old.member == "db2" and old.at < 17.0 else old)
    pools = listing("standby", "db2", 13.0, 17.0).balancers
    reads = tuple(replace(read, server="db2") if read.ended == 16.0 else read for read in CALM.reads)
    assert rules(judged(replace(slow, balancers=pools, reads=reads))) == set()


def test_a_member_that_patroni_denies_is_wrong_in_recovery_or_not() -> None:
    for recovering in (True, False):
        denied = with_members(
            lambda old, recovering=recovering: (
                replace(old, in_recovery=recovering, claims_primary=False)
                if old.member == "db2" and 14.0 < old.at < 17.0
                else old
            )
        )
        assert "wrong_pool_member" in rules(judged(denied))


def test_an_empty_write_pool_in_the_end_is_wrong() -> None:
    empty = with_balancers(lambda old: replace(old, up={**(old.up or {}), "primary": ()}) if old.at > 29.0 else old)
    assert rules(judged(empty)) == {"wrong_pool_member"}


@pytest.mark.parametrize(("server", "at", "broken"), [
    ("db2", 16.0, {"wrong_pool_member"}),
    ("db2", 13.5, set()),
    ("db2", 6.0, set()),
    ("db3", 16.0, set()),
])  # fmt: skip
def test_reads_do_not_go_to_the_primary(server: str, at: float, broken: set[str]) -> None:
    reads = tuple(replace(read, server=server) if read.ended == at else read for read in CALM.reads)
    assert rules(judged(ledger(reads=reads))) == broken
    assert rules(judged(ledger(reads=reads, read_pools=()))) == set()


# The record itself


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"proof": ""}, {"nothing_happened"}),
        ({"proof": " \n"}, {"nothing_happened"}),
        ({"fault": "switchover"}, set()),
        ({"fault": "switchover", "primary_before": "db2"}, {"nothing_happened"}),
        ({"primary_after": "db3"}, {"not_recovered", "wrong_pool_member"}),
        ({"writes": ()}, {"no_samples", "over_budget", "not_recovered", "refused_but_present"}),
        ({"naive": ()}, {"no_samples"}),
        ({"members": (), "expected_members": ()}, {"no_samples"}),
        ({"balancers": ()}, {"no_samples"}),
        ({"balancers": (), "expected_balancers": ()}, set()),
        ({"recovery": {"etcd": None}}, {"not_recovered"}),
        ({"recovery": {"etcd": 0.0}}, set()),
        ({"healed": 9.0}, {"clock_backwards"}),
    ],
)
def test_the_record(changes: dict[str, Any], broken: set[str]) -> None:
    found = rules(judged(ledger(**changes)))
    assert found == broken - ({"refused_but_present"} if "writes" in changes else set())


@pytest.mark.parametrize(("number", "broken"), [(8, set()), (12, {"blind"})])
def test_nobody_looks_away(number: int, broken: set[str]) -> None:
    """A member, a balancer, the writers or the readers are silent for 1.8 or 2.6 s from 20 s on."""
    end = 20.0 + number * ledgers.STEP + 0.1

    def silent(at: float) -> bool:
        return 20.1 < at < end

    assert rules(judged(with_members(lambda old: None if old.member == "db3" and silent(old.at) else old))) == broken
    assert (
        rules(judged(with_balancers(lambda old: None if old.balancer == "lb2" and silent(old.at) else old))) == broken
    )
    reads = tuple(read for read in CALM.reads if not silent(read.ended))
    assert rules(judged(ledger(reads=reads), reads=None)) == broken
    writes = tuple(row for row in CALM.writes if not silent(row.ended))
    assert rules(judged(ledger(writes=writes), resumed=None)) == broken


@pytest.mark.parametrize(
    ("dark", "boot", "broken"),
    [
        ({"db1": ((10.0, 20.0),)}, 0.0, set()),
        ({}, 60.0, {"blind"}),
        ({"db2": ((10.0, 20.0),)}, 60.0, {"blind"}),
        ({"db1": ((10.0, 15.0),)}, 0.0, {"blind"}),
        ({"db1": ((10.0, 15.0),)}, 4.0, set()),
    ],
)
def test_a_dark_host_may_be_silent_until_it_has_booted(dark: dict[str, Any], boot: float, broken: set[str]) -> None:
    assert rules(judged(ledger(dark=dark), boot=boot)) - {"wrong_pool_member"} == broken


def test_who_was_blind_when() -> None:
    quiet = with_members(lambda old: None if old.member == "db3" and 20.1 < old.at < 22.7 else old)
    writes = tuple(row for row in CALM.writes if not 20.1 < row.ended < 22.7)
    texts = [breach.text for breach in judged(replace(quiet, writes=writes)).breaches]
    assert texts == [
        "db3 was not observed for 2.80 s from 10.00 s after the injection",
        "the writers tried nothing for 2.79 s from 10.00 s after the injection",
    ]


def test_an_earlier_dark_time_excuses_no_silence() -> None:
    quiet = with_members(lambda old: None if old.member == "db3" and 20.1 < old.at < 22.7 else old)
    for dark in ((10.0, 15.0), (25.0, 26.0)):
        assert rules(judged(replace(quiet, dark={**CALM.dark, "db3": (dark,)}))) >= {"blind"}
    assert rules(judged(replace(quiet, dark={**CALM.dark, "db3": ((20.1, 20.5),)}))) == set()


def test_a_client_that_was_never_stopped_before_the_end_covers_it_with_its_last_attempt() -> None:
    hanging = write(NEW, ENDED, Outcome.UNKNOWN, begun=27.0)
    writes = tuple(row for row in CALM.writes if row.ended < 27.0)
    verdict = judged(ledger(writes=(*writes, hanging), presence=CALM.presence))
    assert rules(verdict) == {"not_recovered"}


def refused(begun: float) -> Write:
    """A row that db3 did not take."""
    return Write("local db3", 1, begun, begun + 0.01, Outcome.REFUSED, "db3")


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"writes": (*CALM.writes, write(NEW, 29.95, Outcome.UNKNOWN, "db2", begun=29.96))}, {"clock_backwards"}),
        ({"writes": (*CALM.writes, write(NEW, 29.95, Outcome.UNKNOWN, "db2", begun=29.94))}, set()),
        ({"writes": (*CALM.writes, write(NEW, 20.0, Outcome.UNKNOWN, "db2"))}, {"clock_backwards"}),
        ({"reads": (*CALM.reads, replace(CALM.reads[-1], ended=CALM.reads[-1].begun - 0.01))}, {"clock_backwards"}),
        ({"reads": (*CALM.reads, CALM.reads[40])}, {"clock_backwards"}),
        ({"members": (*CALM.members, replace(CALM.members[-1], at=CALM.members[-1].at - 0.01))}, {"clock_backwards"}),
        ({"members": (*CALM.members, replace(CALM.members[-1], at=CALM.members[-1].at - 0.0015))}, set()),
        ({"balancers": (*CALM.balancers, CALM.balancers[-4])}, {"clock_backwards"}),
        ({"local_writes": (refused(15.0), refused(14.9985))}, set()),
        ({"local_writes": (refused(15.0), refused(14.99))}, {"clock_backwards"}),
    ],
)
def test_clocks_that_go_backwards_are_reported(change: dict[str, Any], broken: set[str]) -> None:
    assert rules(judged(ledger(**change))) == broken


def test_many_wrong_clocks_are_one_breach() -> None:
    reads = tuple(replace(read, reader=f"r{number % 7}", ended=0.0) for number, read in enumerate(CALM.reads))
    texts = {breach.rule: breach.text for breach in judged(ledger(reads=reads)).breaches}
    assert texts["clock_backwards"] == (
        "18 records of r0 ended before they began; 18 records of r1 ended before they began; "
        "18 records of r2 ended before they began; 18 records of r3 ended before they began; "
        "18 records of r4 ended before they began; and 2 more: the times of this record are unusable"
    )


def test_times_are_told_from_the_injection() -> None:
    held = with_balancers(lambda old: replace(old, holds=(VIP,)) if 9.0 <= old.at <= 11.5 else old)
    assert [breach.text for breach in judged(held).breaches] == [
        f"lb1 and lb2 both held {VIP} for 2.40 s (at most 2.80 s), 0.80 s are allowed, from 1.00 s before the injection"
    ]


def test_a_record_of_a_wrong_clock_still_counts_its_rows() -> None:
    row = write(NEW, 29.9, begun=29.95, server="db2")
    verdict = judged(with_rows(row, stored=(0, 0, 0)))
    assert verdict.lost == (("w1", NEW),)
    assert rules(verdict) == {"clock_backwards", "lost_acknowledged"}


# The end


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"claims_primary": False}, {"not_recovered"}),
        ({"in_recovery": None, "claims_primary": None}, {"not_recovered"}),
        ({"timeline": 1}, {"not_recovered"}),
        ({"timeline": None}, set()),
    ],
)
def test_members_in_the_end(change: dict[str, Any], broken: set[str]) -> None:
    """The leader db2 claims nothing any more; db3 does not answer, or is left behind."""
    member = "db2" if change == {"claims_primary": False} else "db3"
    changed = with_members(lambda old: replace(old, **change) if old.member == member and old.at > 29.7 else old)
    assert rules(judged(changed)) == broken


# Clients of the poolers

POOLED = tuple(replace(one, writer="pooled-1", server="") for one in CALM.writes if one.outcome is Outcome.ACKNOWLEDGED)
HELD = replace(BUDGET, pooled=5.0, pooled_errors=0)


def pooled(*failures: Write) -> Ledger:
    """The record with writes through the poolers, whose rows are on every member."""
    counts = {("pooled-1", one.sequence): 1 for one in POOLED}
    presence = tuple(replace(found, counts={**found.counts, **counts}) for found in CALM.presence)
    return ledger(
        pooled=tuple(sorted((*POOLED, *failures), key=lambda one: one.begun)), pooled_pool="pooled", presence=presence
    )


def failed(at: float, outcome: Outcome) -> Write:
    return ledgers.write(900, at, outcome, "", writer="pooled-1", begun=at, error="server closed the connection")


@pytest.mark.parametrize(("record", "budget", "errors", "broken"), [
    (pooled(), HELD, 0, set()),
    (pooled(), replace(HELD, pooled=3.9), 0, {"over_budget"}),
    (pooled(failed(12.0, Outcome.REFUSED)), HELD, 1, {"over_budget"}),
    (pooled(failed(12.0, Outcome.UNKNOWN)), HELD, 1, {"over_budget"}),
    (pooled(failed(12.0, Outcome.REFUSED)), BUDGET, 1, set()),  # only the planned one promises none
    (pooled(failed(9.0, Outcome.REFUSED)), HELD, 0, set()),  # before the injection
    (pooled(failed(30.5, Outcome.UNKNOWN)), HELD, 0, set()),  # the drill hung up
    (ledger(), HELD, 0, set()),  # no poolers
    (ledger(pooled_pool="pooled"), HELD, 0, {"no_samples"}),
])  # fmt: skip
def test_clients_of_the_poolers(record: Ledger, budget: Budget, errors: int, broken: set[str]) -> None:
    verdict = judge(record, budget)
    assert verdict.pooled_errors == errors
    assert rules(verdict) == broken
    assert (verdict.pooled_gap is None) is (not record.pooled)
