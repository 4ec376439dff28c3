# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first model: time, the leader key and its lease, a change of etcd's leader, and the lease watcher.

The watcher's rules are not copied. Each of its rounds calls look() and judge() of roles/lease_watcher, so the model
checks the code that is installed. Everything else is an abstraction:

- Time passes in whole seconds ("a second passes"); within one, any number of other steps happens in any order. A
  process is as slow as it likes, up to the limits that its own program sets.
- Two members may lead. A member that runs as primary acknowledges writes until it demotes itself, at the latest
  `patience` seconds after the last renewal that it knows of.
- etcd's leader counts the lease's seconds. A new leader of etcd extends the lease by its full time and an election
  timeout. The former one may go on answering for as long as it likes with what it knew.
- One watcher stands for all. Watchers share nothing but the lease, so a revocation that breaks an invariant is the
  decision of one of them.
- Standbys never ask the primary whether it lives, and take a free key at any time. Patroni's own checks only prevent
  steps of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from lease_watcher.core import (
    Leadership,
    Reading,
    Revoke,
    Round,
    Rules,
    Settings,
    Sight,
    TimeToLive,
    judge,
    look,
    needed,
)

from scripts.model.checker import Step

NAMES = ("A", "B")
STALL = 1.5  # the watcher's default
SECOND = "a second passes"
STANDBY, RISING, RIPE, PRIMARY = "standby", "rising", "ripe", "primary"
"""The roles; who has taken the key is rising, and is ripe for promotion when a second has passed."""

Alter = Callable[[Sight | None, Round], tuple[Sight | None, Round]]
"""What a mutated watcher makes of what it has seen."""


def unaltered(sight: Sight | None, seen: Round) -> tuple[Sight | None, Round]:
    """Return what was seen as it is."""
    return sight, seen


@dataclass(frozen=True, eq=False)  # compared by identity, so that it is hashed at once
class World:
    """The parameters and rules.

    Of the watcher: seconds, settings and stall are its configuration. alter, revokes_current, acts_late and
    fresh_from_asking are for mutations; the last one: whether a decision's age counts from the question about the
    lease, or from the second reading.

    Of Patroni: ttl is the lease's seconds; patience: up to how many seconds after its last renewal a primary may
    acknowledge (latest_demotion). freezes: whether it may be frozen, and so forget to demote itself.

    Of etcd: extension: seconds by which a new leader extends leases. deposed_renews: for how many seconds a former
    leader accepts renewals (None: never). elections, outages: how often etcd changes its leader, or does not serve.

    two_primaries: whether two members that acknowledge break an invariant.
    """

    seconds: int
    settings: Settings
    ttl: int
    patience: int
    stall: float = STALL
    extension: int = 1
    elections: int = 1
    outages: int = 1
    deposed_renews: int | None = None
    freezes: bool = False
    alter: Alter = unaltered
    revokes_current: bool = False
    acts_late: bool = False
    fresh_from_asking: bool = True
    two_primaries: bool = True

    @property
    def allowed(self) -> int:
        """The seconds after which the watcher really acts."""
        return needed(Rules(self.seconds, self.stall, 0.5), self.settings) or 0


def latest_demotion(settings: Settings) -> int:
    """Return the seconds after its last renewal at which a primary that can't renew has demoted itself.

    After the renewal, the same cycle of Patroni writes /status and the member's key. The next one begins loop_wait
    after this one began, or at once if that is over. It reads, and tries to renew. Each request may take retry_timeout,
    and the rest of a slow cycle a second.
    """
    writes = 2 * settings.retry_timeout + 1
    return max(settings.loop_wait, writes) + 2 * settings.retry_timeout


class Member(NamedTuple):
    """A member: its role, and the seconds since the last renewal that it knows of."""

    role: str = STANDBY
    silent: int = 0


