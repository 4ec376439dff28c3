# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import (
    ScheduleError,
    Step,
    dump,
    load,
    ordered,
)

from tests.unit.plugins.plugin_utils.explore.roles import schedule

FLAP = Step("flap", "standby-1", 75.0, 20.0, on=1.5, off=0.5)
MADE = ordered([Step("isolate", "primary", 0.0, 60.0), FLAP, Step("cut_pair", "primary", 80.0, 5.0, "standby-2")])
FILE = """format: holdfast-schedule/1
steps:
- kind: isolate
  target: primary
  at: 0.0
  seconds: 60.0
- kind: flap
  target: standby-1
  at: 75.0
  seconds: 20.0
  'on': 1.5
  'off': 0.5
- kind: cut_pair
  target: primary
  at: 80.0
  seconds: 5.0
  other: standby-2
found:
  trial: 3
"""


def test_a_file_replays_what_it_was_written_from() -> None:
    assert dump(MADE, {"trial": 3}) == FILE
    assert load(FILE).schedule == MADE
    assert load(FILE).found == {"trial": 3}


def test_a_schedule_begins_at_0_and_is_in_order() -> None:
    made = schedule(("pause", "leader", 12.34, 1.0), ("isolate", "primary", 5.0, 60.04))
    assert [(one.kind, one.at, one.seconds) for one in made.steps] == [("isolate", 0.0, 60.0), ("pause", 7.3, 1.0)]
    assert made.seconds == 60.0


def test_equal_schedules_have_the_same_digest() -> None:
    assert MADE.digest == load(FILE).schedule.digest
    assert MADE.digest != schedule(("isolate", "primary", 0.0, 60.0)).digest


def test_a_schedule_in_words() -> None:
    assert str(ordered([FLAP])) == "at 0 s flap on standby-1 for 20 s (1.5 s on, 0.5 s off)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "no YAML"),
        ("steps: []", "its format is not holdfast-schedule/1"),
        ("{format: holdfast-schedule/1}", "steps: none"),
        ("{format: holdfast-schedule/1, steps: [{kind: flap}]}", "step 1: give kind and target"),
        ("{format: holdfast-schedule/1, steps: [{kind: flap, target: a, when: 1}]}", "step 1: when: unknown; known"),
        ("{format: holdfast-schedule/1, steps: [{kind: flap, target: a, at: -1}]}", "at: -1: give seconds"),
        ("{format: holdfast-schedule/1, steps: [{kind: flap, target: a, at: soon}]}", "at: 'soon': give seconds"),
        ("{format: holdfast-schedule/1, steps: [{kind: flap, target: 5}]}", "target: 5: give text"),
    ],
)
def test_a_file_that_is_no_schedule(text, message) -> None:
    with pytest.raises(ScheduleError, match=message):
        load(text)
