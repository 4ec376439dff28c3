# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store in memory that commits one transaction after the other, its clients, and stores with one fault each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import (
    Append,
    Fate,
    Look,
    Operation,
    Route,
    Transaction,
)

KEYS, PER_KEY = 3, 12
"""The keys in use at a time, and the transactions until the next one comes into use."""
LATE = 20.0


@dataclass(slots=True)
class Planned:
    """A transaction before it runs; commits: when the store decides, which of an unknown one may be much later."""

    client: str
    sequence: int
    begun: float
    ended: float
    commits: float
    fate: Fate
    applied: bool
    operations: tuple[Operation, ...]
    standby: bool = False


@dataclass(slots=True)
class Store:
    """Lists with the time of each append, and a log of commits with the keys they used; correct as it is."""

    chance: random.Random
    lists: dict[int, list[tuple[float, int]]] = field(default_factory=dict)
    log: list[tuple[set[int], list[Append]]] = field(default_factory=list)

    def run(self, planned: Planned) -> Transaction:
        """Decide about a transaction."""
        fate, appends, looks = self.decide(planned)
        for append in appends:
            self.lists.setdefault(append.key, []).append((planned.commits, append.value))
        if appends:
            self.log.append(({found.key for found in planned.operations}, appends))
        operations = self.operations(planned, looks)
        route = Route.STANDBY if planned.standby else Route.PRIMARY
        return Transaction(
            planned.client, planned.sequence, route, planned.begun, planned.ended, fate, operations, "db1"
        )

    def decide(self, planned: Planned) -> tuple[Fate, list[Append], dict[int, list[int]]]:
        """Return the fate of a transaction, its effect, and the lists that it reads."""
        return planned.fate, self.effect(planned), self.seen(planned)

    def effect(self, planned: Planned) -> list[Append]:
        return appends(planned) if planned.applied else []

    def seen(self, planned: Planned) -> dict[int, list[int]]:
        return self.replica() if planned.standby else self.at(planned.commits)

    def at(self, time: float) -> dict[int, list[int]]:
        """Return the lists at a time."""
        return {key: [value for when, value in values if when <= time] for key, values in self.lists.items()}

    def replica(self) -> dict[int, list[int]]:
        """Return the lists of a standby, which is some commits behind."""
        found: dict[int, list[int]] = {}
        for _keys, batch in self.log[: max(0, len(self.log) - self.chance.randrange(4))]:
            for append in batch:
                found.setdefault(append.key, []).append(append.value)
        return found

    def operations(self, planned: Planned, lists: dict[int, list[int]]) -> tuple[Operation, ...]:
        """Return a transaction's operations with what they read."""
        own: dict[int, list[int]] = {}
        done: list[Operation] = []
        for operation in planned.operations:
            mine = own.setdefault(operation.key, [])
            if isinstance(operation, Append):
                mine.append(operation.value)
                done.append(operation)
            else:
                done.append(Look(operation.key, (*lists.get(operation.key, ()), *mine)))
        return tuple(done)

    def final(self) -> Transaction:
        looks = tuple(Look(key, tuple(value for _time, value in values)) for key, values in self.lists.items())
        return Transaction("final", 1, Route.FINAL, 1e6, 1e6, Fate.OK, looks, "db1")


def appends(planned: Planned) -> list[Append]:
    return [operation for operation in planned.operations if isinstance(operation, Append)]


def plan(chance: random.Random, client: int, transactions: int) -> Iterator[Planned]:
    """Yield the transactions of one client; client 0 reads on standbys."""
    now = chance.random()
    for sequence in range(1, transactions + 1):
        begun = now
        commits = begun + chance.uniform(0.01, 1.0)
        ended = commits + chance.uniform(0.01, 0.5)
        fate = chance.choices([Fate.OK, Fate.FAILED, Fate.UNKNOWN], [85, 7, 8])[0] if client else Fate.OK
        applied = fate is Fate.OK or (fate is Fate.UNKNOWN and chance.random() < 0.5)
        if fate is Fate.UNKNOWN:
            commits += chance.uniform(0.0, LATE)
        operations = tuple(drawn(chance, client, sequence))
        yield Planned(f"c{client}", sequence, begun, ended, commits, fate, applied, operations, not client)
        now = ended + chance.uniform(0.0, 0.3)


