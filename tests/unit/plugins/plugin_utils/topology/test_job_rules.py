# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import date

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import OPAQUE
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.job_rules import KEYS, calendars, job_problems

COMMAND = {"name": "dump", "kind": "command", "schedule": "daily", "commands": [["/bin/dump", "-a", 1]]}
FILES = {
    "name": "etc",
    "kind": "files",
    "schedule": "*-*-* 02:15:00",
    "paths": ["/etc"],
    "repository": "/srv/restic",
    "password": "secret",
}
SNAPSHOT = {"name": "snap", "kind": "etcd_snapshot", "schedule": "*:0/15"}


def problems(*jobs):
    return [problem.variable for problem in job_problems(list(jobs))]


@pytest.mark.parametrize("job", [COMMAND, FILES, SNAPSHOT])
def test_a_good_job_of_each_kind_is_taken(job):
    assert problems(job) == []
    # The role's spec leaves None for what a job does not say.
    assert problems({**dict.fromkeys(KEYS), **job}) == []


@pytest.mark.parametrize(
    ("job", "named"),
    [
        ({**COMMAND, "name": "Dump"}, "backup_jobs[Dump].name = 'Dump'"),
        ({**COMMAND, "name": "restore-verify"}, "backup_jobs[restore-verify].name = 'restore-verify'"),
        ({**COMMAND, "name": "x" * 41}, f"backup_jobs[{'x' * 41}].name = '{'x' * 41}'"),
        ({**COMMAND, "kind": "tape"}, "backup_jobs[dump].kind = 'tape'"),
        ({**COMMAND, "paths": ["/etc"]}, "backup_jobs[dump].paths"),
        ({**COMMAND, "retention": 3}, "backup_jobs[dump].retention"),
        ({**COMMAND, "commands": []}, "backup_jobs[dump].commands"),
        ({**COMMAND, "commands": [[]]}, "backup_jobs[dump].commands"),
        ({**COMMAND, "commands": ["/bin/dump"]}, "backup_jobs[dump].commands"),
        ({**COMMAND, "schedule": "%n"}, "backup_jobs[dump].schedule = '%n'"),
        ({**COMMAND, "schedule": "daily\nUser=root"}, "backup_jobs[dump].schedule = 'daily\\nUser=root'"),
        ({**COMMAND, "timeout": "soon"}, "backup_jobs[dump].timeout = 'soon'"),
        ({**COMMAND, "lock": "../x"}, "backup_jobs[dump].lock = '../x'"),
        ({**COMMAND, "user": "a b"}, "backup_jobs[dump].user = 'a b'"),
        ({**COMMAND, "memory_max": "much"}, "backup_jobs[dump].memory_max = 'much'"),
        ({**COMMAND, "retries": -1}, "backup_jobs[dump].retries = -1"),
        ({**COMMAND, "writable_paths": ["/a/../b"]}, "backup_jobs[dump].writable_paths = '/a/../b'"),
        ({key: value for key, value in FILES.items() if key != "password"}, "backup_jobs[etc].password"),
        ({**FILES, "paths": ["etc"]}, "backup_jobs[etc].paths = 'etc'"),
        ({**FILES, "steady": ["index"]}, "backup_jobs[etc].steady = 'index'"),
        ({**FILES, "repository": '/srv/"x'}, "backup_jobs[etc].repository"),
        ({**FILES, "keep": {"fortnightly": 1}}, "backup_jobs[etc].keep.fortnightly = 1"),
        ({**SNAPSHOT, "keep_newest": 0}, "backup_jobs[snap].keep_newest = 0"),
        ({**SNAPSHOT, "directory": "/etc"}, "backup_jobs[snap].directory = '/etc'"),
        ({**SNAPSHOT, "directory": "/var/backups/"}, "backup_jobs[snap].directory = '/var/backups/'"),
        ({**FILES, "repository": "/srv"}, "backup_jobs[etc].repository"),
        ({**SNAPSHOT, "directory": "backups"}, "backup_jobs[snap].directory = 'backups'"),
    ],
)
def test_a_bad_job_is_refused_by_name(job, named):
    assert problems(job) == [named]


def test_a_name_is_given_once():
    assert problems(COMMAND, {**FILES, "name": "dump"}) == ["backup_jobs[dump].name = 'dump'"]


def test_what_is_vaulted_is_passed_over_until_it_can_be_read():
    assert problems({**FILES, "password": OPAQUE, "schedule": OPAQUE}, OPAQUE) == []
    assert problems({**FILES, "kind": OPAQUE}) == []


def test_the_schedules_of_jobs_are_those_that_can_be_read():
    assert calendars([FILES, "nonsense", {"name": "x"}]) == {"backup_jobs[etc].schedule": "*-*-* 02:15:00"}


def test_the_schedules_of_other_variables_are_judged_with_those_of_jobs():
    others = {
        "pgbackrest_schedules": {"full": date(2020, 1, 1)},
        "restore_verify_schedule": "now and then",
        "not_given": {},
    }
    assert calendars([], **others) == {
        "pgbackrest_schedules.full": "2020-01-01",
        "restore_verify_schedule": "now and then",
    }
