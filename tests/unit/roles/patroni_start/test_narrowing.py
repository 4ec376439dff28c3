# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No order of events lets a quorum without an acknowledged commit choose a leader when standbys go away and return.

The model has a primary with ANY numsync of its standbys. Every order of a few events is tried; a change of /sync is
decided by the amendment's own rule. Whenever the primary is lost, the most advanced of any quorum leads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from patroni_start.narrowing import Names, Narrowing, Sync, may_write

COMMITS, CHANGES = 2, 3
PRIMARY = -1

Rule = Callable[[Sync, Sync, Names, frozenset[int]], bool]


def patroni(_former: Sync, _target: Sync, _names: Names, _caught_up: frozenset[int]) -> bool:
    return True


def unconfirmed(former: Sync, target: Sync, _names: Names, caught_up: frozenset[int]) -> bool:
    """Without a look at the names: they may not be narrowed yet."""
    return may_write(former, target, Names(target.voters, len(target.voters) - target.quorum), caught_up)


def uncaught(former: Sync, target: Sync, names: Names, _caught_up: frozenset[int]) -> bool:
    """Without a look at the standbys' positions."""
    return may_write(former, target, names, frozenset(target.voters))  # type: ignore[arg-type]


@dataclass(frozen=True)
class State:
    """mark: the primary's commits when PostgreSQL had its names; changes: standbys that went away or came back."""

    standbys: tuple[int, ...]  # the commits that each has
    active: frozenset[int]
    sync: Sync
    names: Names
    mark: int = 0
    commits: int = 0
    acknowledged: int = 0
    changes: int = 0


def put(values: tuple[int, ...], at: int, value: int) -> tuple[int, ...]:
    return (*values[:at], value, *values[at + 1 :])


def of_commits(state: State) -> Iterator[State]:
    if state.commits < COMMITS:
        yield replace(state, commits=state.commits + 1)
    for at in state.active:
        if state.standbys[at] < state.commits:
            yield replace(state, standbys=put(state.standbys, at, state.standbys[at] + 1))
    have = sorted((state.standbys[at] for at in state.names.standbys), reverse=True)
    acknowledged = have[state.names.number - 1] if state.names.number else state.commits
    if acknowledged > state.acknowledged:
        yield replace(state, acknowledged=acknowledged)


def of_standbys(state: State) -> Iterator[State]:
    if state.changes < CHANGES:
        for at in range(len(state.standbys)):
            yield replace(state, active=state.active ^ {at}, changes=state.changes + 1)


def of_primary(state: State, numsync: int, rule: Rule) -> Iterator[State]:
    """It changes the names and /sync, in Patroni's order, as its standbys go away and come back."""
    named, active, voters = state.names.standbys, state.active, state.sync.voters
    caught_up = frozenset(at for at, commits in enumerate(state.standbys) if commits >= state.mark)
    left = frozenset(named & active)
    targets = [left, named | active] if len(left) >= numsync else [named | active]
    for target in targets if named else [active]:
        number = min(numsync, len(target))
        sync, names = Sync(PRIMARY, target, len(target) - number), Names(target, number)
        if target != named and (target < named or not named):
            yield replace(state, names=names, mark=state.commits)
        elif target > voters and target > named and rule(state.sync, sync, state.names, caught_up):
            yield replace(state, sync=sync)
        elif target == voters and target > named:
            yield replace(state, names=names, mark=state.commits)
        if target and sync != state.sync and target <= named and rule(state.sync, sync, state.names, caught_up):
            yield replace(state, sync=sync)
    if named and not active:
        alone = Sync(PRIMARY, frozenset(), 0)
        yield replace(state, sync=alone) if state.sync != alone else replace(state, names=Names(frozenset(), 0))


def is_lost(state: State) -> bool:
    """Whether the most advanced of some quorum lacks an acknowledged commit."""
    quorums = combinations(state.sync.voters, state.sync.quorum + 1)
    return any(max(state.standbys[at] for at in quorum) < state.acknowledged for quorum in quorums)


def explored(standbys: int, numsync: int, rule: Rule) -> set[State]:
    every = frozenset(range(standbys))
    first = State((0,) * standbys, every, Sync(PRIMARY, every, standbys - numsync), Names(every, numsync))
    seen, left = {first}, [first]
    while left:
        state = left.pop()
        if is_lost(state):
            continue
        fresh = {*of_commits(state), *of_standbys(state), *of_primary(state, numsync, rule)} - seen
        seen |= fresh
        left += fresh
    return seen


SIZES = [(2, 1), (3, 1), (3, 2)]


@pytest.mark.parametrize(("standbys", "numsync"), SIZES)
@pytest.mark.parametrize("rule", [patroni, unconfirmed, uncaught])
def test_without_the_rule_acknowledged_commits_are_lost(standbys, numsync, rule):
    assert any(map(is_lost, explored(standbys, numsync, rule)))


@pytest.mark.parametrize(("standbys", "numsync"), SIZES)
def test_the_rule_loses_nothing_and_lets_a_quorum_be_narrowed(standbys, numsync):
    states = explored(standbys, numsync, may_write)
    assert not any(map(is_lost, states))
    assert {len(state.sync.voters) for state in states} >= {0, numsync, standbys}


def of(standbys: str) -> frozenset[str]:
    return frozenset(standbys)


