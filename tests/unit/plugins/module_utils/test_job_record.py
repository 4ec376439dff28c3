# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pwd
from dataclasses import asdict, replace

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import job_record as sut
from ansible_collections.holdfast.ha.plugins.module_utils.safe_path import UnsafePathError

from tests.unit.planting import make_host, needs_root

UNIT = "holdfast-job-etc.service"
FIRST = {"NRestarts": 0, "ExecMainStartTimestampMonotonic": 90_000_000, "InactiveExitTimestampMonotonic": 89_000_000}
CLOCKS = (1000.0, 100.0)


def recorded(result, former=None, properties=None, status="0"):
    environment = {"SERVICE_RESULT": result, "EXIT_STATUS": status}
    return sut.record_of(UNIT, environment, properties or FIRST, CLOCKS, former)


@pytest.mark.parametrize(
    ("unit", "job"),
    [
        ("holdfast-job-etc.service", "etc"),
        ("holdfast-job-etc.timer", "etc"),
        ("holdfast-restore-verify.service", "restore-verify"),
        ("pgbackrest-backup@full.service", "pgbackrest-backup@full"),
    ],
)
def test_names(unit, job):
    assert sut.job_of(unit) == job


def test_a_success_is_remembered_through_failures():
    success = recorded("success")
    assert (success.started, success.seconds, success.last_success) == (990.0, 10.0, 1000.0)
    failure = recorded("timeout", success, status="TERM")
    again = recorded("exit-code", failure, status="1")
    assert (again.consecutive_failures, again.last_success, again.exit_status) == (2, 1000.0, "1")
    assert recorded("success", again).consecutive_failures == 0


def test_a_job_that_never_succeeded():
    assert recorded("exit-code").last_success is None


def test_an_attempt_whose_main_process_never_ran_began_with_the_unit():
    earlier = {**FIRST, "ExecMainStartTimestampMonotonic": 5_000_000, "NRestarts": 2}
    record = recorded("exit-code", properties=earlier)
    assert (record.seconds, record.attempt) == (11.0, 3)


def test_properties():
    shown = "NRestarts=2\nExecMainStartTimestampMonotonic=5\nOther=x\n"
    assert sut.parse_properties(shown) == {**dict.fromkeys(sut.PROPERTIES, 0), "NRestarts": 2} | {
        "ExecMainStartTimestampMonotonic": 5
    }


@pytest.fixture
def places(tmp_path, monkeypatch):
    monkeypatch.setattr(sut, "RECORDS", tmp_path / "jobs")
    monkeypatch.setattr(sut, "RUN", tmp_path / "run")
    monkeypatch.setattr(sut, "properties_of", lambda unit: {**FIRST, "NRestarts": 1})
    return tmp_path


def test_the_end_is_written_for_people_and_for_prometheus(places, monkeypatch):
    monkeypatch.setenv("SERVICE_RESULT", "success")
    monkeypatch.setenv("EXIT_STATUS", "0")
    assert sut.main(["end", UNIT, f"--textfile={places}"]) == 0
    record = sut.read_record(places / "jobs" / "etc.json")
    assert record
    assert (record.job, record.result, record.attempt) == ("etc", "success", 2)
    assert 'holdfast_job_success{job_name="etc"} 1\n' in (places / "holdfast-job-etc.prom").read_text()
    assert [path.name for path in (places / "jobs").iterdir()] == ["etc.json"]


def test_a_run_that_did_nothing_is_not_recorded(places, monkeypatch):
    monkeypatch.setenv("SERVICE_RESULT", "exit-code")
    monkeypatch.setenv("EXIT_STATUS", "70")
    sut.main(["end", UNIT, "--skip=70"])
    assert not (places / "jobs").exists()


def test_the_begin_tells_the_attempt_and_makes_the_lock(places):
    sut.main(["begin", UNIT, f"--lock={places / 'run' / 'disk.lock'}"])
    assert (places / "run" / "etc.attempt").read_text() == "2\n"
    assert (places / "run" / "disk.lock").exists()


@needs_root
@pytest.mark.parametrize(("user", "mode"), [("root", 0o600), ("daemon", 0o600), ("", 0o644)])
def test_a_lock_is_held_by_root_or_its_user(places, user, mode):
    lock = places / "run" / "disk.lock"
    lock.parent.mkdir()
    lock.touch(mode=0o644)  # as earlier versions made it
    sut.main(["begin", UNIT, f"--lock={lock}", f"--lock-user={user}"])
    assert (lock.stat().st_uid, lock.stat().st_mode & 0o777) == (pwd.getpwnam(user or "root").pw_uid, mode)
    lock.unlink()
    lock.symlink_to(places / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        sut.main(["begin", UNIT, f"--lock={lock}", f"--lock-user={user}"])
    assert not (places / "elsewhere").exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", "nonsense"])
def test_a_record_that_cannot_be_read_is_none(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    assert sut.read_record(path) is None


def test_metrics_of_a_job_that_never_succeeded():
    record = replace(recorded("success"), result="signal", last_success=None)
    assert 'holdfast_job_last_success_timestamp_seconds{job_name="etc"} 0\n' in sut.metrics(record)
    assert asdict(record)["unit"] == UNIT


@needs_root
@pytest.mark.parametrize("planted", [".holdfast-job-etc.prom.new", "holdfast-job-etc.prom"])
def test_root_follows_no_link_in_another_user_s_directory(monkeypatch, planted):
    for host in make_host():
        monkeypatch.setattr(sut, "RECORDS", host.root / "jobs")
        monkeypatch.setattr(sut, "properties_of", lambda unit: FIRST)
        host.plant(host.service / planted, host.secret)
        before = host.untouched()
        assert sut.main(["end", UNIT, f"--textfile={host.service}"]) == 0
        assert host.untouched() == before
        assert "holdfast_job_success" in (host.service / "holdfast-job-etc.prom").read_text()
        assert (host.service / "holdfast-job-etc.prom").stat().st_mode & 0o777 == 0o644


@needs_root
def test_the_directory_itself_is_no_link_of_another_user_s(monkeypatch):
    for host in make_host():
        monkeypatch.setattr(sut, "RECORDS", host.root / "jobs")
        monkeypatch.setattr(sut, "properties_of", lambda unit: FIRST)
        host.plant(host.service / "metrics", host.precious)
        before = host.untouched()
        with pytest.raises(UnsafePathError, match="is a symbolic link"):
            sut.main(["end", UNIT, f"--textfile={host.service}/metrics"])
        assert host.untouched() == before
        assert (host.root / "jobs" / "etc.json").exists()
