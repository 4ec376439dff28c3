# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spans of time: how long a state certainly lasted, judged by samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Ledger


@dataclass(frozen=True, slots=True)
class Span:
    """A state that certainly lasted from begin to end, and possibly from earliest to latest."""

    begin: float
    end: float
    earliest: float
    latest: float

    @property
    def length(self) -> float:
        """Return the certain seconds."""
        return self.end - self.begin

    @property
    def longest(self) -> float:
        """Return the possible seconds."""
        return self.latest - self.earliest


def certain(begin: float, end: float) -> Span:
    """Return a span with known ends."""
    return Span(begin, end, begin, end)


def overlap(one: Span, other: Span) -> Span | None:
    """Return when both certainly lasted at once, None if never."""
    begin, end = max(one.begin, other.begin), min(one.end, other.end)
    if begin > end:
        return None
    return Span(begin, end, max(one.earliest, other.earliest), min(one.latest, other.latest))


def overlaps(ones: Iterable[Span], others: Sequence[Span]) -> Iterator[Span]:
    """Yield all overlaps of two lists of spans."""
    for one in ones:
        for other in others:
            both = overlap(one, other)
            if both is not None:
                yield both


def longest(spans: Iterable[Span]) -> Span | None:
    """Return the span with the most certain seconds, None without any."""
    return max(spans, key=lambda span: span.length, default=None)


def runs(samples: Sequence[Any], holds: Callable[[Any], bool], silence: float, dark: Sequence[Span] = ()) -> list[Span]:
    """Return the spans of successive samples that satisfy a condition.

    A silence that is longer than the limit, or during which the host was dark, ends a span.
    """
    spans: list[Span] = []
    begun: float | None = None
    earliest = samples[0].at if samples else 0.0
    for this, after in pairwise([*samples, None]):
        if not holds(this):
            earliest = this.at
            continue
        begun = this.at if begun is None else begun
        if after is None or not holds(after) or is_silent(this.at, after.at, silence, dark):
            latest = this.at if after is None else after.at
            spans.append(Span(begun, this.at, earliest, latest))
            begun, earliest = None, this.at
    return spans


def is_silent(begin: float, end: float, silence: float, dark: Sequence[Span]) -> bool:
    """Return whether the state between two samples is unknown."""
    return end - begin > silence or any(span.begin < end and span.end > begin for span in dark)


def longest_silence(times: Iterable[float], begin: float, end: float) -> tuple[float, float]:
    """Return the longest part of begin … end in which a host was not observed."""
    marks = [begin, *sorted(at for at in times if begin < at < end), end]
    return max(pairwise(marks), key=lambda part: part[1] - part[0])


def dark_spans(ledger: Ledger, host: str) -> list[Span]:
    """Return when a host certainly ran no process."""
    return [certain(begin, end) for begin, end in ledger.dark.get(host, ())]


def grouped(records: Iterable[Any], name: str) -> dict[str, list[Any]]:
    """Return records by their source, each in order of recording."""
    found: dict[str, list[Any]] = {}
    for record in records:
        found.setdefault(getattr(record, name), []).append(record)
    return found


def by_name(samples: Iterable[Any], name: str) -> dict[str, list[Any]]:
    """Return samples by member or balancer, each in order of time."""
    return grouped(sorted(samples, key=lambda item: item.at), name)


def uncovered(spans: Iterable[tuple[float, float]], begin: float, end: float) -> Iterator[tuple[float, float]]:
    """Yield the parts of begin … end that no span covers."""
    reached = begin
    for first, last in [*sorted(spans), (end, end)]:
        if min(first, end) > reached:
            yield reached, min(first, end)
        reached = max(reached, last)
