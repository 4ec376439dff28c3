# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A schedule of faults: its steps, and the file that replays it. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import yaml

FORMAT = "holdfast-schedule/1"
DECIMALS = 1
PRIMARY, LEADER, ETCD_LEADER, BALANCER, BACKUP = "primary", "leader", "etcd-leader", "balancer-1", "backup-1"
"""Targets: the first primary; the present one; the present leader of etcd; the balancer with the virtual IP."""
MOVING = (LEADER, ETCD_LEADER)
"""Targets that are chosen when their step begins, the others when the schedule begins."""


class ScheduleError(ValueError):
    """A file that is no schedule."""


@dataclass(frozen=True, slots=True)
class Step:
    """One fault: its kind, its target, and when it begins and how long it lasts, in seconds of the schedule.

    other: the second host of a cut pair. on, off: the rhythm of a harm that comes and goes.
    """

    kind: str
    target: str
    at: float = 0.0
    seconds: float = 0.0
    other: str = ""
    on: float = 0.0
    off: float = 0.0

    @property
    def end(self) -> float:
        """The time at which it is healed."""
        return self.at + self.seconds

    def __str__(self) -> str:
        pair = f" and {self.other}" if self.other else ""
        rhythm = f" ({self.on:g} s on, {self.off:g} s off)" if self.on else ""
        lasting = f" for {self.seconds:g} s" if self.seconds else ""
        return f"at {self.at:g} s {self.kind} on {self.target}{pair}{lasting}{rhythm}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Faults in the order of their begin; the first one begins at 0."""

    steps: tuple[Step, ...]

    @property
    def seconds(self) -> float:
        """The time of the last end."""
        return max((step.end for step in self.steps), default=0.0)

    @property
    def digest(self) -> str:
        """A name that equal schedules share."""
        return hashlib.sha256(json.dumps(as_data(self)).encode()).hexdigest()[:12]

    def __str__(self) -> str:
        return "; ".join(map(str, self.steps)) or "no fault"


def ordered(steps: Iterable[Step]) -> Schedule:
    """Return steps as a schedule: in order, from 0 on, in tenths of seconds."""
    listed = sorted(steps, key=lambda step: (step.at, step.kind, step.target))
    first = listed[0].at if listed else 0.0
    times = ("seconds", "on", "off")
    return Schedule(
        tuple(
            replace(
                step,
                at=round(step.at - first, DECIMALS),
                **{name: round(getattr(step, name), DECIMALS) for name in times},
            )
            for step in listed
        )
    )


# The file


@dataclass(frozen=True, slots=True)
class Found:
    """A schedule in a file, with how it was found."""

    schedule: Schedule
    found: Mapping[str, Any] = field(default_factory=dict)


def as_data(schedule: Schedule) -> list[dict[str, Any]]:
    """Return the steps as plain data, without what has its default."""
    defaults = {item.name: item.default for item in fields(Step)}
    return [
        {name: value for name, value in asdict(step).items() if value != defaults[name] or name == "at"}
        for step in schedule.steps
    ]


def dump(schedule: Schedule, found: Mapping[str, Any]) -> str:
    """Return the file that replays a schedule."""
    document = {"format": FORMAT, "steps": as_data(schedule), "found": dict(found)}
    return yaml.safe_dump(document, sort_keys=False, width=110, allow_unicode=True)


def load(text: str) -> Found:
    """Return the schedule of a file; raises ScheduleError."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ScheduleError(f"no YAML: {error}") from error
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise ScheduleError(f"its format is not {FORMAT}")
    return Found(parse(document.get("steps")), document.get("found") or {})


def parse(data: Any) -> Schedule:
    """Return the schedule of as_data()'s result; raises ScheduleError."""
    if not isinstance(data, Sequence) or not data or isinstance(data, str):
        raise ScheduleError("steps: none; give a list of {kind, target, at, seconds}")
    return ordered(read_steps(data))


def read_steps(data: Iterable[Any]) -> Iterator[Step]:
    """Yield the steps; raises ScheduleError."""
    texts = {item.name for item in fields(Step) if item.type == "str"}
    known = [item.name for item in fields(Step)]
    for number, given in enumerate(data, 1):
        if not isinstance(given, Mapping) or "kind" not in given or "target" not in given:
            raise ScheduleError(f"step {number}: give kind and target")
        for name, value in given.items():
            if name not in known:
                raise ScheduleError(f"step {number}: {name}: unknown; known are {', '.join(known)}")
            if not is_valid(value, name in texts):
                raise ScheduleError(f"step {number}: {name}: {value!r}: give {'text' if name in texts else 'seconds'}")
        values: dict[str, Any] = {name: value if name in texts else float(value) for name, value in given.items()}
        yield Step(**values)


def is_valid(value: Any, text: bool) -> bool:
    """Return whether a step's field has its type, and no time is negative."""
    if text:
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
