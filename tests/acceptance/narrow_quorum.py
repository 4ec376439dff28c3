# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PATRONI FILES: compare the changes of an installed Patroni's quorum with the amended ones; run by another test.

Prints in how many states a quorum of a primary and three standbys can be, how many of these an unamended primary does
not know, and in how many cases an amended one, whose standbys have caught up in the end, comes to another state.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from itertools import combinations, product
from typing import Any, NamedTuple

sys.path[:0] = sys.argv[1:]

from patroni.quorum import QuorumError, QuorumStateResolver  # type: ignore[import-not-found]  # noqa: E402
from patroni_start.narrowing import Narrowing  # noqa: E402

PRIMARY, FORMER, STANDBYS = "db1", "db4", ("db2", "db3", "db4")
POSITION = 7


class State(NamedTuple):
    """/sync, and synchronous_standby_names."""

    leader: str
    quorum: int
    voters: frozenset[str]
    numsync: int
    sync: frozenset[str]


class Postgresql:
    """Patroni's Postgresql as far as it matters here."""

    def __init__(self, state: State, caught_up: frozenset[str]) -> None:
        self.sync, self.caught_up = state.sync, caught_up

    def synchronous_standby_names(self) -> str:
        return ",".join(sorted(self.sync))

    def last_operation(self) -> int:
        return POSITION

    def pg_stat_replication(self) -> list[dict[str, Any]]:
        return [{"application_name": name, "flush_lsn": POSITION} for name in self.caught_up]


Iterate = Callable[[Any], Iterator[Any]]


def subsets(names: tuple[str, ...]) -> list[frozenset[str]]:
    return [frozenset(some) for size in range(len(names) + 1) for some in combinations(names, size)]


def changes(state: State, active: frozenset[str], wanted: int, caught_up: frozenset[str] | None) -> list[State]:
    """Return the states of a cycle; caught_up: None for a Patroni that is not amended."""
    postgresql, confirmed = Postgresql(state, caught_up or frozenset()), len(state.sync & active)
    resolver = QuorumStateResolver(*state[:5], confirmed, active, wanted, PRIMARY)
    narrowing, iterate = Narrowing(), QuorumStateResolver.__iter__
    if caught_up is not None:
        narrowing.processing(lambda _ha: None)(type("Ha", (), {"state_handler": postgresql}))
        iterate = narrowing.iterating(iterate)
    states = [state]
    for kind, leader, number, names in iterate(resolver):
        if kind == "quorum":
            state = state._replace(leader=leader, quorum=number, voters=frozenset(names))
        elif kind == "sync":
            state = state._replace(numsync=number, sync=frozenset(names))
            postgresql.sync = state.sync
        states.append(state)
    return states


def end(state: State, active: frozenset[str], wanted: int, caught_up: frozenset[str] | None) -> State | None:
    """Return the state that stays; None where Patroni itself comes to none."""
    for _cycle in range(12):
        try:
            after = changes(state, active, wanted, caught_up)[-1]
        except (AssertionError, QuorumError):
            return None
        if after == state:
            return state
        state = after
    return None


def first() -> Iterator[State]:
    """Yield a primary alone, and those that have just succeeded a former primary."""
    yield State(PRIMARY, 0, frozenset(), 0, frozenset())
    for voters in subsets((PRIMARY, "db2", "db3")):
        for quorum in range(len(voters)):
            sync = (voters | {FORMER}) - {PRIMARY}
            yield State(FORMER, quorum, voters, min(len(sync), len(voters) - quorum), sync)


def reached(*, amended: bool) -> set[State]:
    """Return all states to which a primary comes, also if a cycle is interrupted; standbys may lag behind."""
    seen = set(first())
    left = list(seen)
    while left:
        state = left.pop()
        for active, wanted in product(subsets(STANDBYS), (1, 2)):
            for caught_up in (active, frozenset[str]()) if amended else (None,):
                try:
                    fresh = set(changes(state, active, wanted, caught_up)) - seen
                except (AssertionError, QuorumError):
                    continue
                seen |= fresh
                left += fresh
    return seen


def main() -> None:
    """Compare."""
    logging.disable()  # Patroni warns of quorums that it repairs
    states = reached(amended=True)
    cases = product(states, subsets(STANDBYS), (1, 2))
    others = sum(end(*case, None) not in (None, end(*case, case[1])) for case in cases)
    print(len(states), len(states - reached(amended=False)), others)


if __name__ == "__main__":
    main()
