# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults that a plan injects, their number, and why others are skipped; the plan as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import ALWAYS, CATALOGUE, Fault, Target
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan, Refusal, endpoints, how_provider
from ansible_collections.holdfast.ha.plugins.plugin_utils.table import table


def wanted_faults(value: Any) -> tuple[str, ...]:
    """Return the names in drill_faults: a list or comma-separated text; all faults for "all" or nothing."""
    names = [str(name).strip() for name in (value if isinstance(value, list) else str(value or "all").split(","))]
    names = [name for name in names if name]
    if names in ([], ["all"]):
        return tuple(CATALOGUE)
    unknown = [name for name in names if name not in CATALOGUE]
    if unknown:
        known = ", ".join(CATALOGUE)
        raise Refusal(f"drill_faults: {', '.join(unknown)}: no such fault; known are {known}")
    return tuple(names)


def skipped(plan: Plan, fault: Fault) -> str:
    """Return why a fault can't be injected here, "" when it can."""
    missing = [component for component in fault.needs if not plan.bearing(component)]
    if missing:
        return f"the cluster has no {' and no '.join(missing)}"
    if fault.target is Target.VIP_HOLDER and len(plan.bearing("keepalived")) < 2:
        return "the cluster has one balancer"
    return ""


def injections(plan: Plan) -> Iterator[tuple[Fault, int]]:
    """Yield every injection to make: its fault and its number, from 1."""
    for name in plan.faults:
        fault = CATALOGUE[name]
        if skipped(plan, fault):
            continue
        times = plan.repeat
        if fault.target is Target.STANDBY:
            times *= len(plan.bearing("postgresql")) - 1
        yield from ((fault, number) for number in range(1, times + 1))


def as_text(plan: Plan) -> str:
    """Return the plan as text."""
    lines = [
        f"Drill of cluster {plan.cluster}: {len(list(injections(plan)))} injections, written to {plan.directory}",
        f"  clients on {plan.client}, through {' and '.join(endpoints(plan))}",
        f"  {how_provider(plan)}; dead-man timers of {plan.dead_man} s on the nodes",
        *([f"  alerts from {plan.monitor}; every fault lasts until its alerts fire"] if plan.monitor else []),
        *(["  transactions on lists on every port, searched for anomalies"] if plan.consistency else []),
        f"  each time: {'; '.join(ALWAYS)}; and the fault's own budget",
        "",
        table(list(rows(plan))),
    ]
    return "\n".join(lines)


def rows(plan: Plan) -> Iterator[Sequence[str]]:
    """Yield a row per fault: name, number, target, action, duration."""
    counts: dict[str, int] = {}
    for fault, _number in injections(plan):
        counts[fault.name] = counts.get(fault.name, 0) + 1
    for name in plan.faults:
        fault = CATALOGUE[name]
        reason = skipped(plan, fault)
        how = fault.action.words(plan.containers)
        if reason:
            yield [name, "skipped", reason, "", ""]
        else:
            yield [name, f"{counts[name]}×", str(fault.target), how, str(fault.lasting)]
