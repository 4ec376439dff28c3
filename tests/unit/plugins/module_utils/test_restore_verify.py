# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole verifications in a directory, with programs that play PostgreSQL's and pgBackRest's part."""

from __future__ import annotations

import json
import os
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import restore_verify
from ansible_collections.holdfast.ha.plugins.module_utils.restore_verify import (
    Assertion,
    Job,
    Record,
    clean,
    error_of,
    legible,
    metrics,
    parse_job,
    prepare,
    read_record,
    verify,
)

CONFIG = """\
# Managed by Ansible
[global]
lock-path=/run/pgbackrest
log-path=/var/log/pgbackrest
tls-server-address=*
tls-server-auth=db1=lab
repo1-path=/var/lib/pgbackrest
repo1-cipher-pass=s3cr=t%x
process-max=2

[global:restore]
delta=y

[lab]
pg1-path=/var/lib/postgresql/17/lab
pg1-host=192.0.2.11
"""
PGBACKREST = """\
case "$*" in
  *info*) cat "$INFO" ;;
  *"$SICK"*) echo 'ERROR: [049]: no route' >&2; exit 49 ;;
  *restore*)
    [ ! -e "$BROKEN" ] || { echo 'ERROR: [029]: checksum mismatch' >&2; exit 29; }
    mkdir -p "$SCRATCH/pg_wal"; echo 17 >"$SCRATCH/PG_VERSION" ;;
esac
"""
POSTGRES = """\
case "$*" in *recovery_target_time=*) touch "$2/at_a_time" ;; esac
printf '1\\t0/%s\\tno target\\n' "$REACHED" >"$2/pg_wal/00000002.history"
echo 'LOG:  last completed transaction was at log time 2026-01-05 12:59:58+00'
printf '1\\n2\\n3\\n4\\n5\\n6\\n7\\nready\\n' >"$2/postmaster.pid"
while [ -e "$2/postmaster.pid" ]; do sleep 0.05; done
"""
PSQL = """\
case "$*" in
  *to_regclass*) echo "${HAS_CANARY:-t}" ;;
  *holdfast.canary*)
    [ ! -e "$SCRATCH/at_a_time" ] || CANARY_AGE="${OLDER_CANARY_AGE:-7200}"
    echo "$(($(date +%s) - ${CANARY_AGE:-30}))" ;;
  *) echo "${PSQL:-t}" ;;
esac
"""
PROGRAMS = {
    "postgres": POSTGRES,
    "pg_ctl": 'case "$1" in status) [ -e "$3/postmaster.pid" ] || exit 3 ;; stop) rm "$3/postmaster.pid" ;; esac',
    "pg_controldata": 'echo "Data page checksum version: ${CHECKSUMS:-1}"',
    "pg_amcheck": 'exit "${AMCHECK:-0}"',
    "pg_checksums": 'exit "${PG_CHECKSUMS:-0}"',
    "psql": PSQL,
}
ENVIRONMENT = "ansible_collections.holdfast.ha.plugins.module_utils.postgresql_instance._ENVIRONMENT"


def info(backups: int = 1, error: bool = False) -> str:
    backup = {
        "label": "F1",
        "type": "full",
        "timestamp": {"start": 1, "stop": 2},
        "info": {"size": 2_000_000, "repository": {"delta": 1}},
        "database": {"id": 1},
        "error": error,
    }
    stanza = {
        "name": "lab",
        "status": {"code": 0 if backups else 2, "message": "ok" if backups else "no valid backups"},
        "db": [{"id": 1, "system-id": 1, "version": "17"}],
        "backup": [backup] * backups,
        "archive": [{"id": "17-1", "min": "000000010000000000000001", "max": "000000010000000000000008"}],
    }
    return json.dumps([stanza])


