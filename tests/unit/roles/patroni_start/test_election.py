# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No order of events loses an acknowledged row when the former primary's Patroni hangs and its PostgreSQL does not.

The model has a former primary that goes on, and the standbys of a quorum (ANY numsync of them), the first of which is
the candidate. Every order of a few events is tried; the candidate decides by the amendment's own rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from patroni_start.quorum import Answer, Verdict, judge

COMMITS = 2
FORMER, CANDIDATE = "former:5432", "candidate:5432"


@dataclass(frozen=True)
class State:
    """What happened so far; standbys[0] is the candidate. answers: the voters' latest, None: not asked yet."""

    standbys: tuple[int, ...]  # the commits that each has
    receiving: tuple[bool, ...]  # whether each receives from the former primary
    answers: tuple[Answer | None, ...]
    commits: int = 0
    acknowledged: int = 0
    leader: str = ""
    races: int = 0
    decided: bool = False
    promoted: bool = False


@dataclass(frozen=True)
class Rule:
    """When the candidate asks, and what it takes for a vote."""

    asks_with_the_key: bool
    counts: Callable[[Answer], bool]


PATRONI = Rule(asks_with_the_key=False, counts=lambda _answer: True)
PROMISED_EARLIER = Rule(asks_with_the_key=False, counts=lambda answer: answer.is_bound(CANDIDATE))
AMENDED = Rule(asks_with_the_key=True, counts=lambda answer: answer.is_bound(CANDIDATE))


def put(values: tuple, at: int, value: object) -> tuple:
    return (*values[:at], value, *values[at + 1 :])


def verdict(state: State, needed: int, rule: Rule) -> Verdict:
    """Plain Patroni compares positions only, so its voters count as bound."""
    given = [answer for answer in state.answers[1:] if answer and rule.counts(answer)]
    bound = [Answer(answer.position, frozenset()) for answer in given]
    return judge(bound, CANDIDATE, state.standbys[0] + 1, needed)


def of_the_former_primary(state: State, numsync: int) -> Iterator[State]:
    """It commits, its WAL arrives somewhere and is acknowledged; its Patroni may take a free key again, and lose it."""
    if state.commits < COMMITS:
        yield replace(state, commits=state.commits + 1)
    for at, receives in enumerate(state.receiving):
        if receives and state.standbys[at] < state.commits:
            standbys = put(state.standbys, at, state.standbys[at] + 1)
            acknowledged = max(state.acknowledged, sorted(standbys, reverse=True)[numsync - 1])
            yield replace(state, standbys=standbys, acknowledged=acknowledged)
    if not state.leader and state.races < 1:
        yield replace(state, leader=FORMER, races=state.races + 1)
    if state.leader == FORMER:
        yield replace(state, leader="")


def of_the_voters(state: State) -> Iterator[State]:
    """A voter follows whom etcd calls the leader, at some time; without one it may let go of the former primary."""
    for at in range(1, len(state.standbys)):
        wanted = state.leader == FORMER
        if state.receiving[at] != wanted:
            yield replace(state, receiving=put(state.receiving, at, wanted))


def of_the_candidate(state: State, needed: int, rule: Rule) -> Iterator[State]:
    """It asks, decides, takes the key and promotes, with as much time in between as it pleases."""
    may_ask = (state.leader == CANDIDATE) == rule.asks_with_the_key and state.leader in ("", CANDIDATE)
    for at in range(1, len(state.standbys)):
        answer = Answer(state.standbys[at] + 1, frozenset({FORMER} if state.receiving[at] else ()))
        if may_ask and not state.decided and state.answers[at] != answer:
            yield replace(state, answers=put(state.answers, at, answer))
    if may_ask and not state.decided and verdict(state, needed, rule) is Verdict.PROMOTE:
        yield replace(state, decided=True)
    if not state.leader and (state.decided or rule.asks_with_the_key):
        yield replace(state, leader=CANDIDATE)
    if state.leader == CANDIDATE and state.decided:
        yield replace(state, promoted=True, receiving=put(state.receiving, 0, False))


def lost(standbys: int, numsync: int, rule: Rule) -> list[State]:
    """Return the states in which something acknowledged is not on the new primary."""
    first = State((0,) * standbys, (True,) * standbys, (None,) * standbys)
    needed, seen, left, found = standbys - numsync, {first}, [first], []
    while left:
        state = left.pop()
        if state.promoted and state.acknowledged > state.standbys[0]:
            found.append(state)
            continue
        following = [*of_the_former_primary(state, numsync), *of_the_voters(state)]
        if not state.promoted:
            following += of_the_candidate(state, needed, rule)
        fresh = set(following) - seen
        seen |= fresh
        left += fresh
    assert any(state.promoted for state in seen)
    return found


SIZES = [(2, 1), (3, 1), (3, 2)]


@pytest.mark.parametrize(("standbys", "numsync"), SIZES)
def test_patroni_s_rule_loses_acknowledged_rows(standbys, numsync):
    assert lost(standbys, numsync, PATRONI)


@pytest.mark.parametrize(("standbys", "numsync"), SIZES)
def test_a_promise_given_before_the_key_was_taken_may_be_void_by_then(standbys, numsync):
    """The former primary leads once more in between, and the voter follows it again."""
    assert lost(standbys, numsync, PROMISED_EARLIER)


@pytest.mark.parametrize(("standbys", "numsync"), SIZES)
def test_the_amended_rule_loses_nothing(standbys, numsync):
    assert not lost(standbys, numsync, AMENDED)


def voter(position, *upstreams):
    return Answer(position, frozenset(upstreams))


@pytest.mark.parametrize(
    ("answers", "needed", "expected"),
    [
        ([voter(7)], 1, Verdict.PROMOTE),
        ([voter(7, CANDIDATE)], 1, Verdict.PROMOTE),
        ([voter(7, FORMER)], 1, Verdict.WAIT),
        ([voter(7, CANDIDATE, FORMER)], 1, Verdict.WAIT),
        ([voter(7, "?")], 1, Verdict.WAIT),
        ([voter(8)], 1, Verdict.BEHIND),
        ([voter(8, FORMER)], 1, Verdict.WAIT),
        ([voter(8), voter(6)], 1, Verdict.PROMOTE),
        ([voter(8), voter(6)], 2, Verdict.BEHIND),
        ([voter(6)], 2, Verdict.WAIT),
        ([voter(0)], 1, Verdict.WAIT),
        ([], 1, Verdict.WAIT),
        ([Answer(7, None)], 1, Verdict.PROMOTE),
    ],
    ids=[
        "it receives from nobody",
        "it follows the candidate",
        "it still may receive from the former primary",
        "its walreceiver still is the former primary's",
        "its upstream can't be told",
        "it has more",
        "it has more, and may get more",
        "one is enough",
        "one is not enough",
        "one is missing",
        "its PostgreSQL is down, or a primary",
        "nobody answers",
        "its Patroni is not amended",
    ],
)
def test_what_voters_answers_mean(answers, needed, expected):
    assert judge(answers, CANDIDATE, 7, needed) is expected