class Deposed(NamedTuple):
    """A former leader of etcd: the lease's seconds without a renewal as it knows them, the seconds since it was
    deposed, and whether it knows the lease that the key has now.
    """

    age: int
    since: int = 0
    current: bool = True


class Seen(NamedTuple):
    """A reading of the watcher: whether the term and the leadership that it shows are still the present ones."""

    term: bool = True
    leader: bool = True


class View(NamedTuple):
    """The watcher's sight: its last reading, and how many seconds ago it began and was last confirmed."""

    reading: Seen
    since: int
    at: int


class Asked(NamedTuple):
    """A round of the watcher under way: its first reading, its age, and the remaining seconds once etcd answered.

    fair: whether the holder really had its time to renew when etcd answered.
    """

    before: Seen
    begun: int
    remaining: int | None = None
    fair: bool = False


class State(NamedTuple):
    """The whole. age: the lease's seconds without a renewal by etcd's leader. chance: seconds in which the holder could
    have renewed, since the last renewal or change of etcd's leader. outage: seconds without etcd, None while it serves.
    revoking: a request under way, and whether it is for the present lease. hasty: it was sent too early.
    """

    members: tuple[Member, Member] = (Member(PRIMARY), Member())
    holder: int | None = 0
    age: int = 0
    chance: int = 0
    deposed: Deposed | None = None
    outage: int | None = None
    elections: int = 0
    outages: int = 0
    view: View | None = None
    asked: Asked | None = None
    revoking: bool | None = None
    hasty: bool = False


def put(members: tuple[Member, Member], at: int, member: Member) -> tuple[Member, Member]:
    """Return the members with one replaced."""
    return (member, members[1]) if at == 0 else (members[0], member)


def keyless(state: State) -> State:
    """Return the state without a leader key: what anyone knew about the former one is outdated."""
    members = state.members
    for at, member in enumerate(members):
        if member.role in (RISING, RIPE):
            members = put(members, at, Member())
    return outdated(state, leader=True)._replace(members=members, holder=None, age=0, chance=0)


def outdated(state: State, *, leader: bool = False, term: bool = False) -> State:
    """Return the state in which earlier readings show another leader key, or another term of etcd."""

    def older(seen: Seen) -> Seen:
        return Seen(seen.term and not term, seen.leader and not leader)

    view, asked, deposed = state.view, state.asked, state.deposed
    return state._replace(
        view=view and view._replace(reading=older(view.reading)),
        asked=asked and asked._replace(before=older(asked.before)),
        deposed=deposed and deposed._replace(current=deposed.current and not leader),
        revoking=None if state.revoking is None else state.revoking and not leader,
    )


def steps(world: World, state: State) -> Iterator[Step[State]]:
    """Yield all that can happen."""
    if state.hasty:
        return
    yield from of_time(world, state)
    yield from of_etcd(world, state)
    for at in range(len(NAMES)):
        yield from of_member(state, at)
        if state.outage is None:
            yield from of_key(world, state, at)
    yield from of_watcher(world, state)


def of_time(world: World, state: State) -> Iterator[Step[State]]:
    """A second passes, unless a primary has to demote itself first, or the watcher must act or give up first."""
    overdue = any(one.role != STANDBY and one.silent >= world.patience for one in state.members)
    asked = state.asked
    busy = asked is not None and asked.begun >= 2
    if (overdue and not world.freezes) or busy or (state.revoking is not None and not world.acts_late):
        return
    most = world.patience + 1
    first, second = (
        one if one.role == STANDBY else Member(RIPE if one.role == RISING else one.role, min(one.silent + 1, most))
        for one in state.members
    )
    view, deposed, counted = state.view, state.deposed, world.allowed + 2
    yield (
        SECOND,
        state._replace(
            members=(first, second),
            age=min(state.age + 1, world.ttl) if state.holder is not None else 0,
            chance=min(state.chance + 1, world.allowed) if state.holder is not None else 0,
            outage=None if state.outage is None else min(state.outage + 1, 2),
            view=view and View(view.reading, min(view.since + 1, counted), min(view.at + 1, 2)),
            asked=asked and asked._replace(begun=asked.begun + 1),
            deposed=deposed and aged(world, deposed),
        ),
    )


