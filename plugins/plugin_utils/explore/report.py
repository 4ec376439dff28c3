# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of an exploration: explore.json and explore.md, and ladder.json of a ladder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.explore import ladder
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.plan import ExplorePlan, Mode
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.records import (
    FAILED,
    PASSED,
    UNPROVEN,
    Records,
    count,
    write,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import parse
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto import outlook
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.outlook import Outlook
from ansible_collections.holdfast.ha.plugins.plugin_utils.table import table

Trials = Sequence[Mapping[str, Any]]


def as_data(plan: ExplorePlan, planned: int, trials: Trials, seen: Outlook) -> dict[str, Any]:
    """Return the report as plain data."""
    return {
        "cluster": plan.drill.cluster,
        "mode": plan.mode,
        "seed": plan.seed,
        "planned": planned,
        **{outcome: count(trials, outcome) for outcome in (PASSED, FAILED, UNPROVEN)},
        "kinds": dict(Counter(step["kind"] for trial in trials for step in trial["steps"])),
        "acknowledged": sum(trial.get("acknowledged", 0) for trial in trials),
        "lost": sum(trial.get("lost", 0) for trial in trials),
        "failovers": sum(bool(trial.get("failover")) for trial in trials),
        "longest_resumed": max((trial["resumed"] for trial in trials if "resumed" in trial), default=None),
        "prediction": outlook.as_data(seen),
    }


def as_text(plan: ExplorePlan, planned: int, trials: Trials, records: Records) -> str:
    """Return the report as Markdown that is readable on a terminal."""
    found = {outcome: count(trials, outcome) for outcome in (PASSED, FAILED, UNPROVEN)}
    lines = [
        f"# {plan.mode} on {plan.drill.cluster}, seed {plan.seed}: {len(trials)} of {planned} trials",
        "",
        f"{found[PASSED]} passed, {found[FAILED]} failed, {found[UNPROVEN]} not proven",
    ]
    if plan.mode == Mode.LADDER:
        lines += ["", table(list(ladder_rows(trials)))]
    for trial in trials:
        if trial["outcome"] != PASSED:
            lines += ["", *trial_lines(trial, records)]
    return "\n".join(lines)


def trial_lines(trial: Mapping[str, Any], records: Records) -> Iterator[str]:
    """Yield a trial that did not pass: its faults, the reasons, and the file that replays it."""
    yield f"## Trial {trial['trial']}: {trial['outcome']}"
    yield ""
    yield str(parse(trial["steps"]))
    reasons = [f"{breach['rule']}: {breach['text']}" for breach in trial.get("breaches", ())]
    yield from (f"- {reason}" for reason in [*reasons, trial["reason"]] if reason)
    path = records.smallest(trial["trial"])
    if path.exists():
        yield f"- replay: -e explore_schedule={path}"


def ladder_rows(trials: Trials) -> Iterator[list[str]]:
    """Yield a row per rung: the failovers of its trials."""
    yield ["harm", "on", "for", "failovers", "longest outage"]
    for rung in ladder.as_data(trials)["rungs"]:
        share = f"{rung['failovers']} of {rung['trials']}"
        yield [rung["harm"], rung["place"], f"{rung['seconds']:g} s", share, f"{rung['longest_outage']:.2f} s"]


def write_all(plan: ExplorePlan, planned: int, records: Records, seen: Outlook) -> str:
    """Write the report's files; return its text."""
    trials = records.all(planned)
    text = as_text(plan, planned, trials, records)
    data = as_data(plan, planned, trials, seen)
    write(records.directory / "explore.md", f"{text}\n")
    write(records.directory / "explore.json", json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    if plan.mode == Mode.LADDER:
        about = {"cluster": plan.drill.cluster, "profile": profile(plan), "prediction": data["prediction"]}
        rungs = json.dumps(ladder.as_data(trials, **about), indent=1, ensure_ascii=False)
        write(records.directory / "ladder.json", f"{rungs}\n")
    return text


def profile(plan: ExplorePlan) -> str:
    """Return the name of the cluster's timing profile."""
    return str((plan.drill.topology.get("timing") or {}).get("profile", ""))
