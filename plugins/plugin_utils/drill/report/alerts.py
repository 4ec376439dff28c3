# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alerts of a drill as rows: which fired for which fault, when, and until when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Heard
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.run import FaultResult, Run, Spread, spread


@dataclass(frozen=True, slots=True)
class Row:
    """An alert of a fault, or none of that fault ("").

    fired: seconds after the injection; due: by which it had to fire, None if it did not have to; settled: seconds
    after the recovery; quiet: whether it was kept quiet all the time.
    """

    fault: str
    alert: str
    hosts: tuple[str, ...] = ()
    fired: Spread | None = None
    due: float | None = None
    settled: Spread | None = None
    quiet: bool = False


def rows(run: Run) -> list[Row]:
    """Return the alerts of all faults, [] without monitoring; those that were kept quiet come last."""
    return [row for fault in run.faults if monitored(fault) for row in fault_rows(fault)]


def monitored(fault: FaultResult) -> bool:
    """Return whether the alerts of a fault were recorded."""
    return any(ledger.monitor for ledger, _verdict, _budget in fault.results)


def fault_rows(fault: FaultResult) -> list[Row]:
    """Return the alerts of one fault."""
    heard: dict[str, list[Heard]] = {}
    for verdict in fault.verdicts:
        for one in verdict.heard:
            heard.setdefault(one.name, []).append(one)
    found = [row_of(fault, name, several) for name, several in heard.items()]
    return sorted(found, key=lambda row: (row.quiet, row.due is None)) or [Row(fault.fault, "")]


def row_of(fault: FaultResult, name: str, heard: list[Heard]) -> Row:
    """Return an alert with its times in all injections."""
    fired = [one.fired for one in heard if one.fired is not None]
    settled = [one.settled for one in heard if one.settled is not None]
    return Row(
        fault.fault,
        name,
        hosts=tuple(sorted({one.host for one in heard if one.host})),
        fired=spread(fired) if fired else None,
        due=max((one.due for one in heard if one.due is not None), default=None),
        settled=spread(settled) if settled else None,
        quiet=all(one.quiet for one in heard),
    )


def told(heard: Iterable[Heard]) -> str:
    """Return the alerts of one injection in words, "none" without any."""
    every = list(heard)
    loud = [sentence(one) for one in every if not one.quiet]
    quiet = sorted({str(one) for one in every if one.quiet})
    return "; ".join([*loud, *([f"kept quiet: {', '.join(quiet)}"] if quiet else [])]) or "none"


def sentence(one: Heard) -> str:
    """Return when an alert fired and ended, in words."""
    if one.fired is None:
        return f"{one} did not fire, it had to in {one.due:.0f} s"
    due = f" (of {one.due:.0f} s)" if one.due is not None else ""
    if one.settled is None:
        ended = "still fires"
    elif one.settled < 0:
        ended = "ended before the recovery"
    else:
        ended = f"ended {one.settled:.0f} s after the recovery"
    return f"{one} after {one.fired:.0f} s{due}, {ended}"
