# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replay a drill's ledger against the second model: the order of what was recorded must be one that the model allows.

A ledger shows acknowledged writes, members that were primary or standby, a loss of power, and the rows in the end. It
does not show keys, WAL or Patroni's steps. So the replay looks for hidden steps of the model between the recorded ones.
Where two records overlap in time, either order counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count, pairwise
from typing import NamedTuple

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import (
    Ledger,
    MemberSample,
    Outcome,
    Write,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.rows import every_write, lost_keys
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.spans import by_name

from scripts.model import commit
from scripts.model.checker import TooLargeError, uncollected
from scripts.model.commit import MEMBERS, NAMES, PRIMARY, STANDBY, Mode, Rules, State

HARM = 2.0
"""Seconds that an injection may take: a ledger's dark span begins with it."""
MOST = 1_000_000
"""States above which a replay gives up."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a ledger shows of a member at a time: acknowledged, primary, standby, power loss, power, kept or lost."""

    at: float
    kind: str
    member: str

    def __str__(self) -> str:
        return {
            "acknowledged": f"{self.member} acknowledged a new row",
            "primary": f"{self.member} is primary",
            "standby": f"{self.member} is a standby",
            "power loss": f"{self.member} loses power",
            "power": f"{self.member} has power again",
            "kept": f"{self.member} has every acknowledged row in the end",
            "lost": f"{self.member} lacks an acknowledged row in the end",
        }[self.kind]


@dataclass(frozen=True, slots=True)
class Replay:
    """The records in their order, how many of them the model follows, and the states that were visited."""

    records: tuple[Record, ...]
    followed: int
    states: int

    @property
    def refused(self) -> Record | None:
        """The first record that no order of the model's steps leads to; None where the ledger is accepted."""
        return self.records[self.followed] if self.followed < len(self.records) else None


# What a ledger shows


def records(ledger: Ledger) -> list[Record]:
    """Return what a ledger shows, in the order of time."""
    found = [*power_losses(ledger), *acknowledged(ledger), *promoted(ledger), *stood_by(ledger)]
    end = Record(ledger.ended, "lost" if lost_keys(ledger) else "kept", ledger.primary_after)
    return [*sorted(found, key=lambda record: record.at), end]


def doubt(ledger: Ledger, *members: str) -> float:
    """Return the largest error between clocks."""
    return sum(ledger.clock_uncertainty.get(member, 0.0) for member in members)


def acknowledged(ledger: Ledger) -> Iterator[Record]:
    """Yield the first and the last acknowledgement of each time in which one member acknowledged.

    One of a member that another has succeeded meanwhile counts only if it certainly began later.
    """
    writes = [write for write in every_write(ledger) if write.outcome is Outcome.ACKNOWLEDGED and write.server]
    tenure: list[Write] = []
    seen: set[str] = set()
    for write in sorted(writes, key=lambda one: one.ended):
        if tenure and write.server != tenure[0].server:
            since = tenure[0].ended + doubt(ledger, write.server, tenure[0].server)
            if write.server in seen and write.begun <= since:
                continue
            yield from ends(tenure)
            tenure = []
        seen.add(write.server)
        tenure.append(write)
    yield from ends(tenure)


def ends(tenure: Sequence[Write]) -> Iterator[Record]:
    """Yield the first acknowledgement, and the last if it is certainly another."""
    for write in tenure[:1]:
        yield Record(write.ended, "acknowledged", write.server)
        last = max(one.begun for one in tenure)
        if last > write.ended:
            yield Record(last, "acknowledged", write.server)


def promoted(ledger: Ledger) -> Iterator[Record]:
    """Yield the promotions: a member was primary by then."""
    for event in ledger.events:
        if event.kind == "promoted":
            yield Record(event.at + doubt(ledger, event.subject), "primary", event.subject)


def stood_by(ledger: Ledger) -> Iterator[Record]:
    """Yield when a member that was no standby was one again."""
    for member, samples in by_name(ledger.members, "member").items():
        for before, after in transitions(samples):
            if after.in_recovery and not before.in_recovery:
                yield Record(after.at, "standby", member)


def transitions(samples: Sequence[MemberSample]) -> Iterator[tuple[MemberSample, MemberSample]]:
    """Yield samples that follow each other and have an answer of PostgreSQL."""
    known = [sample for sample in samples if sample.in_recovery is not None]
    yield from pairwise(known)


def power_losses(ledger: Ledger) -> Iterator[Record]:
    """Yield when a host lost power, and when it was switched on again."""
    if "power_loss" in ledger.fault:
        for member in ledger.expected_members:
            for begin, end in ledger.dark.get(member, ()):
                yield Record(min(begin + HARM, end), "power loss", member)
                yield Record(end, "power", member)


# What the model makes of it

WROTE = "acknowledged"
RACING = ("takes the leader key", "finds that it may lead")
SHOWN = (" writes row ", " acknowledges row ", " loses power", " starts as a standby")
"""Steps that no ledger hides: a row that is never acknowledged changes nothing."""
IS_SO: Mapping[str, Callable[[State, int], bool]] = {
    "primary": lambda state, member: state.members[member].role == PRIMARY,
    "standby": lambda state, member: state.members[member].role == STANDBY,
    "kept": lambda state, member: state.newest == member and not commit.lost(state),
    "lost": lambda state, member: state.newest == member and bool(commit.lost(state)),
}
"""What a record says of a state, where it is not a step."""


class Place(NamedTuple):
    """How far a replay has come; row is the one that the next acknowledgement is about, 0 before it is written."""

    state: State
    followed: int = 0
    row: int = 0


def replay(ledger: Ledger, mode: Mode) -> Replay:
    """Look for steps of the model with the records in their order."""
    shown = tuple(records(ledger))
    names = dict(zip([ledger.primary_before, *others(ledger)], MEMBERS, strict=False))
    path = [(record.kind, names[record.member]) for record in shown]
    failovers = sum(kind == "primary" for kind, _member in path)
    rules = Rules(mode, rows=len(shown) + 1, failovers=failovers, losses=len(shown))
    with uncollected():
        furthest, states = search(rules, path)
    return Replay(shown, furthest, states)


def others(ledger: Ledger) -> list[str]:
    """Return the members but the first primary."""
    return [member for member in ledger.expected_members if member != ledger.primary_before]


def search(rules: Rules, path: Sequence[tuple[str, int]]) -> tuple[int, int]:
    """Return how many records can be followed, and how many states were visited."""
    start = Place(commit.first(rules.mode))
    seen, left, furthest = {start}, Queue(start), 0
    while left and furthest < len(path):
        place = left.pop()
        for following in onward(rules, place, path):
            if following not in seen and allowed(rules.mode, following.state):
                furthest = max(furthest, following.followed)
                seen.add(following)
                left.push(following)
        if len(seen) > MOST:
            raise TooLargeError(f"more than {MOST} states between the records of a ledger")
    return furthest, len(seen)


class Queue:
    """The places that have come furthest first, those with fewer steps before others."""

    def __init__(self, start: Place) -> None:
        self._count = count()
        self._heap = [(0, next(self._count), start)]

    def __bool__(self) -> bool:
        return bool(self._heap)

    def push(self, place: Place) -> None:
        """Add a place."""
        heappush(self._heap, (-place.followed, next(self._count), place))

    def pop(self) -> Place:
        """Return the next place."""
        return heappop(self._heap)[-1]


def allowed(mode: Mode, state: State) -> bool:
    """Return whether the first model allows a state: without synchronous replication, one primary at a time."""
    return mode is not Mode.OFF or len(commit.acknowledging(state)) < 2


def onward(rules: Rules, place: Place, path: Sequence[tuple[str, int]]) -> Iterator[Place]:
    """Yield the places after the next record, and those after a step that a ledger does not show.

    Only the next primary of the ledger takes the key from the present one. Another that takes it and gives it back
    changes nothing that is recorded.
    """
    (kind, member), state = path[place.followed], place.state
    heirs = [who for kind, who in path[place.followed :] if kind == "primary"][:1]
    idle = tuple(f"{NAMES[who]} {doing}" for who in MEMBERS if who not in {*heirs, state.newest} for doing in RACING)
    wanted = expected(place, kind, NAMES[member])
    if kind in IS_SO and IS_SO[kind](state, member):
        yield Place(compact(state), place.followed + 1)
    for label, after in commit.steps(rules, state):
        if label == wanted and kind == WROTE and not place.row:
            yield place._replace(state=after, row=after.rows)
        elif label == wanted:
            yield Place(compact(after), place.followed + 1)
        elif not label.startswith(idle) and not any(words in label for words in SHOWN):
            yield place._replace(state=after)


def expected(place: Place, kind: str, name: str) -> str:
    """Return the label of the step that the next record shows, "" for none."""
    if kind != WROTE:
        return {"power loss": f"{name} loses power", "power": f"{name} starts as a standby"}.get(kind, "")
    return f"{name} acknowledges row {place.row}" if place.row else f"{name} writes row {place.state.rows + 1}"


def compact(state: State) -> State:
    """Return the state without the rows that every member has, which nothing can lose; renumber the others."""
    logs = [member.log for member in state.members]
    common = 0
    while all(len(log) > common for log in logs) and len({log[common] for log in logs}) == 1:
        common += 1
    left = sorted({row for log in logs for row in log[common:]} | (state.acked - set(logs[0][:common])))
    number = {row: at for at, row in enumerate(left, start=1)}
    members = tuple(
        member._replace(log=tuple(number[row] for row in log[common:]), mark=max(0, member.mark - common))
        for member, log in zip(state.members, logs, strict=True)
    )
    acked = frozenset(number[row] for row in state.acked if row in number)
    return state._replace(members=members, acked=acked, rows=len(left))
