# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import backup_job as sut
from ansible_collections.holdfast.ha.plugins.module_utils import backup_job_etcd as etcd
from ansible_collections.holdfast.ha.plugins.module_utils import backup_job_files as files
from ansible_collections.holdfast.ha.plugins.module_utils.backup_job_tools import JobError, Runner

SAVED = files.parse_settings(
    {
        "name": "etc",
        "host": "host1",
        "paths": ["/etc", "/srv/a b"],
        "excludes": ["*.tmp"],
        "one_file_system": True,
        "repository": "rest:https://user:hidden-word@storage.example.org/x",
        "password": "secret",
        "environment": {"KEY": "another"},
        "keep": {"daily": 7, "last": 0},
        "check_days": 2,
        "check_parts": 3,
        "proof_files": 2,
    }
)


def job(commands, retries=1, lock=""):
    return sut.Job("x", "command", retries, lock, 1, {"commands": commands, "environment": {"WORD": "told"}})


def test_commands_run_in_order_until_one_fails(tmp_path):
    write = [sys.executable, "-c", f"import os; open('{tmp_path}/one', 'w').write(os.environ['WORD'])"]
    assert sut.carry_out(job([write, ["true"]]), 1) == 0
    assert (tmp_path / "one").read_text() == "told"
    (tmp_path / "one").unlink()
    assert sut.carry_out(job([["false"], write]), 1) == sut.RETRY
    assert not (tmp_path / "one").exists()


@pytest.mark.parametrize(("attempt", "code"), [(1, sut.RETRY), (2, sut.LAST), (3, sut.USED_UP)])
def test_systemd_is_told_when_to_try_again(attempt, code, capsys):
    assert sut.carry_out(job([["false"]]), attempt) == code
    assert "failed: false exited with 1" in capsys.readouterr().err or code == sut.USED_UP


def test_a_program_that_is_not_there_is_a_failure():
    assert sut.carry_out(job([["/nonexistent/program"]]), 1) == sut.RETRY


def test_a_job_waits_for_its_lock_only_so_long(tmp_path, capsys):
    lock = tmp_path / "disk.lock"
    lock.touch()
    with sut.held(str(lock), 1):
        assert sut.carry_out(job([["true"]], lock=str(lock)), 1) == sut.RETRY
    assert "another job with the lock disk" in capsys.readouterr().err
    assert sut.carry_out(job([["true"]], lock=str(lock)), 1) == 0


def test_the_attempt_is_the_recorder_s(tmp_path):
    (tmp_path / "x.attempt").write_text("3\n")
    assert sut.attempt_of("x", tmp_path) == 3
    assert sut.attempt_of("y", tmp_path) == 1


