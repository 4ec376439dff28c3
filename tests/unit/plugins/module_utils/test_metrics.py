# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import metrics as sut
from ansible_collections.holdfast.ha.plugins.module_utils import rolling_lock
from ansible_collections.holdfast.ha.plugins.module_utils.job_record import Record
from ansible_collections.holdfast.ha.plugins.module_utils.metrics_settings import Settings, parse
from ansible_collections.holdfast.ha.plugins.module_utils.metrics_text import Sample, Taken, render

ME = Path("/").owner() if os.geteuid() == 0 else Path.home().owner()
SETTINGS = Settings("", 15, "db1", ("etcd.service",), (), (), (), "", "", ME, (), "", {"ttl": 20.0})
ADDRESSES = json.dumps([{"ifname": "eth0", "addr_info": [{"local": "198.51.100.100"}]}])
TIMER = {
    "ActiveState": "active",
    "ActiveEnterTimestamp": "Mon 2026-01-05 10:00:00.000000 UTC",
    "RandomizedDelayUSec": "1min",
    "TimersCalendar": "{ OnCalendar=daily ; next_elapse=x }",
}
STARTED = 1767607200.0


def lines(samples):
    return [line for line in render(samples).splitlines() if not line.startswith("#")]


def test_the_settings_need_every_key():
    document = {**asdict(SETTINGS), "units": ["etcd.service"]}
    assert parse(document) == SETTINGS
    del document["jobs"]
    with pytest.raises(KeyError, match="jobs"):
        parse(document)


@pytest.mark.parametrize(
    ("state", "value"),
    [("active", 1), ("reloading", 1), ("activating", 0), ("failed", 0), ("inactive", 0), (None, 0)],
)
def test_a_unit(state, value):
    shown = {"etcd.service": {"ActiveState": state} if state else {}}
    assert lines(sut.active(["etcd.service"], shown)) == [f'holdfast_unit_active{{unit="etcd.service"}} {value}']


def test_addresses():
    assert lines(sut.held(["198.51.100.100/24", "198.51.100.101/24"], ADDRESSES)) == [
        'holdfast_vrrp_address{address="198.51.100.100"} 1',
        'holdfast_vrrp_address{address="198.51.100.101"} 0',
    ]


@pytest.fixture
def server(tmp_path: Path) -> Path:
    (tmp_path / "pg_wal/archive_status").mkdir(parents=True)
    return tmp_path


def queue(server: Path) -> list[str]:
    settings = Settings(**{**asdict(SETTINGS), "data_directory": str(server)})
    return lines(sut.queue(settings, 1000.0))


def test_what_waits_to_be_archived(server: Path):
    assert queue(server) == ["holdfast_archive_queue_files 0", "holdfast_archive_queue_age_seconds 0"]
    for name, age in (("1.ready", 30), ("2.ready", 90), ("0.done", 500)):
        path = server / "pg_wal/archive_status" / name
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    assert queue(server) == ["holdfast_archive_queue_files 2", "holdfast_archive_queue_age_seconds 90"]


def test_a_host_without_a_data_directory_has_no_queue(tmp_path: Path):
    assert queue(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_a_link_leads_to_the_users_own_directories_only(server: Path, tmp_path: Path):
    marks, elsewhere = server / "pg_wal/archive_status", tmp_path / "elsewhere"
    marks.rename(elsewhere)
    marks.symlink_to(elsewhere)
    assert queue(server)[0] == "holdfast_archive_queue_files 0"
    os.chown(elsewhere, 65534, 65534)
    with pytest.raises(OSError, match="does not belong"):
        queue(server)


def test_timers_that_are_there_and_those_that_ought_to_be(tmp_path: Path):
    for name in ("holdfast-job-a.timer", "holdfast-job-a.service", "pgbackrest-backup@full.timer", "apt.timer"):
        (tmp_path / name).touch()
    expected = ["holdfast-job-a.timer", "holdfast-job-b.timer", "pgbackrest-backup@full.timer"]
    assert sut.timers(["a", "b"], tmp_path) == expected


@pytest.mark.parametrize(
    ("success", "result", "expected"),
    [
        (None, None, ["0", "0", f"{STARTED + 86460:.15g}"]),
        (STARTED - 50, "exit-code", [f"{STARTED - 50:.15g}", "1", f"{STARTED + 86465:.15g}"]),
        (STARTED + 50, "success", [f"{STARTED + 50:.15g}", "0", f"{STARTED + 86515:.15g}"]),
    ],
)
def test_a_job(tmp_path: Path, monkeypatch, success, result, expected):
    monkeypatch.setattr(sut, "gap", lambda timer: 86400.0)
    if result:
        record = Record("etc", "holdfast-job-etc.service", 0, 0, 5.0, result, "1", 1, 1, success)
        (tmp_path / "etc.json").write_text(json.dumps(asdict(record)))
    found = lines(sut.jobs(["holdfast-job-etc.timer"], {"holdfast-job-etc.timer": TIMER}, tmp_path))
    assert [line.split()[1] for line in found] == expected
    assert all('{job_name="etc"}' in line for line in found)


def test_a_job_whose_timer_does_not_run_and_never_ran_is_not_due(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sut, "gap", lambda timer: 86400.0)
    found = lines(sut.jobs(["holdfast-job-etc.timer"], {"holdfast-job-etc.timer": {}}, tmp_path))
    assert [line.split("{")[0] for line in found] == ["holdfast_job_success_timestamp_seconds", "holdfast_job_failed"]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (None, ["0", "0"]),
        ({"result": "failed", "last_passed": None}, ["0", "1"]),
        ({"result": "passed", "last_passed": 1767582000, "canary_age": 31}, ["1767582000", "0", "31"]),
        ({"result": "failed", "last_passed": 1767582000, "canary_age": 400}, ["1767582000", "1", "400"]),
    ],
)
def test_a_verification(tmp_path: Path, record, expected):
    path = tmp_path / "record.json"
    if record:
        path.write_text(json.dumps({"stanza": "lab", "started": 1, **record}))
    assert [line.split()[1] for line in lines(sut.verification(path))] == expected


