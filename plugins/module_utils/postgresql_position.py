# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WAL positions of a cluster's members, and which member has every acknowledged commit. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_target import parse_lsn

PRIMARY_STATES = frozenset({"in production", "shut down", "shutting down", "in crash recovery"})
QUESTION = (
    "SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN"
    " greatest(coalesce(pg_last_wal_receive_lsn(), '0/0'), coalesce(pg_last_wal_replay_lsn(), '0/0'))"
    " ELSE pg_current_wal_lsn() END"
)
"""What to ask a server for parse_answer()."""


NAME_IT = "say who leads: -e etcd_lost_leader=NAME, the last primary you know of"


class PositionError(Exception):
    """It is unknown which member has everything; the message, for the user, says why."""


@dataclass(frozen=True)
class Position:
    """Where a member's WAL ends.

    ``primary``: it is the primary, or was when it stopped or crashed. ``lsn`` is None for a server that does not run.
    """

    system_id: str
    timeline: int
    primary: bool
    lsn: str | None = None

    @property
    def order(self) -> tuple[int, int]:
        """The order of members."""
        return self.timeline, parse_lsn(self.lsn) if self.lsn else 0


def parse_answer(answer: str) -> tuple[bool, str]:
    """Return whether a server is a primary, and its LSN, from what psql -At printed for QUESTION."""
    recovery, _separator, lsn = answer.strip().partition("|")
    return recovery == "f", lsn


def position(control: Mapping[str, str], answer: str | None) -> Position:
    """Return a member's position by pg_controldata's output and, if it runs, its answer to QUESTION."""
    labels = ("Latest checkpoint's TimeLineID", "Min recovery ending loc's timeline")
    system_id, timeline = control["Database system identifier"], max(int(control.get(label, 0)) for label in labels)
    if answer is not None:
        return Position(system_id, timeline, *parse_answer(answer))
    return Position(system_id, timeline, control["Database cluster state"] in PRIMARY_STATES)


def most_advanced(positions: Mapping[str, Position | None], leader: str = "") -> str:
    """Return the member that has every acknowledged commit; raise PositionError if that is unknown.

    A primary has everything that it acknowledged, so the one of the newest timeline has everything. Among standbys it
    is the one that received most, which only running ones report. A member without data has the position None.

    :arg leader: who is to lead, if that is known.
    """
    if leader and positions.get(leader) is None:
        raise PositionError(f"etcd_lost_leader = {leader} has no data; name a member that has")
    if leader:
        return leader
    if without := sorted(name for name, each in positions.items() if each is None):
        raise PositionError(f"{' and '.join(without)} has no data, as where a volume is not mounted; {NAME_IT}")
    return _most_advanced({name: each for name, each in positions.items() if each is not None})


def _most_advanced(positions: Mapping[str, Position]) -> str:
    known = {each.system_id for each in positions.values()}
    if len(known) != 1:
        told = ", ".join(f"{name}: {each.system_id}" for name, each in sorted(positions.items()))
        raise PositionError(f"these are not the data of one cluster ({told or 'no data'})")
    newest = max(each.timeline for each in positions.values())
    primaries = {name: each for name, each in positions.items() if each.primary and each.timeline == newest}
    if len(primaries) == 1:
        return next(iter(primaries))
    silent = sorted(name for name, each in positions.items() if each.lsn is None and not each.primary)
    if primaries or silent:
        why = f"{' and '.join(sorted(primaries))} both were primary" if primaries else ""
        why = why or f"how far {' and '.join(silent)} got is unknown, since PostgreSQL does not run there"
        raise PositionError(f"{why}; {NAME_IT}")
    return max(sorted(positions), key=lambda name: positions[name].order)