def test_it_runs_as_a_program(tmp_path):
    document = tmp_path / "job.json"
    settings = {"commands": [["true"]], "environment": {}}
    described = {"name": "x", "kind": "command", "retries": 0, "lock": "", "lock_timeout": 1, "settings": settings}
    document.write_text(json.dumps(described))
    collections = next(path for path in Path(sut.__file__).parents if path.name == "ansible_collections").parent
    argv = [sys.executable, "-m", sut.__name__, str(document)]
    done = subprocess.run(argv, env={"PYTHONPATH": str(collections)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "x: 1 commands ran\n"), done.stderr


def test_secrets_are_not_told():
    runner = Runner({"PATH": "/usr/bin:/bin"}, files.secrets_of(SAVED))
    with pytest.raises(JobError) as told:
        runner.output(["sh", "-c", "echo secret another hidden-word >&2; exit 3"])
    assert str(told.value) == "sh -c exited with 3: *** *** ***"


def test_restic_is_told_what_to_save_and_what_to_keep():
    argv = files.backup_command(SAVED, ["/var/cache/own"])
    assert argv[-3:] == ["--", "/etc", "/srv/a b"]
    assert {"--exclude=*.tmp", "--exclude=/var/cache/own", "--one-file-system", "--host=host1"} <= set(argv)
    forget = files.forget_command(SAVED)
    assert forget
    assert [word for word in forget if word.startswith("--keep")] == ["--keep-daily=7"]
    assert "hidden-word" not in str(argv + forget)


def test_without_counts_nothing_expires():
    assert files.forget_command(files.parse_settings({**SAVED.__dict__, "keep": {}})) is None


@pytest.mark.parametrize(
    ("state", "part"),
    [
        (files.State(), 1),
        (files.State("", 10**6 - 2 * files.DAY, 1), 2),
        (files.State("", 10**6 - 2 * files.DAY, 3), 1),
        (files.State("", 10**6 - files.DAY, 1), None),
    ],
)
def test_parts_of_the_repository_are_read_in_turns(state, part):
    assert files.due_part(SAVED, state, 10**6) == part


def test_the_snapshot_is_read_from_the_summary():
    assert (
        files.snapshot_of(["noise", '{"message_type":"status"}', '{"message_type":"summary","snapshot_id":"ab"}'])
        == "ab"
    )
    with pytest.raises(JobError):
        files.snapshot_of(['{"message_type":"status"}'])


def test_only_regular_files_are_restored_for_proof():
    lines = [
        '{"struct_type":"snapshot","id":"ab"}',
        '{"struct_type":"node","type":"dir","path":"/etc"}',
        '{"struct_type":"node","type":"file","path":"/etc/a","size":3}',
        '{"struct_type":"node","type":"file","path":"/etc/empty"}',
    ]
    assert list(files.parse_files(lines)) == [files.Saved("/etc/a", 3), files.Saved("/etc/empty", 0)]


def test_a_sample_leaves_out_what_is_too_large_unless_all_is():
    small = [files.Saved(f"/{number}", 1) for number in range(5)]
    huge = [files.Saved("/huge", files.LARGEST + 2), files.Saved("/large", files.LARGEST + 1)]
    chosen = files.sample([*huge, *small], 3, random.Random(1))
    assert len(set(chosen)) == 3
    assert set(chosen) <= set(small)
    assert files.sample(huge, 3, random.Random(1)) == [huge[1]]
    assert files.sample([], 3, random.Random(1)) == []


def test_a_path_is_no_pattern():
    assert files.literal("/a[b]*?\\c") == "/a\\[b]\\*\\?\\\\c"


RESTIC = """#!/bin/sh
case $1 in
    backup) echo '{"message_type":"summary","snapshot_id":"ab"}'; %s ;;
    *) echo "$@" >>calls ;;
esac
"""


@pytest.mark.parametrize(("meanwhile", "kept"), [("true", True), ("echo new >index", False), ("rm index", False)])
def test_a_snapshot_counts_only_if_the_index_stayed(tmp_path, monkeypatch, meanwhile, kept):
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "restic"
    program.write_text(RESTIC % meanwhile)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    index = tmp_path / "index"
    index.write_text("old")
    settings = files.parse_settings({**SAVED.__dict__, "steady": [str(index)]})
    job = files.Files(settings, tmp_path / "state", tmp_path / "cache")
    if kept:
        assert job._snapshot() == "ab"
        assert not (tmp_path / "calls").exists()
    else:
        with pytest.raises(JobError, match="index"):
            job._snapshot()


def test_a_snapshot_that_is_not_used_is_removed(tmp_path, monkeypatch):
    test_a_snapshot_counts_only_if_the_index_stayed(tmp_path, monkeypatch, "echo new >index", False)
    assert (tmp_path / "calls").read_text() == "forget --quiet ab\n"


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/etc/hostname"), Path.mkdir])
def test_an_index_is_a_file(tmp_path, make):
    index = tmp_path / "index"
    make(index)
    settings = files.parse_settings({**SAVED.__dict__, "steady": [str(index)]})
    with pytest.raises(JobError, match="index can't be read"):
        files.Files(settings, tmp_path / "state", tmp_path / "cache")._snapshot()


@pytest.fixture
def restored(tmp_path):
    there = tmp_path / "there"
    there.write_text("contents")
    target = tmp_path / "target"
    copy = Path(f"{target}{there}")
    copy.parent.mkdir(parents=True)
    copy.write_text("contents")
    return target, there, copy


def test_a_restored_file_is_compared_with_the_host_s(restored):
    target, there, copy = restored
    saved, later = files.Saved(str(there), 8), there.stat().st_ctime + 10
    assert files.prove_file(target, saved, later)
    copy.write_text("CONTENTS")
    with pytest.raises(JobError, match="other contents"):
        files.prove_file(target, saved, later)
    assert not files.prove_file(target, saved, later - 20)  # the host's has changed since
    there.unlink()
    assert not files.prove_file(target, saved, later)
    copy.write_text("short")
    with pytest.raises(JobError, match="was not restored"):
        files.prove_file(target, saved, later)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_a_path_that_is_no_file_any_more_is_not_compared(restored, make):
    target, there, _copy = restored
    there.unlink()
    make(there)
    assert not files.prove_file(target, files.Saved(str(there), 8), there.lstat().st_ctime + 10)


def test_what_a_job_remembers_is_written_through_no_link(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    own = tmp_path / "own"
    own.mkdir(mode=0o700)
    for name in ("state.json", "state.new", ".state.json.new"):
        (own / name).symlink_to(victim)
    job = files.Files(SAVED, own, tmp_path / "cache")
    job._remember(files.State("known", 1.0, 2))
    assert victim.read_text() == "precious"
    assert not (own / "state.json").is_symlink()
    assert (own / "state.json").stat().st_mode & 0o777 == 0o600
    assert job._remembered() == files.State("known", 1.0, 2)
    (own / "state.json").unlink()
    os.mkfifo(own / "state.json")
    assert job._remembered() == files.State()


def test_a_path_that_is_not_there_is_a_failure(tmp_path):
    settings = files.parse_settings({**SAVED.__dict__, "paths": ["/etc", "/nonexistent/path"]})
    with pytest.raises(JobError, match="/nonexistent/path does not exist"):
        files.Files(settings, tmp_path, tmp_path).save()


@pytest.mark.parametrize(
    ("restored", "problem"),
    [
        (etcd.Contents(3, 1, 5), None),
        (etcd.Contents(3, 2, 6), None),  # another compaction: another hash
        (etcd.Contents(2, 1, 5), "it has 2 keys, the member had 3"),
        (etcd.Contents(3, 2, 5), "the hash of its keys and values is not the member's"),
    ],
)
def test_a_snapshot_is_compared_with_the_member(restored, problem):
    assert etcd.difference(etcd.Contents(3, 1, 5), restored) == problem


def test_the_newest_snapshots_stay():
    names = ["etcd-20260103T000000Z.db", "etcd-20260101T000000Z.db", "etcd-20260102T000000Z.db"]
    assert etcd.surplus(names, 2) == ["etcd-20260101T000000Z.db"]
    assert etcd.surplus(names, 3) == []


@pytest.mark.parametrize("rest", [1970, 1985, 1999])
def test_a_secret_across_the_cut_of_a_long_output_is_hidden(rest: int) -> None:
    secret = "S3CRETsecretsecret0123456789"
    runner = Runner({"PATH": "/usr/bin:/bin", "SECRET": secret}, (secret,))
    with pytest.raises(JobError) as raised:
        runner.output(["sh", "-c", f'printf "%s%0{rest}d" "$SECRET" 0 >&2; exit 1'])
    assert "23456789" not in str(raised.value)
