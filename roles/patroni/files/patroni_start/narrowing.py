# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""With quorum commit, /sync is narrowed only to standbys that have every acknowledged commit.

When a standby goes away, Patroni narrows synchronous_standby_names, and /sync right after. If the primary is lost
then, one of the rest leads, although only the lost standby may have acknowledged the last commits. So /sync stays for
a cycle or more, and a candidate needs the vote of one that has them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

LOG = logging.getLogger(__name__)
SYNC, NAMES = "quorum", "sync"
"""What Patroni calls a change of /sync, and of synchronous_standby_names."""


@dataclass(frozen=True)
class Sync:
    """The key /sync: a candidate needs the votes of so many (quorum) others, out of the voters and the leader."""

    leader: Hashable
    voters: AbstractSet[Hashable]
    quorum: int

    @property
    def members(self) -> AbstractSet[Hashable]:
        """All whose vote counts."""
        return self.voters | {self.leader}


@dataclass(frozen=True)
class Names:
    """synchronous_standby_names: a commit is acknowledged when so many of the standbys have it."""

    standbys: AbstractSet[Hashable]
    number: int


def may_write(former: Sync, target: Sync, names: Names, caught_up: AbstractSet[Hashable]) -> bool:
    """Return whether each winner by a changed /sync has every acknowledged commit.

    Args:
        former: /sync as it is.
        target: /sync as it would be.
        names: as PostgreSQL has them.
        caught_up: standbys that have all commits that were acknowledged with earlier names.
    """
    if not target.voters or target.quorum >= former.quorum + len(target.members - former.members):
        return True  # the leader alone has all, and a winner hears as many of the former members as before
    is_covered = len(target.voters | names.standbys) <= target.quorum + names.number
    return is_covered and len(target.voters & caught_up) >= len(target.voters) - target.quorum


class Narrowing:
    """The changes of synchronous standbys by one primary.

    Each cycle of Patroni decides again, and commits don't wait for it. The wait ends when the standbys have caught up,
    when the lost one is back, or when no standby is left: then there are no voters, and the primary goes on alone.
    """

    def __init__(self) -> None:
        self._postgresql: Any = None
        self._names: str | None = None
        self._mark = 0
        self._again = False

    def processing(self, process: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's change of a quorum (Ha._process_quorum_replication).

        Once the names are narrowed, the next cycle begins at once: /sync may follow as soon as PostgreSQL has them.
        """

        def process_and_return(ha: Any) -> Any:
            self._postgresql, self._again = ha.state_handler, False
            done = process(ha)
            if self._again:
                ha.wakeup()
            return done

        return process_and_return

    def iterating(self, iterate: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """Return Patroni's sequence of changes (QuorumStateResolver.__iter__), ended before one that has to wait."""

        def iterate_while_safe(resolver: Any) -> Iterator[Any]:
            former = Sync(resolver.leader.lower(), folded(resolver.voters), resolver.quorum)
            names, renamed = Names(folded(resolver.sync), resolver.numsync), False
            self._look()
            for change in iterate(resolver):
                if change.transition_type == SYNC:
                    target = Sync(change.leader.lower(), folded(change.names), change.num)
                    if not may_write(former, target, names, self._caught_up()):
                        LOG.info("/sync stays until enough of %s have every commit", ", ".join(sorted(change.names)))
                        self._again = renamed
                        return
                    former = target
                yield change
                if change.transition_type == NAMES:
                    self._names, renamed = None, True

        return iterate_while_safe

    def _look(self) -> None:
        """Note the primary's position when PostgreSQL has new names, which all commits by the former names precede."""
        names = self._postgresql.synchronous_standby_names()
        if names != self._names:
            self._names, self._mark = names, self._postgresql.last_operation()

    def _caught_up(self) -> AbstractSet[Hashable]:
        self._look()
        replication = self._postgresql.pg_stat_replication()
        return folded(row["application_name"] for row in replication if (row["flush_lsn"] or 0) >= self._mark)


def folded(names: Iterable[str]) -> frozenset[str]:
    """Return names as PostgreSQL compares them."""
    return frozenset(name.lower() for name in names)


def replacements(process: Any, iterate: Any, *_used: Any) -> Mapping[str, Any]:
    """Return the replacements that let /sync be narrowed later."""
    narrowing = Narrowing()
    return {
        "patroni.ha:Ha._process_quorum_replication": narrowing.processing(process),
        "patroni.quorum:QuorumStateResolver.__iter__": narrowing.iterating(iterate),
    }