def environment(**changes: str) -> dict[str, str]:
    """What PostgreSQL's programs are told."""
    return {"PATH": os.environ["PATH"], "SCRATCH": os.environ["SCRATCH"], "REACHED": "8000100", **changes}


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    programs = tmp_path / "postgresql" / "17" / "bin"
    programs.mkdir(parents=True)
    (tmp_path / "path").mkdir()
    for path, script in {
        tmp_path / "path" / "pgbackrest": PGBACKREST,
        **{programs / name: script for name, script in PROGRAMS.items()},
    }.items():
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    (tmp_path / "info").write_text(info())
    (tmp_path / "pgbackrest.conf").write_text(CONFIG)
    monkeypatch.setattr(restore_verify, "PG_ROOT", tmp_path / "postgresql")
    for name, value in {
        "PATH": f"{tmp_path / 'path'}{os.pathsep}{os.environ['PATH']}",
        "INFO": str(tmp_path / "info"),
        "SCRATCH": str(tmp_path / "scratch"),
        "BROKEN": str(tmp_path / "broken"),
        "SICK": "--repo=none",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        ENVIRONMENT, {"PATH": os.environ["PATH"], "SCRATCH": os.environ["SCRATCH"], "REACHED": "8000100"}
    )
    return Job(
        stanza="lab",
        pgbackrest_config=tmp_path / "pgbackrest.conf",
        scratch=tmp_path / "scratch",
        run=tmp_path / "run",
        record=tmp_path / "record.json",
        textfile=tmp_path / "holdfast.prom",
        user="postgres",
        superuser="postgres",
        amcheck=("--heapallindexed",),
        assertions=(Assertion("orders", "app", "select true"),),
        canary_limit=300,
        timeout=30,
    )


def test_a_good_backup_passes_and_leaves_nothing_behind(job: Job, tmp_path: Path) -> None:
    record = verify(job)
    assert record.error == ""
    assert record.result == "passed"
    assert (record.backup, record.backup_type, record.bytes) == ("F1", "full", 2_000_000)
    assert record.last_transaction == "2026-01-05 12:59:58+00"
    assert record.archive_end == "000000010000000000000008"
    assert (record.amcheck, record.checksums, record.assertions) == ("passed", "passed", 1)
    assert record.canary is not None
    assert record.canary_age in {29, 30, 31}
    assert set(record.seconds) == {"restore", "replay", "amcheck", "assertions", "checksums", "total"}
    assert record.last_passed == record.finished
    assert not job.scratch.exists()
    assert list(job.run.iterdir()) == []
    read = read_record(job.record)
    assert read is not None
    assert read["result"] == "passed"
    assert 'holdfast_restore_verify_success{stanza="lab"} 1\n' in (tmp_path / "holdfast.prom").read_text()


# environment of PostgreSQL's programs, what the error says
FAILURES = [
    pytest.param({"REACHED": "6000100"}, "WAL is missing or unreadable in between", id="a missing segment"),
    pytest.param({"AMCHECK": "2"}, "pg_amcheck failed with code 2", id="a damaged index"),
    pytest.param({"PG_CHECKSUMS": "1"}, "pg_checksums failed with code 1", id="a flipped byte"),
    pytest.param({"PSQL": "f"}, "assertion 'orders' is not true: it returned 'f'", id="an assertion"),
    pytest.param({"CANARY_AGE": "3650"}, "the archive ends too early: its canary is 36", id="a stale canary"),
    pytest.param({"HAS_CANARY": "f"}, "without a canary its backup is", id="an old backup without a canary"),
]


@pytest.mark.parametrize(("changes", "error"), FAILURES)
def test_what_is_wrong_is_told(job: Job, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], error: str) -> None:
    assert verify(job).result == "passed"
    monkeypatch.setattr(ENVIRONMENT, environment(**changes))
    record = verify(job)
    assert record.result == "failed"
    assert error in record.error
    assert record.last_passed is not None
    assert not job.scratch.exists()
    assert "holdfast_restore_verify_success{" in metrics(record)


