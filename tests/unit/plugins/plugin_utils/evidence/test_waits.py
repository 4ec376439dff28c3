# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a client waited: attempts as (client, begun, ended, succeeded), the waits of a record that ends at 10."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.waits import Attempt, Wait, longest, waits

CASES: dict[str, tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]] = {
    "each answered at once": ([("a", 1.0, 1.1, True), ("a", 2.0, 2.2, True)], [("a", 1.0, 1.1), ("a", 2.0, 2.2)]),
    "retries count from the first": (
        [("a", 1.0, 2.0, False), ("a", 2.1, 3.0, False), ("a", 3.1, 3.2, True)],
        [("a", 1.0, 3.2)],
    ),
    "clients on their own": (
        [("a", 1.0, 2.0, False), ("b", 1.5, 1.6, True), ("a", 2.1, 2.2, True)],
        [("b", 1.5, 1.6), ("a", 1.0, 2.2)],
    ),
    "never answered": ([("a", 1.0, 2.0, True), ("a", 4.0, 5.0, False)], [("a", 1.0, 2.0), ("a", 4.0, 10.0, False)]),
    "still under way at the end": ([("a", 9.0, 10.5, True)], [("a", 9.0, 10.0, False)]),
    "begun after the end": ([("a", 10.5, 10.6, True)], []),
}  # fmt: skip


@pytest.mark.parametrize(("attempts", "expected"), CASES.values(), ids=CASES)
def test_waits(attempts: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> None:
    assert list(waits([Attempt(*values) for values in attempts], 10.0)) == [Wait(*values) for values in expected]


def test_a_wait_counts_in_every_span_that_it_overlaps() -> None:
    found = [Wait("a", 1.0, 4.0), Wait("b", 6.0, 6.5)]
    assert longest(found, 3.0, 9.0) == found[0]
    assert longest(found, 5.0, 9.0) == found[1]
    assert longest(found, 7.0, 9.0) is None
