# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second model: rows, synchronous commit, the key /sync, and a change of the leader.

It has no time. The leader key may be lost at any moment, whoever ended its lease and however early, so what holds here
holds for every number of seconds of the lease watcher. Every step may wait for as long as it likes: a frozen host, a
hung process or a slow network is a step that does not come. The limits are stated as rules that can be taken away.

- Three members. A row is a number; a member's WAL is the sequence of rows that it has on disk. A loss of power loses
  no row of it.
- Patroni's work is cut where it reads or writes etcd. What it read is `fresh` until another member writes /sync: every
  write of /sync compares the key's revision.
- Three decisions are those of roles/patroni (patroni_start), not copies of them: a candidate's verdict with quorum
  commit (quorum.judge), whether it still is synchronous (candidacy.is_synchronous), and whether a primary may write
  /sync (narrowing.may_write).
- A primary that was succeeded does not take a free key: Patroni compares the timelines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import NamedTuple, TypeVar

from patroni_start.candidacy import is_synchronous
from patroni_start.narrowing import Names, may_write
from patroni_start.narrowing import Sync as Key
from patroni_start.quorum import Answer, Verdict, judge

from scripts.model.checker import Step

NAMES = ("A", "B", "C")
MEMBERS = range(len(NAMES))
NOT_ONE: frozenset[int] = frozenset()


class Mode(StrEnum):
    """patroni_synchronous_mode; quorum is the default where Patroni has it."""

    OFF = "off"
    ON = "on"
    QUORUM = "quorum"


PRIMARY, STANDBY, DOWN = "primary", "standby", "down"
"""The roles of a member's PostgreSQL."""
RETAKEN, RENEWED, WAITS_NEXT = "reads the cluster next", "renewed", "synchronous_standby_names is next"
"""The stages of a leader's cycle."""
CHOSEN, HOLDS, FENCED, PREPARED = "may lead", "holds the key", "wrote /sync as it is", "promotes next"
"""The stages of a candidate."""


@dataclass(frozen=True)
class Rules:
    """What bounds the model, and the rules that can be taken away.

    At most so many: rows, failovers, and losses of power.

    Longer than a lease: long_cycles: a leader's cycle after its renewal. long_races: the time from a candidate's look
    at /sync to its taking of the key. long_promotions: the time from there to the promotion.

    Rules: narrows_caught_up: a quorum is narrowed to standbys with every acknowledged row only. only_synchronous: a
    candidate must be in /sync (mode on). compares: writes of /sync compare its revision. sync_first: a standby loses
    its place in /sync before the primary commits without it. votes_bind: a vote counts only from who receives from the
    candidate. votes_with_key: votes are asked for with the key in hand. keeps_key: a leader doesn't overwrite its
    successor's key. fences: a candidate of a quorum writes /sync before it asks for votes. rechecks: a candidate looks
    up /sync again with the key in hand (mode on). looks: a primary that took the free key changes its standbys only if
    it still had the key when it read /sync.
    """

    mode: Mode
    rows: int = 2
    failovers: int = 1
    losses: int = 1
    long_cycles: bool = False
    long_promotions: bool = False
    long_races: bool = False
    narrows_caught_up: bool = True
    only_synchronous: bool = True
    compares: bool = True
    sync_first: bool = True
    votes_bind: bool = True
    votes_with_key: bool = True
    keeps_key: bool = True
    fences: bool = True
    rechecks: bool = True
    looks: bool = True


class Member(NamedTuple):
    """A member's PostgreSQL: from whom it receives, and for whom, any one of them, its commits wait as a primary.

    mark: how many rows a primary had when it began to wait for these.
    """

    role: str
    log: tuple[int, ...] = ()
    follows: int | None = None
    waits: frozenset[int] = NOT_ONE
    mark: int = 0


