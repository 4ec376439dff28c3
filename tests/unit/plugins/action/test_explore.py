# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action adds to the drill's: the schedule of a file, and a directory to which the same command returns."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.action.explore import lasting, read_steps
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import dump

from tests.unit.plugins.plugin_utils.explore.roles import schedule
from tests.unit.plugins.plugin_utils.explore.test_plan import STEPS, plan

STAMPED = {"directory": "reports/2026-11-30T120000"}


def test_the_schedule_of_a_file(tmp_path) -> None:
    path = tmp_path / "failing-0001.yml"
    path.write_text(dump(schedule(("isolate", "primary", 0, 60)), {}))
    assert read_steps(str(path)) == STEPS


@pytest.mark.parametrize(("text", "reason"), [(None, "No such file"), ("[]", "its format is not holdfast-schedule/1")])
def test_a_file_that_is_no_schedule_is_refused(tmp_path, text, reason) -> None:
    path = tmp_path / "schedule.yml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(Refusal, match=f"explore_schedule: '{path}': .*{reason}.*; give a file such as"):
        read_steps(str(path))


@pytest.mark.parametrize(
    ("changes", "directory"),
    [
        ({"seed": 7}, "reports/explore-main-7"),
        ({"mode": "ladder"}, "reports/ladder-main-"),
        ({"mode": "replay", "steps": STEPS}, "reports/replay-2026-11-30T120000"),
    ],
)
def test_the_same_command_returns_to_its_directory(changes, directory) -> None:
    assert lasting(plan(STAMPED, **changes)).directory == directory
