# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a soak: soak.json and soak.md, which the terminal also shows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.judge import Change, Seen, shown
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.plan import SoakPlan


def as_data(plan: SoakPlan, seen: Seen, found: Sequence[Change]) -> dict[str, Any]:
    """Return the report as plain data."""
    return {
        "cluster": plan.drill.cluster,
        "passed": not found,
        "breaches": [asdict(change) for change in found],
        "asked": {"minutes": plan.minutes, "seed": plan.seed, "clients": plan.clients, "scale": plan.scale},
        "lease_watch": plan.drill.topology.get("lease_watch"),
        "elections": seen.elections,
        "schedule": [asdict(step) | {"kind": step.kind.name.lower()} for step in plan.steps],
        **asdict(seen),
    }


def as_text(plan: SoakPlan, seen: Seen, found: Sequence[Change]) -> str:
    """Return the report as Markdown that is readable on a terminal."""
    watch = plan.drill.topology.get("lease_watch")
    revokes = f"revoked after {watch['seconds']} s or more" if watch else "no lease watcher"
    rows = [
        ("lasted", f"{seen.seconds:.0f} s of {plan.seconds:.0f} s, seed {plan.seed}"),
        ("leader, timeline", f"{seen.before.leader}, {seen.before.timeline}"),
        ("virtual IPs", shown(seen.before.holders)),
        ("lease's longest silence", f"{seen.silence} to {seen.silence + 1} s ({revokes}), {seen.lease_looks} looks"),
        ("recounts of the watchers", f"{seen.recounts} times: etcd did not answer in time"),
        ("etcd's elections", f"{seen.elections} beside the {seen.handovers} handovers"),
        ("Patroni's late loops", str(seen.overruns)),
        ("pgbench", f"{seen.load.tps:.0f} tps, {seen.load.latency_ms:.1f} ms, {seen.load.failed} failed"),
        ("pgbench began again", f"{len(seen.load.breaks)} times: its connections were broken"),
        ("rows", f"{seen.acknowledged} acknowledged, {seen.lost} lost"),
        ("longest gap of an observer", f"{max(seen.blind.values(), default=0.0):.1f} s"),
        *((f"done: {kind.replace('_', ' ')}", f"{times}×") for kind, times in seen.disturbed.items()),
        ("machine", ", ".join(f"{name} {value}" for name, value in seen.machine.items())),
    ]
    width = max(len(name) for name, _value in rows)
    lines = [f"# Soak of {plan.drill.cluster}: {'FAILED' if found else 'passed'}", ""]
    lines += [f"    {name:<{width}}  {value}" for name, value in rows]
    lines += listed("Unwanted changes", [f"{change.at:.1f} s: {change.text} [{change.rule}]" for change in found])
    lines += listed("Messages of the lease watchers and Patroni", list(remarks(seen)))
    lines += listed("How pgbench's connections broke", seen.load.breaks)
    lines += listed("Failed disturbances", seen.troubles)
    return "\n".join(lines)


def remarks(seen: Seen) -> Iterator[str]:
    """Yield the silences that watchers logged and Patroni's demotions, by host."""
    for host, journal in seen.journals.items():
        yield from (f"{host}: {line}" for line in (*journal.silences, *journal.demotions))


def listed(title: str, items: Sequence[str]) -> list[str]:
    """Return a titled list, empty without items."""
    return ["", f"## {title}", "", *(f"- {item}" for item in items)] if items else []


def write(plan: SoakPlan, seen: Seen, found: Sequence[Change], directory: Path) -> None:
    """Write soak.json and soak.md into a directory."""
    data = json.dumps(as_data(plan, seen, found), indent=1, ensure_ascii=False, default=str)
    (directory / "soak.json").write_text(f"{data}\n", encoding="utf-8")
    (directory / "soak.md").write_text(f"{as_text(plan, seen, found)}\n", encoding="utf-8")
