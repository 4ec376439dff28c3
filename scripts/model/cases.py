# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is checked: the models as they should hold, each rule taken away, and the limits that are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from math import inf

from lease_watcher.core import Round, Settings, Sight, TimeToLive

from scripts.model import commit, lease
from scripts.model.checker import Result, explore
from scripts.model.commit import Mode, Rules
from scripts.model.lease import World, latest_demotion

MOST = 600_000
"""States that none of the models may exceed."""

Model = World | Rules


def check(model: Model) -> Result[lease.State] | Result[commit.State]:
    """Explore a model."""
    if isinstance(model, World):
        return explore(lease.State(), partial(lease.steps, model), partial(lease.broken, model), MOST)
    return explore(commit.first(model.mode), partial(commit.steps, model), partial(commit.broken, model), MOST)


# The watcher's rules, taken away: what a watcher without the rule sees


def ignoring_terms(sight: Sight | None, seen: Round) -> tuple[Sight | None, Round]:
    """Without the comparison of raft terms."""
    before, after = replace(seen.before, term=1), replace(seen.after, term=1)
    return sight and replace(sight, reading=replace(sight.reading, term=1)), replace(seen, before=before, after=after)


def ignoring_leaders(sight: Sight | None, seen: Round) -> tuple[Sight | None, Round]:
    """Without the comparison of leader keys and leases."""
    before = replace(seen.before, leadership=seen.after.leadership)
    known = sight and replace(sight, reading=replace(sight.reading, leadership=seen.after.leadership))
    return known, replace(seen, before=before)


def rounding_up(sight: Sight | None, seen: Round) -> tuple[Sight | None, Round]:
    """As if etcd rounded the remaining seconds up."""
    held = seen.lease
    return sight, replace(seen, lease=held and TimeToLive(held.granted + 1, held.remaining))


def trusting_the_lease(sight: Sight | None, seen: Round) -> tuple[Sight | None, Round]:
    """Without a count of its own."""
    return Sight(seen.before, (seen.begun if sight is None else sight.since) - 100, seen.begun), seen


BALANCED, BRISK, RARE = Settings(1, 3), Settings(1, 1), Settings(4, 1)
DECLARED = World(seconds=8, settings=BALANCED, ttl=20, patience=latest_demotion(BALANCED), elections=0)
"""The balanced profile without synchronous replication: the watcher waits longer than its own 8 s."""
SMALL = World(seconds=2, settings=BRISK, ttl=7, patience=latest_demotion(BRISK))
"""The same rule with a retry_timeout of 1 s, so that more can happen within a model of the same size."""
SELDOM = World(seconds=2, settings=RARE, ttl=8, patience=latest_demotion(RARE))
"""The same with a loop_wait that is longer than the rest of a slow cycle."""
TINY = World(seconds=4, settings=Settings(1, 1, synchronous=True), ttl=5, patience=3)
"""The same with fewer seconds, for counterexamples that need an election. A primary stops a second before N too."""
SYNCHRONOUS = World(
    seconds=3, settings=Settings(1, 3, synchronous=True), ttl=4, patience=1, two_primaries=False, outages=0
)
"""The fast profile: the watcher acts before a primary must demote itself. Only the second model keeps the rows then, so
when the primary demotes itself does not matter here.
"""
QUORUM, ON = Rules(Mode.QUORUM, rows=1), Rules(Mode.ON, rows=1)
OUTLASTED_QUORUM, OUTLASTED_ON = (replace(rules, long_cycles=True, losses=0) for rules in (QUORUM, ON))
"""A primary's host freezes between the renewal and the change of its standbys, for longer than its lease."""
REVISITED_ON = replace(ON, long_races=True, losses=0)
"""The old primary leads again between a candidate's look at /sync and its taking of the key."""