class Sync(NamedTuple):
    """The key /sync: the leader that wrote it, and the voters beside it."""

    leader: int
    voters: frozenset[int] = NOT_ONE

    @property
    def quorum(self) -> int:
        """How many voters a candidate among them must hear."""
        return max(0, len(self.voters) - 1)

    @property
    def members(self) -> frozenset[int]:
        """All whose vote counts."""
        return self.voters | {self.leader}


class Work(NamedTuple):
    """A Patroni's work under way: fresh until another writes /sync; sync as it read it; target: the next standbys."""

    stage: str = ""
    fresh: bool = True
    sync: Sync | None = None
    target: frozenset[int] = NOT_ONE


IDLE = Work()


class State(NamedTuple):
    """The whole. newest: the member that last became the leader, the cluster's truth."""

    members: tuple[Member, ...]
    work: tuple[Work, ...]
    sync: Sync
    key: int | None = 0
    newest: int = 0
    acked: frozenset[int] = NOT_ONE
    rows: int = 0
    failovers: int = 0
    losses: int = 0


def first(mode: Mode) -> State:
    """Return a healthy cluster: A leads, B and C receive from it."""
    waits = {Mode.OFF: NOT_ONE, Mode.ON: frozenset({1}), Mode.QUORUM: frozenset({1, 2})}[mode]
    standby = Member(STANDBY, follows=0)
    return State((Member(PRIMARY, waits=waits), standby, standby), (IDLE, IDLE, IDLE), Sync(0, waits))


OneT = TypeVar("OneT")


def put(values: tuple[OneT, ...], at: int, value: OneT) -> tuple[OneT, ...]:
    """Return the values with one replaced."""
    return (*values[:at], value, *values[at + 1 :])


def with_member(state: State, at: int, member: Member) -> State:
    """Return the state with a member replaced."""
    return State(put(state.members, at, member), *state[1:])  # faster than _replace(), which matters here


def with_work(state: State, at: int, work: Work = IDLE) -> State:
    """Return the state with a Patroni's work replaced."""
    return State(state.members, put(state.work, at, work), *state[2:])


def written(state: State, at: int, sync: Sync) -> State:
    """Return the state after a member wrote /sync: what the others read is no longer fresh."""
    work = tuple(one if who == at or one == IDLE else one._replace(fresh=False) for who, one in enumerate(state.work))
    return state._replace(sync=sync, work=work)