def test_a_file_that_can_t_be_restored(job: Job, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    record = verify(job)
    assert (record.result, record.last_passed) == ("failed", None)
    assert record.error == "pgbackrest restore failed: [029]: checksum mismatch"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (info(0), "no backup in repository 1: no valid backups"),
        (info(error=True), "damaged pages"),
        ("[]", "missing stanza path"),
    ],
)
def test_no_backup_to_verify(job: Job, tmp_path: Path, answer: str, error: str) -> None:
    (tmp_path / "info").write_text(answer)
    assert error in verify(job).error


def test_a_server_of_the_backup_s_version_is_needed(job: Job, tmp_path: Path) -> None:
    (tmp_path / "postgresql" / "17" / "bin" / "postgres").unlink()
    assert "install PostgreSQL 17 on this host" in verify(job).error


def test_a_scratch_disk_without_room(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore_verify, "SPARE_BYTES", 2**60)
    assert "GiB free, the backup F1 needs" in verify(job).error


def two_backups(tmp_path: Path) -> None:
    """One two hours ago, and one an hour later."""
    [stanza] = json.loads(info())
    [backup] = stanza["backup"]
    ends = {"F1": int(time.time()) - 7200, "F2": int(time.time()) - 3600}
    segments = {"start": "000000010000000000000004", "stop": "000000010000000000000005"}
    stanza["backup"] = [
        {**backup, "label": label, "timestamp": {"start": end - 5, "stop": end}, "archive": segments}
        for label, end in ends.items()
    ]
    (tmp_path / "info").write_text(json.dumps([stanza]))


def test_an_older_backup_is_proven_to_recover_to_a_time(job: Job, tmp_path: Path) -> None:
    two_backups(tmp_path)
    record = verify(replace(job, older="time"))
    assert record.error == ""
    assert (record.backup, record.older, record.older_result) == ("F2", "F1", "passed")
    assert record.older_target.startswith("time 20")
    assert {"older_restore", "older_replay", "older_amcheck", "older_checksums"} < set(record.seconds)
    assert record.canary_age in {29, 30, 31}
    assert not job.scratch.exists()


