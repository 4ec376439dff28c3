# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import MemberSample
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.spans import (
    Span,
    certain,
    longest_silence,
    overlap,
    runs,
    uncovered,
)


def samples(text: str) -> list[MemberSample]:
    """One sample a second: x is a standby, o is none, a blank was not taken."""
    return [MemberSample(float(at), "db1", mark == "x", None, False) for at, mark in enumerate(text) if mark != " "]


@pytest.mark.parametrize(
    ("text", "dark", "spans"),
    [
        ("", [], []),
        ("ooo", [], []),
        ("xxx", [], [(0, 2, 0, 2)]),
        ("oxxo", [], [(1, 2, 0, 3)]),
        ("oxoxxo", [], [(1, 1, 0, 2), (3, 4, 2, 5)]),
        ("xx x", [], [(0, 3, 0, 3)]),
        ("xx  x", [], [(0, 1, 0, 4), (4, 4, 1, 4)]),  # a silence of 3 s proves nothing
        ("xxxx", [certain(1.2, 1.8)], [(0, 1, 0, 2), (2, 3, 1, 3)]),
        ("xxxx", [certain(1.0, 2.0)], [(0, 1, 0, 2), (2, 3, 1, 3)]),
        ("xxxx", [certain(-2.0, 0.0)], [(0, 3, 0, 3)]),
        ("xxxx", [certain(3.0, 5.0)], [(0, 3, 0, 3)]),
    ],
)
def test_runs(text: str, dark: list[Span], spans: list[tuple[float, ...]]) -> None:
    found = runs(samples(text), lambda sample: bool(sample.in_recovery), 2.0, dark)
    assert [(span.begin, span.end, span.earliest, span.latest) for span in found] == spans


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (Span(1, 4, 0, 5), Span(3, 6, 2, 7), Span(3, 4, 2, 5)),
        (Span(1, 4, 0, 5), Span(4, 6, 3, 7), Span(4, 4, 3, 5)),
        (Span(1, 4, 0, 5), Span(4.1, 6, 3, 7), None),
    ],
)
def test_overlaps(one: Span, other: Span, both: Span | None) -> None:
    assert overlap(one, other) == both
    assert overlap(one=other, other=one) == both


def test_certain_and_possible_lengths() -> None:
    assert (Span(3, 4, 2, 6).length, Span(3, 4, 2, 6).longest) == (1, 4)


@pytest.mark.parametrize(
    ("spans", "holes"),
    [
        ([], [(0, 10)]),
        ([(0, 10)], []),
        ([(-1, 11)], []),
        ([(2, 3), (2.5, 4)], [(0, 2), (4, 10)]),
        ([(2, 8), (3, 4)], [(0, 2), (8, 10)]),
        ([(0, 5), (5, 10)], []),
        ([(11, 12)], [(0, 10)]),
        ([(3, 12), (13, 14)], [(0, 3)]),
    ],
)
def test_what_no_span_covers(spans: list[tuple[float, float]], holes: list[tuple[float, float]]) -> None:
    assert list(uncovered(spans, 0, 10)) == holes


@pytest.mark.parametrize(
    ("times", "silence"),
    [
        ([], (10.0, 30.0)),
        ([9.0, 10.4, 31.0], (10.4, 30.0)),
        ([9.0, 10.4, 25.0, 25.1], (10.4, 25.0)),
        ([25.1, 10.4, 25.0], (10.4, 25.0)),
    ],
)
def test_the_longest_silence(times, silence) -> None:
    assert longest_silence(times, 10.0, 30.0) == silence
