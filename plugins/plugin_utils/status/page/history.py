# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last day as shapes: a strip of the write availability, and a plot of the standbys' lag.

Shapes are in percent of the plot's width and height, so that texts beside them keep their size in every window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from ansible_collections.holdfast.ha.plugins.plugin_utils.status.page.watch import Sample, Series
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.units import KIBI, size

DAY = 86400
STEP = 300
"""Seconds between two samples; playbooks/tasks/status.yml asks for them."""
COMPLETE = 0.9999
"""The least share of a step that counts as all of it."""
HOURS = 4
"""Hours between two labels of the time axis."""
KINDS = {"up": "a primary all the time", "part": "at times none", "down": "no primary", "unknown": "not recorded"}


@dataclass(frozen=True, slots=True)
class Bar:
    """A span of one kind, in percent of the day; text says what and when."""

    left: float
    width: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A label at a place of an axis, in percent."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Strip:
    """The write availability of a day; share is of the recorded time, missing in seconds, None without any record."""

    bars: tuple[Bar, ...]
    share: float | None
    missing: float


@dataclass(frozen=True, slots=True)
class Line:
    """A series as SVG paths, one for each span without a gap; greatest is its greatest value as people read it."""

    name: str
    paths: tuple[str, ...]
    greatest: str


@dataclass(frozen=True, slots=True)
class Plot:
    """The lag of a day; limit is the height of the greatest accepted lag, None where it lies above."""

    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]
    limit: float | None


def strip(writes: Series, now: float, zone: tzinfo | None) -> Strip:
    """Return the write availability; a sample at t tells of the step before t."""
    seen = dict(steps_of(writes.samples, now))
    shares = [seen.get(number) for number in range(DAY // STEP)]
    known = [share for share in shares if share is not None]
    return Strip(
        bars=tuple(bars(shares, now - DAY, zone)),
        share=sum(known) / len(known) if known else None,
        missing=sum(1 - share for share in known) * STEP,
    )


def steps_of(samples: Sequence[Sample], now: float) -> Iterator[tuple[int, float]]:
    """Yield the number of each sample's step, counted from the begin of the day, and its value."""
    for at, value in samples:
        yield round((at - (now - DAY)) / STEP) - 1, value


def bars(shares: Sequence[float | None], begin: float, zone: tzinfo | None) -> Iterator[Bar]:
    """Yield the spans of steps of one kind; those in which a primary was missing stay single."""
    number = 0
    while number < len(shares):
        kind, end = kind_of(shares[number]), number + 1
        while end < len(shares) and kind != "part" and kind_of(shares[end]) == kind:
            end += 1
        clock = "–".join(f"{datetime.fromtimestamp(begin + at * STEP, zone):%H:%M}" for at in (number, end))
        share = shares[number]
        text = f"{100 * share:.1f} % of the time a primary" if kind == "part" and share is not None else KINDS[kind]
        yield Bar(100 * number / len(shares), 100 * (end - number) / len(shares), kind, f"{clock} {text}")
        number = end


def kind_of(share: float | None) -> str:
    """Return a key of KINDS."""
    if share is None:
        return "unknown"
    return "up" if share >= COMPLETE else "part" if share > 0 else "down"


def plot(lag: Sequence[Series], now: float, limit: int) -> Plot:
    """Return the lag of all standbys."""
    top = ceiling(max((value for series in lag for _at, value in series.samples), default=0))
    return Plot(
        lines=tuple(
            Line(
                series.name,
                tuple(paths(series.samples, now, top)),
                size(int(max((value for _at, value in series.samples), default=0))),
            )
            for series in lag
        ),
        ticks=tuple(Tick(100 * part, size(int(top * (1 - part)))) for part in (0, 0.5, 1)),
        limit=100 * (1 - limit / top) if limit <= top else None,
    )


def ceiling(value: float) -> int:
    """Return the next power of two, at least 2 KiB, as the top of an axis of bytes."""
    top = 2 * KIBI
    while top < value:
        top *= 2
    return top


def paths(samples: Sequence[Sample], now: float, top: int) -> Iterator[str]:
    """Yield the lines of a series, one for each span in which no sample is missing."""
    points: list[str] = []
    before = None
    for at, value in samples:
        if before is not None and at - before > 1.5 * STEP:
            yield path(points)
            points = []
        points.append(f"{100 * (at - now + DAY) / DAY:.2f} {100 * (1 - max(value, 0) / top):.2f}")
        before = at
    if points:
        yield path(points)


def path(points: Sequence[str]) -> str:
    """Return an SVG path; a single point becomes a short line."""
    return f"M{'L'.join(points)}" if len(points) > 1 else f"M{points[0]}h0.2"


def hours(now: float, zone: tzinfo | None) -> Iterator[Tick]:
    """Yield the labels of the time axis: full hours of the day before now."""
    at = datetime.fromtimestamp(now - DAY, zone).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    while (since := at.timestamp() - (now - DAY)) < DAY:
        if at.hour % HOURS == 0:
            yield Tick(100 * since / DAY, f"{at:%H:%M}")
        at += timedelta(hours=1)