def test_what_an_older_backup_must_not_have(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_backups(tmp_path)
    monkeypatch.setattr(ENVIRONMENT, environment(OLDER_CANARY_AGE="20"))
    record = verify(replace(job, older="time"))
    assert (record.result, record.older_result, record.canary_age is None) == ("failed", "failed", False)
    assert record.error.startswith(f"backup F1 recovered to {record.older_target}: it has a canary of ")


def test_whose_turn_it_was_is_remembered(job: Job, tmp_path: Path) -> None:
    two_backups(tmp_path)
    verify(replace(job, older="immediate"))
    record = verify(job)
    assert (record.older, record.older_target, record.older_result) == ("F1", "immediate", "not run")


def test_repositories_take_turns_and_one_that_failed_stays(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_backups(tmp_path)
    [stanza] = json.loads((tmp_path / "info").read_text())
    stanza["repo"] = [{"key": key, "cipher": "none", "status": {"code": 0, "message": "ok"}} for key in (1, 3)]
    for part in ("db", "backup", "archive"):
        stanza[part] = [
            {**item, "repo-key": key, "database": {"id": 1, "repo-key": key}} for key in (1, 3) for item in stanza[part]
        ]
    (tmp_path / "info").write_text(json.dumps([stanza]))
    job = replace(job, older="immediate")
    assert (verify(job).repository, verify(job).repository) == (1, 3)
    monkeypatch.setenv("SICK", "--repo=1 ")
    failed = verify(job)
    assert (failed.repository, failed.result) == (1, "failed")
    assert "no route" in failed.error
    assert verify(job).repository == 1
    monkeypatch.setenv("SICK", "--repo=none")
    record = verify(job)
    assert (record.repository, record.result) == (1, "passed")
    assert record.turns == {"1": "F1", "3": "F1"}
    assert verify(job).repository == 3


def test_a_cluster_without_checksums(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ENVIRONMENT, environment(CHECKSUMS="0"))
    record = verify(replace(job, amcheck=None))
    assert (record.result, record.checksums, record.amcheck) == ("passed", "off in this cluster", "not run")


def test_a_young_backup_needs_no_canary_yet(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "info").write_text(info().replace('"stop": 2', f'"stop": {int(time.time()) - 60}'))
    monkeypatch.setattr(ENVIRONMENT, environment(HAS_CANARY="f"))
    record = verify(job)
    assert (record.result, record.canary) == ("passed", None)
    assert record.canary_age in {60, 61, 62}


def test_the_canary_is_left_unread_without_a_limit(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ENVIRONMENT, environment(CANARY_AGE="3600"))
    record = verify(replace(job, canary_limit=0))
    assert (record.result, record.canary, record.canary_age) == ("passed", None, None)


def test_the_copy_of_the_passphrase_is_the_users_alone(job: Job) -> None:
    prepare(job)
    assert stat.S_IMODE((job.run / "pgbackrest.conf").stat().st_mode) == 0o600
    clean(job)
    assert list(job.run.iterdir()) == []


def test_a_worker_that_still_writes_is_waited_for(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([OSError(39, "Directory not empty"), OSError(39, "Directory not empty")])
    rmtree = restore_verify.shutil.rmtree

    def stubborn(path: Path) -> None:
        if path == job.scratch and (failure := next(failures, None)):
            raise failure
        rmtree(path)

    monkeypatch.setattr(restore_verify.shutil, "rmtree", stubborn)
    monkeypatch.setattr(restore_verify, "POLL_SECONDS", 0.0)
    assert verify(job).result == "passed"
    assert not job.scratch.exists()


def test_what_an_interrupted_one_left_is_removed(job: Job) -> None:
    job.scratch.mkdir()
    (job.scratch / "PG_VERSION").touch()
    assert verify(job).result == "passed"


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"unheard": 1}'])
def test_an_unreadable_record_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "record.json").write_text(text)
    assert read_record(tmp_path / "record.json") is None


def test_a_job_is_parsed() -> None:
    document: dict[str, Any] = {
        "stanza": "lab",
        "pgbackrest_config": "/etc/pgbackrest.conf",
        "scratch": "/s",
        "run": "/r",
        "record": "/x",
        "textfile": "",
        "user": "postgres",
        "superuser": "postgres",
        "amcheck": None,
        "assertions": [{"name": "a", "sql": "select true"}],
        "canary_limit": "90",
        "timeout": "7",
        "older": "immediate",
    }
    job = parse_job(document)
    assert job.textfile is None
    assert job.amcheck is None
    assert job.assertions == (Assertion("a", "postgres", "select true"),)
    assert (job.canary_limit, job.timeout, job.older) == (90, 7, "immediate")


def test_an_error_is_taken_from_the_output() -> None:
    assert (
        error_of("P00 INFO: begin\nP00  ERROR: [026]: actual checksum\n   on 2 retries\n") == "[026]: actual checksum"
    )
    assert error_of("killed") == "killed"
    assert error_of("") == "it said nothing"


@pytest.mark.parametrize("error", ["[029]: \ufffd\x07 at line 1", "[095]: CryptoError: cipher header invalid"])
def test_a_wrong_passphrase_is_suspected(error: str) -> None:
    assert "\x07" not in legible(error)
    assert legible(error).endswith(" -- is the passphrase in pgBackRest's configuration that of the repository?")


def test_other_errors_stay_as_they_are() -> None:
    assert legible("disk of /srv is full\nHINT: make room") == "disk of /srv is full\nHINT: make room"


def test_metrics() -> None:
    text = metrics(Record("lab", 1, result="passed", finished=9, last_passed=9, bytes=5, seconds={"total": 2.5}))
    assert "canary_age" not in text
    assert 'canary_age_seconds{stanza="lab"} 42\n' in metrics(Record("lab", 1, canary_age=42))
    assert 'holdfast_restore_verify_duration_seconds{stanza="lab"} 2.5\n' in text
    assert 'holdfast_restore_verify_last_success_timestamp_seconds{stanza="lab"} 9\n' in text
