# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of samples that tell the same, two per second are kept; every change is."""

from __future__ import annotations

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.clock import Offset
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.recorder import Recorder

HERE = Offset(0.0, 0.0)


def test_samples_that_repeat_are_thinned_and_changes_kept() -> None:
    recorder = Recorder({})
    for tenth in range(40):
        at = tenth / 10
        recorder.take("db1", "members", [[at, tenth >= 23, tenth < 23, False, 4]], HERE)
        recorder.take("db2", "members", [[at, True, False, False, 4]], HERE)
        recorder.take("lb1", "balancers", [[at, ["192.0.2.100"], {"primary": ["db1"]}]], HERE)
    assert [sample.at for sample in recorder.members if sample.member == "db1"] == [
        *(0.0, 0.5, 1.0, 1.5, 2.0),
        *(2.3, 2.8, 3.3, 3.8),
    ]
    assert len(recorder.balancers) == 8


def test_idle_connections_that_ended_are_kept_with_the_client_s_time() -> None:
    recorder = Recorder({})
    recorder.take("client1", "broken", [["pooled-1", 7.0, "gone"]], HERE)
    (broken,) = recorder.broken
    assert (broken.client, broken.at, broken.error) == ("pooled-1", 7.0, "gone")
    recorder.reset(HERE)
    assert recorder.broken == []
