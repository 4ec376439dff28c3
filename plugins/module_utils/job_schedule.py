# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scheduled jobs as systemd reports them, and how old their last success may be: nothing here does I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

TIMER_PROPERTIES = ("Id", "ActiveState", "ActiveEnterTimestamp", "RandomizedDelayUSec", "TimersCalendar")
SERVICE_PROPERTIES = ("Id", "ActiveState")
PATTERNS = ("holdfast-job-*.timer", "pgbackrest-backup@*.timer", "holdfast-restore-verify.timer")
"""The names of the jobs' timers."""
ITERATIONS = 15  # enough for a schedule by the week
# The schedule's own time zone moves the runs, not the time between them.
CALENDAR_ENVIRONMENT = {"TZ": "UTC", "LC_ALL": "C.UTF-8"}
RUNNING = ("active", "activating", "reloading", "deactivating")
SECONDS = {
    "us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400, "day": 86400, "days": 86400,
    "w": 604800, "week": 604800, "weeks": 604800, "month": 2629800, "months": 2629800,
    "y": 31557600, "year": 31557600, "years": 31557600,
}  # fmt: skip


@dataclass(frozen=True)
class Timer:
    """A timer: since when it runs (epoch seconds, None when it does not), its random delay and calendar expressions."""

    active_since: float | None
    random_delay: float
    calendars: tuple[str, ...]


def parse_blocks(shown: str) -> dict[str, dict[str, str]]:
    """Return the properties by unit that `systemctl show` printed of several."""
    blocks = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.strip().split("\n\n")
    ]
    return {block["Id"]: block for block in blocks if "Id" in block}


def parse_timer(properties: Mapping[str, str]) -> Timer:
    """Return a timer from its properties, printed with --timestamp=us+utc."""
    active = properties.get("ActiveState") == "active"
    return Timer(
        active_since=moment(properties.get("ActiveEnterTimestamp", "")) if active else None,
        random_delay=span(properties.get("RandomizedDelayUSec", "")),
        calendars=tuple(re.findall(r"OnCalendar=(.*?) ;", properties.get("TimersCalendar", ""))),
    )


def moment(text: str) -> float:
    """Return systemd's `Mon 2026-01-05 10:11:12.123456 UTC` as seconds since the epoch; 0 for none."""
    found = re.search(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)", text)
    if not found:
        return 0.0
    return datetime.strptime(" ".join(found.groups()), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()


def span(text: str) -> float:
    """Return systemd's `1h 30min` in seconds."""
    return sum(float(number) * SECONDS.get(unit, 0) for number, unit in re.findall(r"([\d.]+)\s*([a-z]+)", text))


def calendar_command(timer: Timer) -> list[str]:
    """Return the command, to be run with CALENDAR_ENVIRONMENT, whose output longest_gap() reads."""
    return ["systemd-analyze", "calendar", f"--iterations={ITERATIONS}", "--", *timer.calendars[:1]]


def counts_from(timer: Timer, last_success: float | None) -> float | None:
    """Return from when a job's allowed age counts: its last success, or its timer's start if that is later."""
    return max((moment for moment in (last_success, timer.active_since) if moment), default=None)


def longest_gap(shown: str) -> float | None:
    """Return the most seconds between two runs, by `systemd-analyze calendar --iterations=N`; None without two."""
    lines = [line for line in shown.splitlines() if re.match(r"\s*(Next elapse|Iter\S* ?#\d+):", line)]
    moments = [moment(line) for line in lines if moment(line)]
    return max((later - earlier for earlier, later in pairwise(moments)), default=None)


def allowed_age(timer: Timer, gap: float | None, took: float) -> int | None:
    """Return how old a last success may be: the schedule's longest gap, the random delay, and what a run takes."""
    return None if gap is None else round(gap + timer.random_delay + took)