def is_prefix(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Return whether a log begins another."""
    return other[: len(one)] == one


def named(members: frozenset[int]) -> str:
    """Return the names of members."""
    return ", ".join(NAMES[at] for at in sorted(members)) or "no standby"


def steps(rules: Rules, state: State) -> Iterator[Step[State]]:
    """Yield all that can happen."""
    for at in MEMBERS:
        role = state.members[at].role
        yield from of_host(rules, state, at)
        if role is PRIMARY:
            yield from of_commit(rules, state, at)
            yield from of_leader(rules, state, at)
        if role is STANDBY:
            yield from of_standby(state, at)
            yield from of_candidate(rules, state, at)
    if state.key is not None and may_lose_key(rules, state, state.key):
        yield f"the lease of {NAMES[state.key]} ends", state._replace(key=None)


def may_lose_key(rules: Rules, state: State, at: int) -> bool:
    """Return whether a lease may end: whatever its holder does, but for what the rules exclude."""
    stage = state.work[at].stage
    if any(work.stage == CHOSEN for work in state.work) and not rules.long_races:
        return False
    if stage in {RETAKEN, RENEWED, WAITS_NEXT}:
        return rules.long_cycles
    if stage in {HOLDS, FENCED, PREPARED}:
        return rules.long_promotions
    return state.failovers < rules.failovers


def of_host(rules: Rules, state: State, at: int) -> Iterator[Step[State]]:
    """It loses power, or comes back."""
    member, name = state.members[at], NAMES[at]
    if member.role is not DOWN and state.losses < rules.losses:
        after = with_work(with_member(state, at, Member(DOWN, member.log)), at)
        yield f"{name} loses power", after._replace(losses=state.losses + 1)
    if member.role is DOWN:
        yield f"{name} starts as a standby", with_member(state, at, Member(STANDBY, member.log))


def of_commit(rules: Rules, state: State, at: int) -> Iterator[Step[State]]:
    """A primary writes a row, and acknowledges the next one that its standbys have."""
    member, name = state.members[at], NAMES[at]
    if state.rows < rules.rows:
        row = state.rows + 1
        yield (
            f"{name} writes row {row}",
            with_member(state, at, member._replace(log=(*member.log, row)))._replace(rows=row),
        )
    row = next((one for one in member.log if one not in state.acked), 0)
    if row and (not member.waits or any(row in state.members[one].log for one in member.waits)):
        yield f"{name} acknowledges row {row}", state._replace(acked=state.acked | {row})


def of_standby(state: State, at: int) -> Iterator[Step[State]]:
    """A standby receives the next row, follows the leader, or leaves a former one."""
    member, name = state.members[at], NAMES[at]
    source = None if member.follows is None else state.members[member.follows]
    if source is not None and source.role is PRIMARY and member.log != source.log:
        if is_prefix(member.log, source.log):
            row = source.log[len(member.log)]
            yield f"{name} receives row {row}", with_member(state, at, member._replace(log=(*member.log, row)))
        else:
            kept = tuple(row for row, other in zip(member.log, source.log, strict=False) if row == other)
            yield (
                f"{name} rewinds to the WAL of {NAMES[member.follows or 0]}",
                with_member(state, at, member._replace(log=kept)),
            )
    if state.work[at].stage == "" and state.key not in {at, member.follows}:
        text = f"{name} follows {NAMES[state.key]}" if state.key is not None else f"{name} leaves the former leader"
        yield text, with_member(state, at, member._replace(follows=state.key))


def of_leader(rules: Rules, state: State, at: int) -> Iterator[Step[State]]:
    """A primary's Patroni renews the lease and changes its standbys within the same cycle, or demotes.

    A cycle that begins with the key reads the cluster before. One that takes the free key reads it afterwards.
    """
    work, name = state.work[at], NAMES[at]
    free = state.key is None and state.newest == at
    if work.stage == "" and (state.key == at or free or (not rules.keeps_key and state.key is not None)):
        work = Work(RENEWED, sync=state.sync) if state.key == at or rules.mode is Mode.OFF else Work(RETAKEN)
        label = "renews its lease and goes on with its cycle" if state.key == at else "takes its leader key again"
        yield f"{name} {label}", with_work(state, at, work)._replace(key=at, newest=at)
    elif work.stage is RETAKEN:
        if state.key == at or not rules.looks:
            yield f"{name} reads /sync", with_work(state, at, Work(RENEWED, sync=state.sync))
        else:
            yield f"{name} reads that it has lost the key", with_work(state, at)
    elif work.stage is RENEWED:
        yield f"{name} ends its cycle", with_work(state, at)
        if rules.mode is not Mode.OFF:
            yield from of_change(rules, state, at)
    elif work.stage is WAITS_NEXT:
        yield naming(with_work(state, at), at, work.target)
    if state.key != at or work.stage == "":
        demoted = with_member(state, at, Member(STANDBY, state.members[at].log))
        yield f"{name} demotes itself", with_work(demoted, at)


def targets(rules: Rules, state: State, at: int, sync: Sync) -> Iterator[frozenset[int]]:
    """Yield the sets of standbys that a primary may go to: any may have come or gone."""
    waits = state.members[at].waits
    others = [one for one in MEMBERS if one != at]
    sizes = range(2 if rules.mode is Mode.ON else 3)
    for target in (frozenset(some) for size in sizes for some in combinations(others, size)):
        if (target != waits or sync != Sync(at, target)) and (target <= waits or target >= waits):
            yield target


def of_change(rules: Rules, state: State, at: int) -> Iterator[Step[State]]:
    """It changes its standbys in two places, in the order that keeps each acknowledged row with a voter."""
    work, member, name = state.work[at], state.members[at], NAMES[at]
    sync = work.sync or state.sync
    for target in targets(rules, state, at, sync):
        first_sync = not target or bool(sync.voters and target > member.waits)
        if target != member.waits and first_sync != rules.sync_first:
            yield naming(state, at, target)
        elif rules.compares and not work.fresh:
            yield f"{name} can't write /sync: another did", with_work(state, at)
        elif may_have(rules, state, at, target):
            done = target == member.waits
            after = work._replace(stage=RENEWED if done else WAITS_NEXT, sync=Sync(at, target), target=target)
            after = after._replace(target=NOT_ONE) if done else after
            yield f"{name} writes /sync: {named(target)}", with_work(written(state, at, Sync(at, target)), at, after)


def naming(state: State, at: int, target: frozenset[int]) -> Step[State]:
    """It waits for other standbys from now on, and notes its position."""
    member = state.members[at]
    text = f"{NAMES[at]} sets synchronous_standby_names to {named(target)}"
    return text, with_member(state, at, member._replace(waits=target, mark=len(member.log)))


def may_have(rules: Rules, state: State, at: int, target: frozenset[int]) -> bool:
    """Return whether a primary may have these voters in /sync: its own rule with one standby, else the amendment's."""
    member, sync = state.members[at], state.work[at].sync or state.sync
    caught_up = frozenset(one for one in MEMBERS if len(state.members[one].log) >= member.mark)
    if rules.mode is Mode.ON or not rules.narrows_caught_up:
        return target <= sync.voters or bool(target & caught_up)
    names = Names(member.waits, min(1, len(member.waits)))
    former, new = (Key(one.leader, one.voters, one.quorum) for one in (sync, Sync(at, target)))
    return may_write(former, new, names, caught_up)


def of_candidate(rules: Rules, state: State, at: int) -> Iterator[Step[State]]:
    """A standby's Patroni takes the free key, makes sure that it may lead, and promotes."""
    work, name, key = state.work[at], NAMES[at], state.key
    if work.stage == "" and state.failovers < rules.failovers:
        if key is None and may_lead(rules, state, at):
            if rules.mode is Mode.QUORUM and rules.votes_with_key:  # its checks before the race decide nothing
                yield from of_holder(rules, state._replace(key=at), at)
            else:
                yield f"{name} finds that it may lead", with_work(state, at, Work(CHOSEN))
        elif key == at:
            yield from of_holder(rules, state, at)
    elif work.stage is CHOSEN:
        yield f"{name} gives up", with_work(state, at)
        if key is None:
            yield from of_holder(rules, state._replace(key=at), at)
    elif work.stage in {HOLDS, FENCED}:
        yield from of_confirmation(rules, state, at, work)
    elif work.stage is PREPARED:
        sync = work.sync or state.sync
        waits = sync.members - {at} if rules.mode is Mode.QUORUM else NOT_ONE
        promoted = Member(PRIMARY, state.members[at].log, waits=waits)
        after = with_work(with_member(state, at, promoted), at)
        yield f"{name} is promoted", after._replace(newest=at, failovers=state.failovers + 1)
    if work.stage in {HOLDS, FENCED, PREPARED} and key != at:
        yield f"{name} finds that the key is lost", with_work(state, at)


def of_holder(rules: Rules, state: State, at: int) -> Iterator[Step[State]]:
    """It has the key and reads /sync; with a quorum it makes others' knowledge of /sync void next."""
    stage = HOLDS if rules.fences or rules.mode is Mode.ON else FENCED
    yield f"{NAMES[at]} takes the leader key, and reads /sync", with_work(state, at, Work(stage, sync=state.sync))


def of_confirmation(rules: Rules, state: State, at: int, work: Work) -> Iterator[Step[State]]:
    """It has the key, and makes sure that it has every acknowledged row."""
    name, sync = NAMES[at], work.sync or state.sync
    if not work.fresh:
        yield f"{name} reads /sync again", with_work(state, at, work._replace(fresh=True, sync=state.sync))
    if rules.mode is Mode.OFF:
        yield f"{name} needs no confirmation", with_work(state, at, work._replace(stage=PREPARED))
    elif rules.mode is Mode.ON:
        if rules.rechecks and not is_named(at, sync):
            yield f"{name} gives the key back", with_work(state, at)._replace(key=None)
        elif work.fresh or not rules.compares:
            after = written(state, at, Sync(at))
            yield f"{name} writes /sync: no standby", with_work(after, at, work._replace(stage=PREPARED))
    elif work.stage is HOLDS:
        if work.fresh or not rules.compares:
            yield f"{name} writes /sync as it is", with_work(written(state, at, sync), at, work._replace(stage=FENCED))
    else:
        verdict = voted(rules, state, at, sync)
        if verdict is Verdict.PROMOTE:
            yield f"{name} is confirmed by the votes", with_work(state, at, work._replace(stage=PREPARED))
        elif verdict is Verdict.BEHIND:
            yield f"{name} lacks rows of a voter, and gives the key back", with_work(state, at)._replace(key=None)


def is_named(at: int, sync: Sync) -> bool:
    """Return whether a candidate is synchronous, by the amendment's own code."""
    return is_synchronous(NAMES[at], NAMES[sync.leader], ",".join(NAMES[one] for one in sync.voters))


def may_lead(rules: Rules, state: State, at: int) -> bool:
    """Return whether a standby takes part in the race for the key."""
    if rules.mode is Mode.ON and rules.only_synchronous:
        return at in state.sync.members
    if rules.mode is Mode.QUORUM and not rules.votes_with_key:
        return voted(rules, state, at, state.sync, asked_early=True) is Verdict.PROMOTE
    return True


def voted(rules: Rules, state: State, at: int, sync: Sync, *, asked_early: bool = False) -> Verdict:
    """Return what the voters' answers mean, by the amendment's own code."""
    needed = sync.quorum + (at not in sync.members)
    if sync.leader == at or needed < 1 or (not rules.votes_with_key and not asked_early):
        return Verdict.PROMOTE
    given = [answer_of(rules, state.members[one]) for one in sync.members - {at}]
    return judge(given, NAMES[at], len(state.members[at].log) + 1, needed)


def answer_of(rules: Rules, voter: Member) -> Answer:
    """Return a voter's answer; a primary, or one that is down, has no position."""
    if voter.role is not STANDBY:
        return Answer(0, frozenset())
    upstreams = frozenset() if voter.follows is None else frozenset({NAMES[voter.follows]})
    return Answer(len(voter.log) + 1, upstreams if rules.votes_bind else None)


def acknowledging(state: State) -> list[str]:
    """Return the primaries that can acknowledge a new row."""
    return [
        NAMES[at]
        for at, one in enumerate(state.members)
        if one.role is PRIMARY and (not one.waits or any(receives(state, who, at) for who in one.waits))
    ]


def receives(state: State, at: int, primary: int) -> bool:
    """Return whether a standby receives from a primary."""
    return state.members[at].role is STANDBY and state.members[at].follows == primary


def lost(state: State) -> list[int]:
    """Return the acknowledged rows that the newest primary lacks."""
    newest = state.members[state.newest]
    return sorted(state.acked - set(newest.log)) if newest.role is PRIMARY else []


def broken(rules: Rules, state: State) -> str:
    """Return the invariant that a state breaks, "" for none; asynchronous replication promises neither."""
    if rules.mode is Mode.OFF:
        return ""
    for row in lost(state):
        return f"row {row} was acknowledged, and is lost"
    both = acknowledging(state)
    return f"{' and '.join(both)} acknowledge new rows" if len(both) > 1 else ""