@pytest.mark.parametrize(
    ("former", "target", "names", "caught_up", "expected"),
    [
        (("BC", 1), ("B", 0), ("B", 1), "B", True),
        (("BC", 1), ("B", 0), ("B", 1), "", False),
        (("BC", 1), ("B", 0), ("BC", 1), "BC", False),
        (("BC", 1), ("", 0), ("BC", 1), "", True),
        (("BC", 0), ("B", 0), ("BC", 2), "", True),
        (("B", 0), ("BC", 1), ("B", 1), "", True),
        (("BC", 1), ("BC", 0), ("BC", 2), "B", False),
        (("BC", 1), ("BC", 0), ("BC", 2), "BC", True),
        (("", 0), ("BC", 1), ("BC", 1), "", False),
        (("", 0), ("BC", 1), ("BC", 1), "C", True),
        (("BCD", 1), ("B", 0), ("BD", 2), "B", True),
        (("BCD", 1), ("B", 0), ("BD", 2), "", False),
    ],
    ids=[
        "the rest has all",
        "the rest lags",
        "the lost one may still acknowledge",
        "none is left",
        "each had to acknowledge",
        "one joins",
        "one more has to acknowledge, and one lags",
        "one more has to acknowledge",
        "the first ones, which lag",
        "the first ones",
        "two are lost, and commits wait for one of them",
        "two are lost, and the rest lags",
    ],
)
def test_when_sync_may_be_written(former, target, names, caught_up, expected):
    former, target = (Sync("A", of(voters), quorum) for voters, quorum in (former, target))
    assert may_write(former, target, Names(of(names[0]), names[1]), of(caught_up)) is expected


def test_a_new_leader_of_the_same_members_may_be_written():
    assert may_write(Sync("X", of("AB"), 1), Sync("A", of("XB"), 1), Names(of("XB"), 1), of(""))


class Change(NamedTuple):
    """Patroni's Transition."""

    transition_type: str
    leader: str
    num: int
    names: frozenset[str]


class Primary:
    """Patroni's Ha on db1 with its PostgreSQL, and a resolver that narrows a quorum of db2 and db3 to db2."""

    def __init__(self):
        self.state_handler = self
        self.names, self.position, self.flushed = "ANY 1 (db2,db3)", 10, {"DB2": 7, "db3": 9, "backup": None}
        self.leader, self.voters, self.quorum, self.numsync, self.sync = "db1", of_names("db2,db3"), 1, 1, None
        self.done, self.reloads = [], True
        self.narrowing = Narrowing()

    def synchronous_standby_names(self):
        return self.names

    def last_operation(self):
        return self.position

    def pg_stat_replication(self):
        return [{"application_name": name, "flush_lsn": flushed} for name, flushed in self.flushed.items()]

    def wakeup(self):
        self.done.append("woken")

    def changes(self):
        """Patroni's sequence, from what PostgreSQL has and from /sync."""
        if self.names != "ANY 1 (db2)":
            yield Change("sync", "db1", 1, of_names("db2"))
        if self.voters != of_names("db2"):
            yield Change("quorum", "db1", 0, of_names("db2"))

    def process(self):
        self.sync = of_names("db2" if self.names == "ANY 1 (db2)" else "db2,db3")
        for change in self.narrowing.iterating(Primary.changes)(self):
            self.done.append(change.transition_type)
            if change.transition_type == "quorum":
                self.voters, self.quorum = change.names, change.num
            elif self.reloads:
                self.names = "ANY 1 (db2)"

    def cycle(self):
        self.done.clear()
        self.narrowing.processing(Primary.process)(self)
        return self.done


def of_names(names):
    return frozenset(names.split(","))


def test_sync_is_narrowed_in_a_later_cycle_when_the_rest_has_every_commit():
    primary = Primary()
    assert primary.cycle() == ["sync", "woken"]
    primary.position = 30
    assert primary.cycle() == []
    primary.flushed["DB2"] = 9
    assert primary.cycle() == []
    primary.flushed["DB2"] = 10
    assert primary.cycle() == ["quorum"]
    assert primary.cycle() == []


def test_the_position_is_one_at_which_postgresql_has_the_names():
    """A reload may be late, and the lost standby acknowledges until then."""
    primary = Primary()
    primary.reloads = False
    assert primary.cycle() == ["sync", "woken"]
    primary.position, primary.flushed["DB2"], primary.names = 20, 10, "ANY 1 (db2)"
    assert primary.cycle() == []
    primary.flushed["DB2"] = 20
    assert primary.cycle() == ["quorum"]


def test_the_position_is_of_this_narrowing():
    """The same names at an earlier time say nothing of what the lost standby has acknowledged since."""
    primary = Primary()
    primary.cycle()
    primary.names, primary.position = "ANY 1 (db2,db3)", 20
    assert primary.cycle() == ["sync", "woken"]
    primary.flushed["DB2"] = 19
    assert primary.cycle() == []


def test_names_that_are_set_once_more_need_a_new_position():
    primary = Primary()
    primary.cycle()
    primary.position, primary.flushed["DB2"] = 20, 10
    changes = [Change("sync", "db1", 1, of_names("db2")), Change("quorum", "db1", 0, of_names("db2"))]
    primary.sync = of_names("db2")
    assert list(primary.narrowing.iterating(lambda _resolver: iter(changes))(primary)) == changes[:1]


def test_the_end_of_a_wait_is_that_no_standby_is_left():
    primary = Primary()
    primary.cycle()
    changes = [Change("quorum", "db1", 0, frozenset()), Change("sync", "db1", 0, frozenset())]
    assert list(primary.narrowing.iterating(lambda _resolver: iter(changes))(primary)) == changes


def test_patroni_s_hint_to_start_over_is_passed_on():
    primary = Primary()
    primary.cycle()
    hint = Change("restart", "db1", 0, frozenset())
    resolver = SimpleNamespace(leader="db1", voters=(), quorum=0, sync=(), numsync=0)
    assert list(primary.narrowing.iterating(lambda _resolver: iter([hint]))(resolver)) == [hint]
