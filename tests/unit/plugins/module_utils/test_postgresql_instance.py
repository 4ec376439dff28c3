# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_target import Target
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_instance import (
    Instance,
    InstanceError,
    archive_settings,
    base_settings,
    explain_log,
    last_transaction,
    missing_wal,
    parse_control,
    parse_history,
    parse_status,
    private_files,
    recovery_settings,
    shell_words,
)

CONTROL = """\
pg_control version number:            1700
Database cluster state:               in production
max_connections setting:              300
max_locks_per_xact setting:           64
wal_level setting:                    logical
"""
LOG = """\
2026-01-05 13:00:01.0 GMT [9] LOG:  recovery stopping before commit of transaction 7, time 2026-01-05 12:59:59+00
2026-01-05 13:00:01.0 GMT [9] LOG:  last completed transaction was at log time 2026-01-05 12:59:58.5+00
2026-01-05 13:00:02.0 GMT [9] FATAL:  recovery ended before configured recovery target was reached
2026-01-05 13:00:02.0 GMT [7] LOG:  startup process (PID 9) exited with exit code 1
"""


def test_a_private_server_listens_nowhere_and_has_what_the_primary_had() -> None:
    settings = base_settings(parse_control(CONTROL), "/run/x")
    assert settings["listen_addresses"] == ""
    assert settings["unix_socket_directories"] == "/run/x"
    assert settings["hba_file"] == "/run/x/pg_hba.conf"
    assert settings["max_connections"] == "300"
    assert settings["max_locks_per_transaction"] == "64"
    assert settings["wal_level"] == "logical"
    assert "max_wal_senders" not in settings


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Target("latest"), {}),
        (Target("immediate"), {"recovery_target": "immediate", "recovery_target_action": "promote"}),
        (
            Target("xid", "7", inclusive=False),
            {
                "recovery_target_xid": "7",
                "recovery_target_inclusive": "off",
                "recovery_target_action": "promote",
            },
        ),
        (
            Target("name", "before"),
            {
                "recovery_target_name": "before",
                "recovery_target_inclusive": "on",
                "recovery_target_action": "promote",
            },
        ),
    ],
)
def test_recovery_settings(target: Target, expected: dict[str, str]) -> None:
    common = {"restore_command": "get", "recovery_target_timeline": "latest"}
    assert recovery_settings(target, "promote", "get") == {**common, **expected}


def test_a_private_server_archives_nothing() -> None:
    assert archive_settings(later=False) == {"archive_mode": "off", "archive_command": ""}
    assert archive_settings(later=True) == {"archive_mode": "on", "archive_command": ""}


def test_nobody_gets_in_unless_named() -> None:
    assert private_files()["pg_hba.conf"] == "local all all reject\n"
    files = private_files(["postgres"], "admin")
    assert files["pg_hba.conf"] == "local all admin peer map=private\n"
    assert files["pg_ident.conf"] == "private postgres admin\n"


def test_a_log_is_explained() -> None:
    assert "before commit of transaction 7" in explain_log(LOG)
    assert explain_log(LOG).endswith("recovery ended before configured recovery target was reached")
    assert explain_log("") == "it said nothing"
    assert explain_log("a\nb") == "a | b"
    assert last_transaction(LOG) == "2026-01-05 12:59:58.5+00"
    assert last_transaction("") is None


def test_history_and_status_files() -> None:
    assert parse_history("1\t0/3000\tno recovery target specified\n2\t0/5000\tbefore transaction 7\n") == (2, "0/5000")
    assert parse_history("") is None
    assert parse_status("7\n/data\n1\n5432\n/run\n\n  1  2\nready   \n") == "ready"
    assert parse_status("7\n/data\n") is None


@pytest.mark.parametrize(
    ("reached", "segment", "missing"),
    [
        ("1\t0/8000100\tr", "000000010000000000000008", None),
        ("1\t0/9000100\tr", "000000010000000000000008", None),
        ("1\t0/7FFFF00\tr", "000000010000000000000008", "in the WAL segment 000000010000000000000007, but"),
        ("1\t1/2FFFF00\tr", "000000010000000100000005", "in the WAL segment 000000010000000100000002, but"),
        ("1\t0/7FFFF00\tr", "000000020000000000000008", None),
        ("1\t0/7FFFF00\tr", None, None),
        ("", "000000010000000000000008", None),
    ],
)
def test_missing_wal(reached: str, segment: str | None, missing: str | None) -> None:
    problem = missing_wal(reached, segment)
    assert problem is None if missing is None else missing in str(problem)


def test_words_of_a_command_are_quoted() -> None:
    assert shell_words("pgbackrest", "--pg1-path=/a b%c") == "pgbackrest '--pg1-path=/a b%%c'"


def fake(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    for name in ("data", "run", "bin"):
        (tmp_path / name).mkdir()
    fake(tmp_path / "bin", "pg_controldata", "echo 'Database cluster state: shut down in recovery'")
    fake(tmp_path / "bin", "pg_ctl", "exit 3")
    return Instance(tmp_path / "data", tmp_path / "run", tmp_path / "bin")


def test_a_target_is_reached_when_the_server_stopped_there(instance: Instance) -> None:
    fake(instance.bin, "postgres", "exit 0")
    instance.start({})
    instance.await_target(10)


@pytest.mark.parametrize("script", ["echo 'FATAL:  no such point'; exit 1", "echo 'FATAL:  no such point'; kill -9 $$"])
def test_a_target_is_not_reached(instance: Instance, script: str) -> None:
    fake(instance.bin, "postgres", script)
    instance.start({})
    with pytest.raises(InstanceError, match="did not reach its target: FATAL:  no such point"):
        instance.await_target(10)


def test_a_server_is_ready_when_its_pid_file_says_so(instance: Instance) -> None:
    pid_file = instance.data / "postmaster.pid"
    fake(instance.bin, "postgres", f"printf '1\\n2\\n3\\n4\\n5\\n6\\n7\\nready\\n' >{pid_file}; exec sleep 30")
    instance.start({"port": "1"})
    instance.await_ready(10)
    assert instance._process is not None
    instance._process.kill()
    pid_file.unlink()
    instance.stop()


def test_a_server_that_ends_or_hangs_before_it_is_ready(instance: Instance) -> None:
    fake(instance.bin, "postgres", "exit 2")
    instance.start({})
    with pytest.raises(InstanceError, match="ended with code 2: it said nothing"):
        instance.await_ready(10)
    fake(instance.bin, "postgres", "exec sleep 30")
    instance.start({})
    began = time.monotonic()
    with pytest.raises(InstanceError, match="did not recover within 0 s"):
        instance.await_ready(0.3)
    assert time.monotonic() - began < 10
    assert instance._process is not None
    instance._process.kill()
    instance.stop()
