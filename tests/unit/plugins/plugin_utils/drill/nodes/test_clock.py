# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.clock import estimate


def test_the_quickest_exchange_counts() -> None:
    offset = estimate([(10.0, 110.5, 11.0), (20.0, 120.0011, 20.002), (30.0, 130.9, 31.0)])
    assert round(offset.seconds, 6) == 100.0001
    assert round(offset.uncertainty, 6) == 0.001


def test_times_go_to_and_fro() -> None:
    offset = estimate([(10.0, 4.0, 10.0)])
    assert offset.here(4.0) == 10.0
    assert offset.there(10.0) == 4.0
