# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an exploration leaves in its directory: a record of each trial, from which a killed run goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Breach
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.judge import Hit, Judgement
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import Schedule, as_data, dump

FORMAT = "holdfast-trial/1"
HEADER = "exploration.json"
PASSED, FAILED, UNPROVEN = "passed", "failed", "unproven"
DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Trial:
    """One schedule that was carried out.

    outcome: PASSED, FAILED, or UNPROVEN where a fault could not be proven; reason: why; broken: whether the cluster did
    not become healthy afterwards; injected: the begin of the schedule on the clock of the hits.
    """

    schedule: Schedule
    outcome: str
    reason: str = ""
    broken: bool = False
    hits: tuple[Hit, ...] = ()
    judgement: Judgement | None = None
    injected: float = 0.0

    @property
    def breaches(self) -> tuple[Breach, ...]:
        """The broken rules."""
        return self.judgement.breaches if self.judgement else ()

    def as_data(self) -> dict[str, Any]:
        """Return the record as plain data; times are seconds after the begin of the schedule."""
        found = asdict(self.judgement) if self.judgement else {}
        return {
            "format": FORMAT,
            "outcome": self.outcome,
            "reason": self.reason,
            "broken": self.broken,
            "steps": as_data(self.schedule),
            "hits": [
                {
                    "kind": hit.step.kind,
                    "hosts": list(hit.hosts),
                    "begun": round(hit.begun - self.injected, DECIMALS),
                    "ended": round(hit.ended - self.injected, DECIMALS),
                    "proof": hit.proof,
                }
                for hit in self.hits
            ],
            **{name: round(value, DECIMALS) if isinstance(value, float) else value for name, value in found.items()},
        }


class Records:
    """The directory of one exploration."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def begin(self, header: Mapping[str, Any]) -> int:
        """Begin, or go on; return how many trials are recorded. Raises Refusal if the directory is another run's."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / HEADER
        wanted = json.loads(json.dumps(header))
        if not path.exists():
            write(path, json.dumps(wanted, indent=1) + "\n")
        found = json.loads(path.read_text(encoding="utf-8"))
        differing = [name for name in wanted if found.get(name) != wanted[name]]
        if differing:
            named = ", ".join(f"{name} was {found.get(name)!r}, is {wanted[name]!r}" for name in differing)
            raise Refusal(f"explore_report: {str(self.directory)!r} is of another run: {named}; give another directory")
        return len(list(self.directory.glob("trial-*.json")))

    def trial(self, number: int) -> dict[str, Any] | None:
        """Return the record of a trial, None while there is none."""
        return read(self._trial(number))

    def keep(self, number: int, trial: Trial, **more: Any) -> None:
        """Write the record of a trial."""
        write_data(self._trial(number), {"trial": number, **more, **trial.as_data()})

    def shrinking(self, number: int, schedule: Schedule) -> dict[str, Any] | None:
        """Return the record of a smaller schedule of a trial, None while there is none."""
        return read(self._shrinking(number, schedule))

    def keep_shrinking(self, number: int, trial: Trial) -> None:
        """Write the record of a smaller schedule."""
        write_data(self._shrinking(number, trial.schedule), {"trial": number, **trial.as_data()})

    def smallest(self, number: int) -> Path:
        """Return the path of the file that replays a failed trial."""
        return self.directory / f"failing-{number:04}.yml"

    def keep_smallest(self, number: int, schedule: Schedule, found: Mapping[str, Any]) -> None:
        """Write the file that replays a failed trial."""
        write(self.smallest(number), dump(schedule, found))

    def ledger(self, number: int, schedule: Schedule) -> Path:
        """Return the path of a failed schedule's raw record."""
        return self.directory / f"failing-{number:04}-{schedule.digest}.ledger.json.gz"

    def all(self, count: int) -> list[dict[str, Any]]:
        """Return the records of the first trials, without those that are missing."""
        return [found for number in range(1, count + 1) if (found := self.trial(number)) is not None]

    def _trial(self, number: int) -> Path:
        return self.directory / f"trial-{number:04}.json"

    def _shrinking(self, number: int, schedule: Schedule) -> Path:
        return self.directory / f"shrink-{number:04}-{schedule.digest}.json"


def read(path: Path) -> dict[str, Any] | None:
    """Return a record, None without a file."""
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write_data(path: Path, data: Mapping[str, Any]) -> None:
    """Write a record."""
    write(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def write(path: Path, text: str) -> None:
    """Write a file at once: a killed run leaves no part of it."""
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(path)


def count(records: Sequence[Mapping[str, Any]], outcome: str) -> int:
    """Return how many trials had an outcome."""
    return sum(record["outcome"] == outcome for record in records)