def aged(world: World, deposed: Deposed) -> Deposed:
    """Return a former leader of etcd a second later."""
    least = (world.deposed_renews or 0) + 1
    return deposed._replace(age=min(deposed.age + 1, world.ttl), since=min(deposed.since + 1, least))


def of_etcd(world: World, state: State) -> Iterator[Step[State]]:
    """Its leader changes, it stops serving for a while, or it ends a lease."""
    if state.outage is None and state.outages < world.outages:
        yield "etcd stops serving", state._replace(outage=0, outages=state.outages + 1)
    if state.outage is not None:
        chance = 0 if state.outage > STALL else state.chance
        yield "etcd serves again", state._replace(outage=None, chance=chance)
    if state.elections < world.elections:
        former = Deposed(state.age) if state.holder is not None else None
        after = outdated(state, term=True)
        after = after._replace(deposed=former, elections=state.elections + 1, chance=0)
        if state.holder is not None:
            after = after._replace(age=-world.extension)
        yield "etcd elects another leader, which extends the lease", after
    if state.deposed is not None:
        yield "etcd's former leader learns that it leads no more", state._replace(deposed=None)
    if state.holder is not None and state.age >= world.ttl and state.outage is None:
        yield "etcd ends the lease: its time is over", keyless(state)


def of_member(state: State, at: int) -> Iterator[Step[State]]:
    """It demotes itself, or gives up its promotion, or is promoted with the key in its hand."""
    member, name = state.members[at], NAMES[at]
    if member.role != STANDBY:
        yield f"{name} demotes itself", state._replace(members=put(state.members, at, Member()))
    if member.role == RIPE and state.holder == at:
        promoted = put(state.members, at, member._replace(role=PRIMARY))
        yield f"{name} is promoted and acknowledges writes", state._replace(members=promoted)


def of_key(world: World, state: State, at: int) -> Iterator[Step[State]]:
    """It renews its lease, takes a free key with a new one, or gives the key back."""
    member, name = state.members[at], NAMES[at]
    role = RISING if member.role == STANDBY else member.role
    renewed = put(state.members, at, Member(role))
    may = member.role == STANDBY or member.silent <= world.patience
    if state.holder == at and may:
        yield f"{name} renews its lease", state._replace(members=renewed, age=0, chance=0)
        if may_renew_deposed(world, state.deposed):
            known = state.deposed and state.deposed._replace(age=0)
            yield f"{name} renews its lease with etcd's former leader", state._replace(members=renewed, deposed=known)
    if state.holder == at and member.role == STANDBY:
        yield f"{name} gives the key back", keyless(state)
    if state.holder is None and may:
        yield f"{name} takes the free key with a new lease", state._replace(members=renewed, holder=at)


def may_renew_deposed(world: World, deposed: Deposed | None) -> bool:
    """Return whether a former leader of etcd still accepts a renewal."""
    return (
        world.deposed_renews is not None
        and deposed is not None
        and deposed.current
        and deposed.since <= world.deposed_renews
    )


