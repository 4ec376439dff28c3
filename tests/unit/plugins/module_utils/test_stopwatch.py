# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.holdfast.ha.plugins.module_utils.stopwatch import Stopwatch


def test_each_phase_begins_where_the_last_one_ended() -> None:
    now = iter([10.0, 11.5, 11.75])
    watch = Stopwatch(lambda: next(now))
    watch.end("gate before")
    watch.end("load")
    assert watch.phases == {"gate before": 1.5, "load": 0.25}
    assert list(watch.phases) == ["gate before", "load"]
