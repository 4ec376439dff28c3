# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import job_schedule as sut

SHOWN = """\
Id=holdfast-job-etc.timer
ActiveState=active
ActiveEnterTimestamp=Mon 2026-01-05 10:11:12.500000 UTC
RandomizedDelayUSec=1h 5min
TimersCalendar={ OnCalendar=Mon..Sat *-*-* 01:00:00 ; next_elapse=Tue 2026-01-06 01:00:00.000000 UTC }

Id=holdfast-job-gone.timer
ActiveState=inactive
ActiveEnterTimestamp=
"""
WEEK = """\
Normalized form: Mon..Sat *-*-* 01:00:00
    Next elapse: Thu 2026-11-26 01:00:00 UTC
       From now: 3h 38min left
{label} #2: Fri 2026-11-27 01:00:00 UTC
       From now: 1 day 3h left
{label} #3: Sat 2026-11-28 01:00:00 UTC
{label} #4: Mon 2026-11-30 01:00:00 UTC
"""


def test_timers_are_read():
    blocks = sut.parse_blocks(SHOWN)
    timer = sut.parse_timer(blocks["holdfast-job-etc.timer"])
    assert timer == sut.Timer(1767607872.0, 3900.0, ("Mon..Sat *-*-* 01:00:00",))
    assert sut.parse_timer(blocks["holdfast-job-gone.timer"]) == sut.Timer(None, 0.0, ())
    assert sut.parse_timer({}) == sut.Timer(None, 0.0, ())


@pytest.mark.parametrize(
    ("text", "seconds"), [("5min", 300), ("1h 30min", 5400), ("1w 2d", 777600), ("1.5s", 1.5), ("0", 0), ("", 0)]
)
def test_spans(text, seconds):
    assert sut.span(text) == seconds


@pytest.mark.parametrize("label", ["       Iter.", "   Iteration"])
def test_the_longest_gap_counts(label):
    assert sut.longest_gap(WEEK.format(label=label)) == 2 * 86400


@pytest.mark.parametrize("shown", ["", "    Next elapse: never\n", "    Next elapse: Thu 2026-11-26 01:00:00 UTC\n"])
def test_a_schedule_without_two_runs_has_no_gap(shown):
    assert sut.longest_gap(shown) is None


def test_the_allowed_age():
    timer = sut.Timer(0.0, 300.0, ())
    assert sut.allowed_age(timer, 3600.0, 12.4) == 3912
    assert sut.allowed_age(timer, None, 12.4) is None