def of_watcher(world: World, state: State) -> Iterator[Step[State]]:
    """It begins a round, gets the answers, decides, and its request arrives or is lost."""
    if state.view is not None or state.asked is not None:
        yield "the watcher has no view of etcd, and starts its count again", state._replace(view=None, asked=None)
    if state.asked is None and state.revoking is None:
        lasts = state.view is not None and state.view.at <= world.stall
        if lasts and state.view is not None:
            yield "the watcher begins a round", state._replace(asked=Asked(state.view.reading, 0))
        elif state.outage is None:
            reading = Seen(leader=state.holder is not None)
            yield "the watcher begins with a first reading", state._replace(asked=Asked(reading, 0), view=None)
    if state.asked is not None and state.asked.remaining is None and state.outage is None:
        for teller, remaining in answers(world, state, state.asked):
            text = (
                f"{teller} answers the watcher: {remaining} s remain" if remaining >= 0 else f"{teller}: no such lease"
            )
            fair = state.chance >= world.allowed
            yield text, state._replace(asked=state.asked._replace(remaining=remaining, fair=fair))
    if state.asked is not None and state.asked.remaining is not None and state.outage is None:
        yield decided(world, state, state.asked)
    if state.revoking is not None and state.outage is None:
        gone = state.revoking and state.holder is not None
        yield (
            "etcd revokes the lease" if gone else "etcd has no such lease",
            (keyless(state) if gone else state)._replace(revoking=None),
        )
        yield "the request to revoke is lost", state._replace(revoking=None)


def answers(world: World, state: State, asked: Asked) -> list[tuple[str, int]]:
    """Return who may answer, with the remaining seconds, rounded down in the middle of the present second.

    At the very beginning of a second one more remains, and the watcher only acts later. A lease that is no longer the
    key's may be gone, or live on without renewals. A member of etcd that has already seen the new leader asks no other.
    """
    if not asked.before.leader or state.holder is None:
        return [("etcd's leader", -1), ("etcd's leader", 0)]
    told = [("etcd's leader", max(0, world.ttl - state.age - 1))]
    if state.deposed is not None and state.deposed.current and not asked.before.term:
        told.append(("etcd's former leader", max(0, world.ttl - state.deposed.age - 1)))
    return told


def decided(world: World, state: State, asked: Asked) -> Step[State]:
    """Return the end of a round: the second reading, and what the watcher's own code makes of it."""
    held = state.holder is not None
    view, acts = watched(world, state.view, asked._replace(fair=False), held=held)
    after = state._replace(view=view, asked=None)
    if not acts or (world.fresh_from_asking and asked.begun > 0):
        return "the watcher reads the key again: no action", after
    current = asked.before.leader or world.revokes_current
    hasty = current and not (asked.fair and asked.before.leader)
    return "the watcher reads the key again, and asks etcd to revoke the lease", after._replace(
        view=None, revoking=current, hasty=hasty
    )


PRESENT, FORMER = Leadership("present", 1, 1), Leadership("former", 2, 2)


def reading_of(world: World, seen: Seen, *, held: bool = True) -> Reading:
    """Return the watcher's reading for the model's."""
    leadership = (PRESENT if seen.leader else FORMER) if held else None
    return Reading(1 if seen.term else 0, 1, 1, leadership, world.settings)


@cache
def watched(world: World, view: View | None, asked: Asked, *, held: bool) -> tuple[View | None, bool]:
    """Return the watcher's sight after a round, and whether it revokes, by its own code."""
    sight = view and Sight(reading_of(world, view.reading), float(-view.since), float(-view.at))
    before, after = reading_of(world, asked.before), reading_of(world, Seen(), held=held)
    lease = TimeToLive(world.ttl, asked.remaining or 0) if asked.remaining != -1 else TimeToLive(world.ttl, -1)
    given, seen = world.alter(sight, Round(before, lease, after, float(-asked.begun), 0.0))
    rules = Rules(world.seconds, world.stall, 0.5)
    sight = look(given, seen, world.stall)
    acts = isinstance(judge(rules, sight, seen), Revoke)
    since = min(int(-sight.since), world.allowed + 2)
    return View(Seen(leader=held), since, 0), acts


def broken(world: World, state: State) -> str:
    """Return the invariant that a state breaks, "" for none."""
    if world.two_primaries and all(one.role == PRIMARY for one in state.members):
        return "two members acknowledge writes, each on its own"
    if state.hasty:
        return f"the lease is revoked although its holder had no {world.allowed} s to renew it in"
    return ""
