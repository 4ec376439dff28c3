# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checker itself, on two jars of 3 and 5 litres that shall hold 4."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.model.checker import Step, TooLargeError, explore

Jars = tuple[int, int]
SIZES = (3, 5)


def pour(jars: Jars) -> Iterator[Step[Jars]]:
    three, five = jars
    yield "fill 3", (3, five)
    yield "fill 5", (three, 5)
    yield "empty 3", (0, five)
    yield "empty 5", (three, 0)
    moved = min(three, 5 - five)
    yield "3 into 5", (three - moved, five + moved)
    moved = min(five, 3 - three)
    yield "5 into 3", (three + moved, five - moved)


def test_the_counterexample_is_a_shortest_one_and_each_of_its_steps_is_possible():
    result = explore((0, 0), pour, lambda jars: "four litres" if 4 in jars else "", 100)
    assert result.broken == "four litres"
    assert [label for label, _jars in result.trace] == [
        "fill 5",
        "5 into 3",
        "empty 3",
        "5 into 3",
        "fill 5",
        "5 into 3",
    ]
    states = [(0, 0), *(jars for _label, jars in result.trace)]
    assert all(step in list(pour(before)) for before, step in zip(states, result.trace, strict=False))


def test_every_state_is_visited_once_where_the_invariant_holds():
    result = explore((0, 0), pour, lambda jars: "six litres" if 6 in jars else "", 100)
    assert result.holds
    assert (result.states, result.trace) == (16, ())
    assert "3 into 5" in result.seen


def test_the_first_state_may_break_the_invariant():
    result = explore((0, 0), pour, lambda jars: "empty" if jars == (0, 0) else "", 100)
    assert (result.broken, result.trace, result.depth) == ("empty", (), 0)


def test_a_model_that_its_parameters_do_not_bound_is_refused():
    with pytest.raises(TooLargeError):
        explore(0, lambda number: [("more", number + 1)], lambda number: "", 1000)