HOLD: Mapping[str, Model] = {
    "no synchronous replication, 14 s, etcd is away for a while": DECLARED,
    "no synchronous replication, 6 s, etcd changes its leader": replace(SMALL, outages=0),
    "no synchronous replication, 7 s, a long loop_wait": replace(SELDOM, elections=0, outages=0),
    "synchronous replication, 3 s, etcd changes its leader": SYNCHRONOUS,
    "quorum commit, any number of seconds, a loss of power": QUORUM,
    "quorum commit, any number of seconds, two rows": replace(QUORUM, rows=2, losses=0),
    "quorum commit, a cycle outlasts its lease": OUTLASTED_QUORUM,
    "one synchronous standby, any number of seconds, a loss of power": ON,
    "one synchronous standby, any number of seconds, two rows": replace(ON, rows=2, losses=0),
    "one synchronous standby, a cycle outlasts its lease": OUTLASTED_ON,
    "one synchronous standby, a race outlasts a lease": REVISITED_ON,
}

MUTATIONS: Mapping[str, Model] = {
    "the watcher waits loop_wait + 1 without synchronous replication": replace(
        DECLARED, settings=Settings(1, 3, synchronous=True), seconds=2, outages=0
    ),
    "the watcher waits loop_wait + 2 * retry_timeout + 1 without synchronous replication": replace(
        DECLARED, settings=Settings(1, 3, synchronous=True), seconds=8, outages=0
    ),
    "the watcher waits 4 * retry_timeout + 2 with a long loop_wait": replace(
        SELDOM, settings=Settings(4, 1, synchronous=True), seconds=6, elections=0, outages=0
    ),
    "the watcher counts a decision's age from its last reading": replace(
        SMALL, fresh_from_asking=False, elections=0, outages=0
    ),
    "the watcher takes the remaining seconds as rounded up": replace(SMALL, alter=rounding_up, elections=0, outages=0),
    "the watcher does not compare raft terms": replace(TINY, alter=ignoring_terms, outages=0),
    "the watcher does not compare leader keys": replace(
        SMALL, alter=ignoring_leaders, revokes_current=True, elections=0, outages=0
    ),
    "the watcher counts seconds that it did not see": replace(SMALL, alter=trusting_the_lease, elections=0),
    "the watcher bridges a gap between two looks": replace(SMALL, stall=inf, elections=0),
    "the watcher acts on a decision of any age": replace(SMALL, acts_late=True, elections=0, outages=0),
    "a primary that can't renew demotes itself a second late": replace(
        SMALL, patience=SMALL.patience + 1, elections=0, outages=0
    ),
    "quorum: a voter counts that receives from the old primary": replace(QUORUM, votes_bind=False, losses=0),
    "quorum: votes are asked for before the key is taken": replace(
        QUORUM, votes_with_key=False, long_races=True, losses=0
    ),
    "quorum: the primary commits alone before it writes /sync": replace(QUORUM, sync_first=False, losses=0),
    "quorum: an old leader overwrites the key": replace(QUORUM, keeps_key=False, losses=0, rows=2),
    "quorum: writes of /sync do not compare its revision": replace(OUTLASTED_QUORUM, compares=False),
    "quorum: the winner does not write /sync before it asks for votes": replace(OUTLASTED_QUORUM, fences=False),
    "quorum: a primary changes /sync although it has lost the key": replace(OUTLASTED_QUORUM, looks=False),
    "quorum: /sync is narrowed to a standby that lags behind": replace(QUORUM, narrows_caught_up=False, losses=0),
    "on: writes of /sync do not compare its revision": replace(OUTLASTED_ON, compares=False),
    "on: the winner does not look at /sync again, and a cycle outlasts its lease": replace(
        OUTLASTED_ON, rechecks=False
    ),
    "on: the winner does not look at /sync again, and the old primary led in between": replace(
        REVISITED_ON, rechecks=False
    ),
    "on: a primary changes /sync although it has lost the key": replace(OUTLASTED_ON, looks=False),
    "on: an asynchronous standby may lead": replace(ON, only_synchronous=False, rechecks=False, losses=0),
    "on: the primary commits alone before it writes /sync": replace(ON, sync_first=False, losses=0),
    "on: an old leader overwrites the key": replace(ON, keeps_key=False, losses=0, rows=2),
}

LIMITS: Mapping[str, Model] = {
    "off: a frozen primary wakes up after it was succeeded": replace(SMALL, freezes=True, elections=0, outages=0),
    "off: a former leader of etcd accepts a renewal (etcd before 3.4.31 and 3.5.13)": replace(
        TINY, deposed_renews=1, outages=0
    ),
    "quorum: the winner's promotion outlasts its lease": replace(QUORUM, long_promotions=True, losses=0),
}
