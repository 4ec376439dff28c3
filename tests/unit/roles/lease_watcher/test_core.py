# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated leases: what a true lease reads like, and what the watcher makes of it."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.lease_rules import Timing
from lease_watcher import core as sut
from lease_watcher.core import Leadership, Reading, Revoke, Round, Rules, Settings, Sight, TimeToLive, Wait

TTL = 20
QUORUM = Settings(loop_wait=1, retry_timeout=3, synchronous=True)
DB1 = Leadership("db1", lease=7, created=100)
READING = Reading(term=3, etcd_member=1, revision=500, leadership=DB1, settings=QUORUM)
RULES = Rules(seconds=4, stall=1.5, interval=0.5)


def lease_read(renewed: float, now: float, extended: float = 0.0) -> TimeToLive:
    """What etcd answers of a lease that was renewed (or extended) at a time."""
    return TimeToLive(TTL, math.floor(renewed + TTL + extended - now))


def one_round(before: Reading, lease: TimeToLive | None, at: float, after: Reading | None = None) -> Round:
    return Round(before, lease, after or before, begun=at, ended=at)


def watch(renewals, until, *, step=0.1, rules=RULES, readings=lambda now: READING, extended=lambda now: 0.0):
    """Look every step; return when the lease was revoked, None when it never was."""
    sight = None
    for now in (number * step for number in range(int(until / step))):
        reading = readings(now)
        last = max(time for time in renewals if time <= now)
        before = sight.reading if sight and sight.lasts(now, rules.stall) else reading
        seen = one_round(before, lease_read(last, now, extended(now)), now, reading)
        sight = sut.look(sight, seen, rules.stall)
        if isinstance(sut.judge(rules, sight, seen), Revoke):
            return now
    return None


@pytest.mark.parametrize("offset", [0.0, 0.01, 0.3, 0.5, 0.77, 0.99])
@pytest.mark.parametrize("seconds", [2, 4, 8])
def test_it_acts_at_the_second_and_never_before(seconds, offset):
    renewals = [0.0, 1.0, 2.0, 3.0 + offset]
    at = watch(renewals, until=30, step=0.05, rules=replace(RULES, seconds=seconds))
    assert renewals[-1] + seconds <= at + 1e-9
    assert at < renewals[-1] + seconds + 0.11


@pytest.mark.parametrize("every", [0.3, 0.9, 1.0, 1.7, 2.5, 3.9])
def test_a_lease_that_is_renewed_in_time_is_left_alone(every):
    assert watch([number * every for number in range(100)], until=30) is None


@pytest.mark.parametrize("age", [0.0, 0.1, 0.99, 1.0, 4.2, 19.9])
def test_unrenewed_is_never_more_than_the_truth(age):
    assert age - 1 <= lease_read(renewed=0.0, now=age).unrenewed <= age


@pytest.mark.parametrize("remaining", [-1, 21, 9223372036])
def test_no_lease_an_extended_one_and_one_of_a_leader_not_yet_in_office_count_as_just_renewed(remaining):
    assert TimeToLive(TTL, remaining).unrenewed == 0


def test_a_watcher_that_has_just_started_counts_what_it_saw_itself_only():
    assert watch([-15.0], until=30) == pytest.approx(RULES.seconds, abs=0.11)


def test_a_new_etcd_leader_starts_the_counting_anew():
    """It leads from 3.0 on, and gives the lease its time and a second more."""
    at = watch(
        [0.0, 3.0],
        until=30,
        readings=lambda now: replace(READING, term=3 if now < 3.0 else 4),
        extended=lambda now: 0.0 if now < 3.0 else 1.0,
    )
    assert at == pytest.approx(3.0 + 1.0 + RULES.seconds, abs=0.15)


STRANGE = {
    "another term": replace(READING, term=4),
    "another etcd member": replace(READING, etcd_member=2),
    "an older revision": replace(READING, revision=499),
    "another lease": replace(READING, leadership=replace(DB1, lease=8)),
    "the same lease id, used again": replace(READING, leadership=replace(DB1, created=501)),
    "another leader": replace(READING, leadership=replace(DB1, member="db2")),
    "no leader": replace(READING, leadership=None),
}


