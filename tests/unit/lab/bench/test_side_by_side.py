# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from lab.bench.side_by_side import PATH, STRAIGHT, UNPOOLED, lines, tps


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("number of failed transactions: 0 (0.000%)\ntps = 250.542118 (without initial connection time)\n", 250.542118),
        ("number of failed transactions: 3 (0.100%)\ntps = 250.5\n", None),
        ("initial connection time = 12 ms\n", None),
    ],
)
def test_what_pgbench_says(output, expected) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="pgbench did not run through"):
            tps(output)
    else:
        assert tps(output) == expected


def test_the_ratio_is_that_of_the_medians() -> None:
    runs = {PATH: [90.0, 10.0, 95.0], UNPOOLED: [95.0, 95.0, 96.0], STRAIGHT: [100.0, 101.0, 99.0]}
    assert [" ".join(line.split()) for line in lines({"TPC-B-like": runs})] == [
        "TPC-B-like through the path 90 tps 0.90 (90, 10, 95)",
        "TPC-B-like without the pooler 95 tps 0.95 (95, 95, 96)",
        "TPC-B-like straight to the primary 100 tps 1.00 (100, 101, 99)",
    ]
