# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a soak."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill import plan as drill
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan, Refusal
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.schedule import Disturbance, counts, schedule, shortest
from ansible_collections.holdfast.ha.plugins.plugin_utils.table import table

LONGEST_MINUTES = 7 * 24 * 60


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """One soak: the cluster as in a drill, its minutes, the schedule's seed, pgbench's clients and scale."""

    drill: Plan
    minutes: int
    seed: int
    clients: int
    scale: int

    @property
    def seconds(self) -> float:
        """The duration of the soak."""
        return 60.0 * self.minutes

    @property
    def watchers(self) -> tuple[str, ...]:
        """The hosts with a lease watcher."""
        watched = self.drill.topology.get("lease_watch")
        return tuple(node.name for node in self.drill.bearing("etcd")) if watched else ()

    @property
    def steps(self) -> tuple[Disturbance, ...]:
        """All disturbances."""
        return schedule(self.seconds, self.seed, self.watchers)


def parse(document: Mapping[str, Any]) -> SoakPlan:
    """Return the plan from a JSON document of its fields."""
    return SoakPlan(**{**document, "drill": drill.parse(document["drill"])})


def check(plan: SoakPlan, confirm: Any) -> None:
    """Raise Refusal unless the plan is permitted."""
    cluster = plan.drill.cluster
    if confirm != cluster:
        given = f"is {confirm!r}" if confirm else "is not given"
        raise Refusal(
            f"soak_confirm {given}: a soak starves the hosts of the cluster; to allow it for this one, "
            f"give -e soak_confirm={cluster}"
        )
    for problem in problems(plan):
        raise Refusal(problem)


def problems(plan: SoakPlan) -> Iterator[str]:
    """Yield the problems of a plan, each with the variable, its value and the fix."""
    if not shortest() <= plan.minutes <= LONGEST_MINUTES:
        yield f"soak_minutes: {plan.minutes}: give {shortest()} to {LONGEST_MINUTES}"
    for name, value in (("soak_clients", plan.clients), ("soak_scale", plan.scale)):
        if value < 1:
            yield f"{name}: {value}: give 1 or more"
    yield from drill.problems(plan.drill)
    if not plan.drill.bearing("etcd"):
        yield f"cluster {plan.drill.cluster}: no etcd host: there is no lease to watch"


def as_text(plan: SoakPlan) -> str:
    """Return the plan as text."""
    watched = ", ".join(plan.watchers) or "none: lease_watch is not set"
    rows = [(kind.replace("_", " "), f"{times}×") for kind, times in counts(plan.steps).items()]
    endpoint = next(iter(drill.endpoints(plan.drill)), "")
    return "\n".join([
        f"Soak of cluster {plan.drill.cluster}: {plan.minutes} minutes, written to {plan.drill.directory}",
        f"  pgbench on {plan.drill.client} through {endpoint}, {plan.clients} clients, scale {plan.scale}",
        f"  lease watchers: {watched}; seed {plan.seed}",
        "",
        table(rows),
    ])  # fmt: skip