@pytest.mark.parametrize(
    ("left", "boot", "value"),
    [(60, "this", 1), (-1, "this", 0), (60, "an earlier one", 0), (None, "", 0)],
)
def test_a_rolling_verb_counts_until_its_lock_ends(tmp_path: Path, monkeypatch, left, boot, value):
    path = tmp_path / "rolling.json"
    monkeypatch.setattr(rolling_lock, "PATH", str(path))
    monkeypatch.setattr(rolling_lock, "host_now", lambda: rolling_lock.Now(1000.0, "this"))
    monkeypatch.setattr(sut.maintenance, "read", lambda: [sut.maintenance.Mark("db2")])
    if left is not None:
        path.write_text(json.dumps(asdict(rolling_lock.Lock("1", "update.yml", "me", 0.0, 1000.0 + left, boot))))
    assert lines(sut.marks("db1")) == ["holdfast_maintenance 0", f"holdfast_rolling {value}"]
    assert lines(sut.marks("db2"))[0] == "holdfast_maintenance 1"


def test_when_the_host_was_converged(tmp_path: Path):
    path = tmp_path / "converged"
    assert lines(sut.converged(str(path))) == ["holdfast_converged_timestamp_seconds 0"]
    path.touch()
    os.utime(path, (1000, 1000))
    assert lines(sut.converged(str(path))) == ["holdfast_converged_timestamp_seconds 1000"]


def survey(answer: str) -> sut.Survey:
    return sut.Survey("host", ["printf", "%s", answer], longest=600.0)


def settle(one: sut.Survey, key: object, now: float) -> None:
    deadline = time.monotonic() + 10
    while one._process is not None and time.monotonic() < deadline:
        one.step(key, now)


def test_a_survey_runs_when_something_changed_and_rarely_otherwise():
    one = survey('{"samples": [["rolling", 1, []]], "failed": {}}')
    began = []
    for key, now in [("a", 5.0), ("a", 300.0), ("b", 310.0), ("c", 320.0), ("c", 371.0), ("c", 970.0), ("c", 972.0)]:
        one.step(key, now)
        began.append(one._process is not None)
        settle(one, key, now)
    assert began == [True, False, True, False, True, False, True]
    assert one.taken == Taken((Sample("rolling", 1.0),), {})


@pytest.mark.parametrize("answer", ["", "no JSON", "{}"])
def test_a_survey_that_fails_says_so(answer):
    one = survey(answer)
    one.step("a", 5.0)
    settle(one, "a", 5.0)
    assert list(one.taken.failed) == ["host"]


def test_a_survey_that_hangs_is_ended():
    one = sut.Survey("host", ["sleep", "600"], longest=600.0)
    one.step("a", 5.0)
    process = one._process
    one.step("a", 500.0)
    assert process is not None
    assert process.poll() is None
    one.step("a", 605.0)
    assert process.returncode == -9
    assert list(one.taken.failed) == ["host"]
    assert one._process is not None
    one._process.kill()
    one._process.wait()


def test_a_round_writes_what_could_be_read(tmp_path: Path, monkeypatch):
    def refuse(units):
        raise OSError("no bus")

    said: list[str] = []
    monkeypatch.setattr(sut, "show", refuse)
    monkeypatch.setattr(sut, "UNITS", tmp_path)
    monkeypatch.setattr(sut, "marks", lambda host: [Sample("maintenance", 0)])
    settings = Settings(**{**asdict(SETTINGS), "directory": str(tmp_path)})
    service = sut.Service(settings, {"host": survey('{"samples": [], "failed": {}}')}, said.append)
    service.round()
    service.round()
    written = (tmp_path / sut.FILE).read_text()
    assert 'holdfast_metrics_failed{reading="systemd"} 1' in written
    assert "holdfast_maintenance 0" in written
    assert 'holdfast_profile_seconds{name="ttl"} 20' in written
    assert said.count("systemd: no bus") == 1
    monkeypatch.setattr(sut, "show", lambda units: {"etcd.service": {"ActiveState": "active"}})
    service.round()
    assert "systemd: reads again" in said
    assert "holdfast_metrics_failed" not in (tmp_path / sut.FILE).read_text()
