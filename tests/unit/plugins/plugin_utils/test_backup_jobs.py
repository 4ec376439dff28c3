# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from datetime import date

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.backup_jobs import (
    KEYS,
    Settings,
    calendars,
    job_problems,
    plan,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import OPAQUE

COMMON = {
    "random_delay": "5min",
    "catch_up": True,
    "timeout": "6h",
    "retries": 2,
    "retry_delay": "5min",
    "nice": 10,
    "io_class": "idle",
    "cpu_weight": 20,
    "memory_max": "",
    "lock": "",
    "lock_timeout": 3600,
}
ETCD = {"endpoint": "https://127.0.0.1:2379", "username": "root", "password": "the password", "group": "ssl-cert"}
SETTINGS = Settings("host1", COMMON, ETCD)
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


def file_of(planned, suffix):
    return next(file for file in planned["files"] if file["path"].endswith(suffix))


def document(job):
    return json.loads(file_of(plan([job], SETTINGS), f"jobs/{job['name']}.json")["content"])


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
    with pytest.raises(ValueError, match="Fix: "):
        plan([job], SETTINGS)


def test_a_name_is_given_once():
    assert problems(COMMAND, {**FILES, "name": "dump"}) == ["backup_jobs[dump].name = 'dump'"]


def test_what_is_vaulted_is_passed_over_until_it_can_be_read():
    assert problems({**FILES, "password": OPAQUE, "schedule": OPAQUE}, OPAQUE) == []
    assert problems({**FILES, "kind": OPAQUE}) == []


def test_secrets_are_in_the_job_s_own_file_only():
    planned = plan([{**FILES, "environment": {"KEY": "another"}}, SNAPSHOT], SETTINGS)
    shown = [file for file in planned["files"] if not file.get("secret")]
    assert not [secret for secret in ("secret", "another", "the password") if f"'{secret}'" in str(shown)]
    assert {file["mode"] for file in planned["files"] if file.get("secret")} == {"0400"}


def test_the_options_of_a_job_win():
    planned = plan([{**COMMAND, "timeout": "1min", "lock": "disk", "user": "backup"}], SETTINGS)
    job = file_of(planned, "dump.service")["template_vars"]["job"]
    assert (job["timeout"], job["nice"], job["user"]) == ("1min", 10, "backup")
    assert job["lock_file"] == "/run/holdfast-jobs/disk.lock"
    assert file_of(planned, "jobs/dump.json")["owner"] == "backup"


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        (["root"], "root"),
        (["root", "alice"], "alice"),
        (["alice", "alice"], "alice"),
        (["alice", "bob", "root"], ""),
    ],
)
def test_a_lock_is_for_root_and_one_user_of_its_jobs(users, expected):
    jobs = [{**COMMAND, "name": f"j{n}", "lock": "disk", "user": user} for n, user in enumerate(users)]
    planned = plan([*jobs, {**COMMAND, "name": "other", "user": "carol", "lock": "another"}], SETTINGS)
    told = [file["template_vars"]["job"] for file in planned["files"] if file["path"].endswith(".service")]
    assert [job["lock_user"] for job in told] == [expected] * len(users) + ["carol"]


def test_what_the_programs_are_told():
    assert document(COMMAND)["settings"] == {"commands": [["/bin/dump", "-a", "1"]], "environment": {}}
    assert document(SNAPSHOT)["settings"]["password"] == "the password"
    assert "group" not in document(SNAPSHOT)["settings"]
    assert document({**FILES, "keep": {"daily": 7, "weekly": None}})["settings"]["keep"] == {"daily": 7}
    assert document(FILES)["settings"]["host"] == "host1"


def test_a_timer_is_judged_by_systemd_before_anything_is_replaced():
    assert file_of(plan([FILES], SETTINGS), ".timer")["validate"] == "systemd-analyze calendar '*-*-* 02:15:00'"
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


@pytest.mark.parametrize(
    ("job", "writable", "directories"),
    [
        (COMMAND, None, []),
        ({**COMMAND, "writable_paths": ["/srv/x"]}, ["/srv/x"], []),
        (FILES, ["/srv/restic"], ["/srv/restic"]),
        ({**FILES, "repository": "s3:https://storage.example.org/x"}, [], []),
        (SNAPSHOT, ["/var/backups/etcd"], ["/var/backups/etcd"]),
    ],
)
def test_what_a_job_may_write_to(job, writable, directories):
    planned = plan([job], SETTINGS)
    assert file_of(planned, ".service")["template_vars"]["job"]["writable"] == writable
    assert [item["path"] for item in planned["directories"]] == directories


def test_packages_are_those_of_the_kinds():
    assert plan([COMMAND, SNAPSHOT], SETTINGS)["packages"] == []
    assert plan([FILES], SETTINGS)["packages"] == ["restic"]
