# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of planned work during a record: pairs of events of one host and text."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Event, Ledger

BEGUN, ENDED = "step begun", "step ended"


@dataclass(frozen=True, slots=True)
class Step:
    """Work on a host, in seconds on the client's clock; finished: whether its end was recorded."""

    host: str
    text: str
    begin: float
    end: float
    finished: bool = True


def steps(ledger: Ledger) -> tuple[Step, ...]:
    """Return the steps in order of their begin; one without an end lasts until the record's end."""
    open_steps: dict[tuple[str, str], Event] = {}
    found: list[Step] = []
    for event in sorted(ledger.events, key=lambda event: event.at):
        key = (event.subject, event.text)
        if event.kind == BEGUN:
            open_steps.setdefault(key, event)
        elif event.kind == ENDED and key in open_steps:
            found.append(Step(*key, open_steps.pop(key).at, event.at))
    found += [Step(*key, event.at, ledger.ended, finished=False) for key, event in open_steps.items()]
    return tuple(sorted(found, key=lambda step: (step.begin, -step.end)))
