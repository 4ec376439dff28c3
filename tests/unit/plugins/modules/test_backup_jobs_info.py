# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time

from ansible_collections.holdfast.ha.plugins.module_utils.job_record import Record
from ansible_collections.holdfast.ha.plugins.module_utils.job_schedule import Timer
from ansible_collections.holdfast.ha.plugins.modules import backup_jobs_info as sut


def record(ago, success_ago):
    now = time.time()
    success = None if success_ago is None else now - success_ago
    return Record("etc", "x.service", now - ago - 5, now - ago, 5.0, "exit-code", "1", 1, 1, success)


def described(record=None, since=1000.0, service="inactive"):
    timer = Timer(since and time.time() - since, 60.0, ())
    return sut.describe("holdfast-job-etc.timer", timer, {"ActiveState": service}, record, 3600.0)


def test_timers_that_are_there_and_those_that_ought_to_be(tmp_path):
    for name in ("holdfast-job-a.timer", "holdfast-job-a.service", "pgbackrest-backup@full.timer", "apt.timer"):
        (tmp_path / name).touch()
    found = ["holdfast-job-a.timer", "holdfast-job-b.timer", "pgbackrest-backup@full.timer"]
    assert sut.timers_of(["a", "b"], tmp_path) == found


def test_a_job_counts_from_its_last_success_or_from_when_its_timer_started():
    assert described(record(10, 500))["success_age"] == 500
    assert described(record(10, 5000))["success_age"] == 1000
    assert described(record(10, None))["success_age"] == 1000
    assert described(since=None)["success_age"] is None


def test_what_is_told_of_a_job():
    told = described(record(10, 500), service="activating")
    assert (told["name"], told["age"], told["allowed"], told["running"]) == ("etc", 10, 3665, True)
    never = described(since=None)
    assert (never["scheduled"], never["age"], never["record"]) == (False, None, None)