@pytest.mark.parametrize("name", STRANGE)
def test_whatever_changes_within_a_round_nothing_follows_from_it(name):
    sight = Sight(READING, since=0.0, at=99.5)
    seen = one_round(READING, TimeToLive(TTL, 0), 100.0, STRANGE[name])
    after = sut.look(sight, seen, RULES.stall)
    assert after.since == 100.0
    assert sut.unrenewed(after, seen) == 0.0
    assert sut.judge(RULES, sight, seen) == Wait()


@pytest.mark.parametrize(
    ("sight", "seen"),
    [
        (None, one_round(READING, TimeToLive(TTL, 0), 100.0)),
        (Sight(READING, 0.0, at=98.0), one_round(READING, TimeToLive(TTL, 0), 100.0)),
        (Sight(READING, 0.0, at=99.9), Round(READING, TimeToLive(TTL, 0), READING, begun=100.0, ended=101.5)),
        (Sight(replace(READING, term=2), 0.0, at=99.9), one_round(READING, TimeToLive(TTL, 0), 100.0)),
    ],
    ids=["the first round", "a gap", "a slow round", "a round that does not go on from the last"],
)
def test_what_was_seen_is_forgotten_after(sight, seen):
    after = sut.look(sight, seen, RULES.stall)
    assert after.since == seen.ended
    assert sut.judge(RULES, after, seen) == Wait()


def test_the_same_round_counts_when_nothing_is_strange():
    seen = one_round(READING, TimeToLive(TTL, 15), 100.0)
    after = sut.look(Sight(READING, since=90.0, at=99.9), seen, RULES.stall)
    assert after.since == 90.0
    assert sut.judge(RULES, after, seen) == Revoke(DB1, 4.0)


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ('{"loop_wait": 1, "retry_timeout": 3, "synchronous_mode": "quorum"}', 4),
        ('{"loop_wait": 1, "retry_timeout": 3, "synchronous_mode": true}', 4),
        ('{"loop_wait": 1, "retry_timeout": 3, "synchronous_mode": "off"}', 14),
        ('{"loop_wait": 1, "retry_timeout": 3, "synchronous_mode": null}', 14),
        ('{"loop_wait": 0, "retry_timeout": 0}', 14),
        ('{"loop_wait": 10, "retry_timeout": 3}', 17),
        ('{"loop_wait": 10, "retry_timeout": 3, "synchronous_mode": true}', 11),
        ("{}", 42),
        ('{"loop_wait": 1, "pause": true}', None),
        ('{"loop_wait": "soon"}', None),
        ('["loop_wait"]', None),
        ("", None),
        (None, None),
    ],
)
def test_how_long_is_waited_follows_from_patronis_configuration(text, needed):
    assert sut.needed(RULES, sut.parse_settings(text)) == needed


@pytest.mark.parametrize(("loop_wait", "retry_timeout"), [*itertools.product((1, 2, 10), (3, 10))])
@pytest.mark.parametrize("synchronous", [True, False])
def test_the_inventory_is_judged_by_the_same_rule(loop_wait, retry_timeout, synchronous):
    timing = Timing(60, loop_wait, retry_timeout, synchronous)
    assert timing.least == Settings(loop_wait, retry_timeout, synchronous).least


def test_a_confirmation_counts_for_the_leadership_it_was_given_for_and_after_some_silence_only():
    rules = replace(RULES, seconds=10, fencing_after=2)
    sight = Sight(READING, since=90.0, at=99.9)
    silent, renewed = (one_round(READING, TimeToLive(TTL, remaining), 100.0) for remaining in (17, 19))
    assert sut.judge(rules, sight, silent) == sut.Ask(DB1, 2.0)
    assert sut.judge(rules, sight, silent, confirmed=replace(DB1, created=99)) == sut.Ask(DB1, 2.0)
    assert sut.judge(rules, sight, silent, confirmed=DB1) == Revoke(DB1, 2.0)
    assert sut.judge(rules, sight, renewed, confirmed=DB1) == Wait()


@pytest.mark.parametrize(("remaining", "pause"), [(19, 0.5), (18, 0.5), (17, 0.1), (15, 0.1)])
def test_rounds_are_many_only_when_a_decision_is_near(remaining, pause):
    seen = one_round(READING, TimeToLive(TTL, remaining), 100.0)
    assert sut.pause(RULES, Sight(READING, since=0.0, at=100.0), seen) == pause