def drawn(chance: random.Random, client: int, sequence: int) -> Iterator[Operation]:
    """Yield one to four operations on the keys in use; a client of standbys reads all of them."""
    keys = range(sequence // PER_KEY, sequence // PER_KEY + KEYS)
    if not client:
        yield from (Look(key, None) for key in keys)
        return
    for number in range(chance.randint(1, 4)):
        key = chance.choice(keys)
        append = chance.random() < 0.5
        yield Append(key, client * 1_000_000 + sequence * 10 + number) if append else Look(key, None)


def history(seed: int, store: type[Store] = Store, *, clients: int = 6, transactions: int = 60) -> list[Transaction]:
    """Return what clients of a store recorded, in the order in which they began."""
    chance = random.Random(seed)
    planned = [one for client in range(clients + 1) for one in plan(chance, client, transactions)]
    made = store(chance)
    ran = [made.run(one) for one in sorted(planned, key=lambda one: one.commits)]
    return [*sorted(ran, key=lambda one: one.begun), made.final()]


# Stores with one fault each


def now_and_then(store: Store) -> bool:
    return store.chance.random() < 0.1


class Forgetful(Store):
    """Drops an acknowledged append."""

    def effect(self, planned: Planned) -> list[Append]:
        return [] if now_and_then(self) else super().effect(planned)


class Torn(Store):
    """Applies the first append of a transaction only."""

    def effect(self, planned: Planned) -> list[Append]:
        return super().effect(planned)[: 1 if planned.fate is Fate.UNKNOWN else None]


class Repeating(Store):
    """Applies an append twice, as a retry would."""

    def effect(self, planned: Planned) -> list[Append]:
        return super().effect(planned) * (2 if now_and_then(self) else 1)


class Inventive(Store):
    """Appends what no client sent."""

    def effect(self, planned: Planned) -> list[Append]:
        found = super().effect(planned)
        return [*found, replace(found[0], value=-found[0].value)] if found and now_and_then(self) else found


class Dirty(Store):
    """Applies what it refuses."""

    def effect(self, planned: Planned) -> list[Append]:
        return super().effect(planned) or (appends(planned) if planned.fate is Fate.FAILED else [])


class Stale(Store):
    """Reads what was there five seconds ago."""

    def seen(self, planned: Planned) -> dict[int, list[int]]:
        return self.at(planned.commits - 5.0) if now_and_then(self) else super().seen(planned)


class Fractured(Store):
    """Reads the lists of even keys later than those of odd ones."""

    def seen(self, planned: Planned) -> dict[int, list[int]]:
        old = self.at(planned.begun)
        return {key: values for key, values in super().seen(planned).items() if key % 2} | {
            key: values for key, values in old.items() if key % 2 == 0
        }


class Snapshots(Store):
    """Snapshot isolation: reads what was there at the begin, refuses a second append to a list that has grown since."""

    def seen(self, planned: Planned) -> dict[int, list[int]]:
        return super().seen(planned) if planned.standby else self.at(planned.begun)

    def decide(self, planned: Planned) -> tuple[Fate, list[Append], dict[int, list[int]]]:
        grown = any(self.lists.get(found.key, [(-1.0, 0)])[-1][0] > planned.begun for found in appends(planned))
        if grown:
            return Fate.FAILED, [], {}
        return Store.decide(self, planned)


class Careless(Snapshots):
    """The same without the refusal."""

    def decide(self, planned: Planned) -> tuple[Fate, list[Append], dict[int, list[int]]]:
        return Store.decide(self, planned)


class Failover(Store):
    """Loses its last commits once."""

    def run(self, planned: Planned) -> Transaction:
        if len(self.log) == 60:
            lost = {append.value for _keys, batch in self.log[-5:] for append in batch}
            self.log[-5:] = [(set(), [])] * 6
            for values in self.lists.values():
                values[:] = [(time, value) for time, value in values if value not in lost]
        return Store.run(self, planned)


class Forked(Store):
    """Its standbys apply every second commit before the one in front of it, where they use different keys."""

    def replica(self) -> dict[int, list[int]]:
        log, whole = self.log, [*self.log]
        for at in range(0, len(whole) - 1, 2):
            first, second = whole[at : at + 2]
            if not first[0] & second[0]:
                whole[at : at + 2] = second, first
        self.log = whole
        try:
            return Store.replica(self)
        finally:
            self.log = log
