# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of an exploration: the cluster as in a drill, and which schedules are carried out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill import plan as drill
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan, Refusal
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.generate import objection
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.kinds import KINDS, SHORT
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.ladder import CASES
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.majority import Shape
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import PRIMARY, Schedule, parse
from ansible_collections.holdfast.ha.plugins.plugin_utils.table import table

LEAST_HOSTS = 3
"""Hosts of etcd and of PostgreSQL of which one may be lost."""
MARGIN = 60
"""Seconds by which a dead-man timer must outlast every fault."""


class Mode(StrEnum):
    """What an exploration does."""

    RANDOM = "random"
    LADDER = "ladder"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class ExplorePlan:
    """One exploration.

    trials: of random schedules or of a replay; minutes: after which no trial begins, 0 without a limit; kinds: the
    permitted kinds; shrink: the most runs that shrink one failure; lengths, repeat: the ladder's; steps: the schedule
    to replay, as plain data.
    """

    drill: Plan
    mode: str
    trials: int
    minutes: int
    seed: int
    kinds: tuple[str, ...]
    shrink: int
    lengths: tuple[float, ...]
    repeat: int
    steps: tuple[Mapping[str, Any], ...] = ()

    @property
    def shape(self) -> Shape:
        """The cluster's hosts by their roles."""
        return roles(self.drill)

    @property
    def schedule(self) -> Schedule | None:
        """The schedule to replay."""
        return parse(self.steps) if self.steps else None


def roles(plan: Plan) -> Shape:
    """Return the shape of a cluster with roles in place of hosts, since the roles of hosts change."""
    databases = [node.name for node in plan.bearing("postgresql")]
    named = [PRIMARY, *(f"standby-{number}" for number in range(1, len(databases)))]
    etcd = [node.name for node in plan.bearing("etcd")]
    apart = [f"etcd-{number}" for number in range(1, 1 + len(set(etcd) - set(databases)))]
    beside = named if set(etcd) & set(databases) else []
    return Shape(
        etcd=(*beside, *apart),
        databases=tuple(named),
        balancers=tuple(numbered("balancer", len(plan.bearing("keepalived")))),
        backup=tuple(numbered("backup", len(plan.bearing("backup")))),
    )


def numbered(name: str, count: int) -> list[str]:
    """Return so many names with numbers."""
    return [f"{name}-{number}" for number in range(1, count + 1)]


def parse_plan(document: Mapping[str, Any]) -> ExplorePlan:
    """Return the plan from a JSON document of its fields."""
    lists = {name: tuple(document[name]) for name in ("kinds", "lengths", "steps")}
    return ExplorePlan(**{**document, **lists, "drill": drill.parse(document["drill"])})


def wanted_kinds(given: Sequence[str]) -> tuple[str, ...]:
    """Return the names of kinds, all for "all"; raises Refusal."""
    names = [name for name in given if name]
    if names in ([], ["all"]):
        return tuple(KINDS)
    unknown = [name for name in names if name not in KINDS]
    if unknown:
        raise Refusal(f"explore_kinds: {', '.join(unknown)}: no such kind; known are {', '.join(KINDS)}")
    return tuple(dict.fromkeys(names))


def check(plan: ExplorePlan, confirm: Any) -> None:
    """Raise Refusal unless the plan is permitted."""
    cluster = plan.drill.cluster
    if confirm != cluster:
        given = f"is {confirm!r}" if confirm else "is not given"
        raise Refusal(
            f"explore_confirm {given}: it takes hosts of the cluster down; to allow it for this one, "
            f"give -e explore_confirm={cluster}"
        )
    for problem in problems(plan):
        raise Refusal(problem)


def problems(plan: ExplorePlan) -> Iterator[str]:
    """Yield the problems of a plan, each with the variable, its value and the fix."""
    for name, value, least in (
        ("explore_trials", plan.trials, 1),
        ("explore_minutes", plan.minutes, 0),
        ("explore_shrink", plan.shrink, 0),
        ("explore_repeat", plan.repeat, 1),
    ):
        if value < least:
            yield f"{name}: {value}: give {least} or more"
    low, high = SHORT
    if not plan.lengths or not all(low <= length <= high for length in plan.lengths):
        yield f"explore_lengths: {list(plan.lengths)}: give numbers from {low:g} to {high:g}"
    yield from drill.problems(plan.drill)
    yield from hosts_problems(plan)


def hosts_problems(plan: ExplorePlan) -> Iterator[str]:
    """Yield what the cluster lacks for the schedules."""
    for component, title in (("etcd", "etcd"), ("postgresql", "PostgreSQL")):
        count = len(plan.drill.bearing(component))
        if count < LEAST_HOSTS:
            yield f"cluster {plan.drill.cluster}: {count} {title} hosts: a fault leaves no majority; it needs three"
            return
    longest = max(KINDS[name].most for name in plan.kinds)
    if plan.drill.dead_man < longest + MARGIN:
        yield f"drill_dead_man: {plan.drill.dead_man}: give {longest + MARGIN:g} or more, faults last {longest:g} s"
    if plan.schedule and (found := objection(plan.schedule, plan.shape)):
        yield f"explore_schedule: {found}"


def as_text(plan: ExplorePlan) -> str:
    """Return the plan as text."""
    cluster, title = plan.drill, HEADLINES[Mode(plan.mode)]
    limit = f", no new one after {plan.minutes} minutes" if plan.minutes else ""
    return "\n".join([
        f"{title} on cluster {cluster.cluster}: {what(plan)}{limit}, written to {cluster.directory}",
        f"  clients on {cluster.client}, through {' and '.join(drill.endpoints(cluster))}",
        f"  {drill.how_provider(cluster)}; dead-man timers of {cluster.dead_man} s on the nodes",
        "",
        table(list(rows(plan))),
    ])  # fmt: skip


HEADLINES = {Mode.RANDOM: "Exploration", Mode.LADDER: "Ladder", Mode.REPLAY: "Replay"}


def what(plan: ExplorePlan) -> str:
    """Return the number of trials, as text."""
    if plan.mode == Mode.LADDER:
        return f"{len(CASES)} harms of {len(plan.lengths)} lengths, {plan.repeat} times each"
    return f"{plan.trials} trials" + (f" of seed {plan.seed}" if plan.mode == Mode.RANDOM else "")


def rows(plan: ExplorePlan) -> Iterator[Sequence[str]]:
    """Yield a row per kind, or per step of a schedule to replay."""
    if plan.schedule:
        yield from ([f"{step.at:g} s", str(step), KINDS[step.kind].title] for step in plan.schedule.steps)
        return
    used = {kind for kind, _target in CASES.values()} if plan.mode == Mode.LADDER else set(plan.kinds)
    for name in plan.kinds:
        kind = KINDS[name]
        if name in used:
            yield [name, f"{kind.least:g} to {kind.most:g} s" if kind.most else "at once", kind.title]
