# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.backup_jobs import Settings, plan

from tests.unit.plugins.plugin_utils.topology.test_job_rules import COMMAND, FILES, SNAPSHOT

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


def file_of(planned, suffix):
    return next(file for file in planned["files"] if file["path"].endswith(suffix))


def document(job):
    return json.loads(file_of(plan([job], SETTINGS), f"jobs/{job['name']}.json")["content"])


def test_what_the_rules_refuse_is_not_planned():
    with pytest.raises(ValueError, match="Fix: "):
        plan([{**COMMAND, "retries": -1}], SETTINGS)


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
