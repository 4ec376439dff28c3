# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Back to just before an accident, by each kind of target, after interruptions too. Needs the lab, half an hour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from backup_lab import (
    RESTORE,
    archive_all,
    backups,
    cut_off,
    digest,
    fill,
    kill_pgbackrest,
    restore,
    restore_options,
    stopwatch,
    superuser_sql,
    take_backup,
)
from lab_cluster import assert_converged, assert_healthy, kill_playbook_when, leader, sql

ACCIDENT = "accident"
MEMBER = "db1"
REPOSITORY = "198.51.100.31"


def restore_point() -> list[str]:
    """A named point in the WAL, just now."""
    superuser_sql("SELECT pg_create_restore_point('before_the_accident')")
    return ["restore_type=name", "restore_target=before_the_accident"]


def transaction() -> list[str]:
    """The transaction that was the last one."""
    xid = sql(f"INSERT INTO {ACCIDENT} (id) VALUES (0) RETURNING pg_current_xact_id()")
    return ["restore_type=xid", f"restore_target={xid}"]


def position() -> list[str]:
    """Where the WAL ends."""
    return ["restore_type=lsn", f"restore_target={sql('SELECT pg_current_wal_lsn()')}", "restore_exclusive=true"]


def moment() -> list[str]:
    """The time, which a later commit must pass."""
    return ["restore_type=time", f"{{restore_target: '{sql('SELECT clock_timestamp()')}'}}"]


def end_of_a_backup() -> list[str]:
    """A backup that is taken now, as far as it is consistent."""
    taken = take_backup("incr")
    assert taken.code == 0, taken.output[-4000:]
    return ["restore_type=immediate", f"restore_set={backups()[-1].label}"]


@pytest.mark.parametrize("target_of", [restore_point, transaction, position, moment, end_of_a_backup])
def test_the_accident_never_happened(target_of: Callable[[], list[str]]) -> None:
    fill(ACCIDENT)
    target = target_of()
    before = digest(ACCIDENT)
    sql(f"UPDATE {ACCIDENT} SET at = now() WHERE id = 7")
    sql(f"DROP TABLE {ACCIDENT}")
    sql("CREATE TABLE IF NOT EXISTS since (at timestamptz DEFAULT now()); INSERT INTO since DEFAULT VALUES")
    with stopwatch(" ".join(target)):
        restored = restore("restore_keep=false", *target)
    assert restored.code == 0, restored.output[-4000:]
    assert digest(ACCIDENT) == before
    assert_healthy()


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (["restore_type=name", "restore_target=nowhere"], "nowhere"),
        (["restore_type=xid", "restore_target=4000000000"], "4000000000"),
        (["restore_type=lsn", "restore_target=FF/0"], "FF/0"),
        (["restore_type=time", "{restore_target: '2001-01-01 00:00:00+00'}"], "2001-01-01"),
        (["restore_type=time", "{restore_target: '2101-01-01 00:00:00+00'}"], "2101-01-01"),
        (["restore_type=latest", "restore_set=20010101-000000F"], "20010101-000000F"),
    ],
)
def test_a_target_that_does_not_exist_touches_nothing(target: list[str], told: str) -> None:
    before = [fill("untouched"), leader(), timeline()]
    started = sql("SELECT pg_postmaster_start_time()")
    refused = restore(*target)
    assert refused.code != 0
    assert told in refused.output.partition("fatal: ")[2], refused.output[-3000:]
    assert [digest("untouched"), leader(), timeline()] == before
    assert sql("SELECT pg_postmaster_start_time()") == started


def timeline() -> str:
    """The timeline that is written."""
    return superuser_sql("SELECT timeline_id FROM pg_control_checkpoint()")


@contextmanager
def lost_ledger() -> Iterator[str]:
    """Write a ledger, archive it, empty it, and see that it is back in the end."""
    before = fill(ACCIDENT)
    target = sql("SELECT clock_timestamp()")
    sql(f"DELETE FROM {ACCIDENT}")
    archive_all()
    yield f"{{restore_target: '{target}'}}"
    assert digest(ACCIDENT) == before
    assert_converged()


@pytest.mark.parametrize(
    "step",
    [
        "Fetch the backup beside the data",
        "Recover to the target",
        "Set the other members' data aside",
        "Put the restored data in place",
        "Start the others",
    ],
)
def test_an_interrupted_restore_goes_on(step: str) -> None:
    with lost_ledger() as target:
        options = ("restore_type=time", target)
        assert kill_playbook_when(lambda output: step in output, RESTORE, *restore_options(*options), seconds=300)
        kill_pgbackrest(MEMBER, "restore")
        done = restore(*options)
        assert done.code == 0, done.output[-4000:]


def test_a_restore_after_a_cut_network_goes_on() -> None:
    with lost_ledger() as target:
        options = ("restore_type=time", target)
        with cut_off(MEMBER, REPOSITORY), stopwatch("noticed"):
            failed = restore(*options)
        assert failed.code != 0
        assert "pgbackrest" in failed.output.partition("fatal: ")[2].lower(), failed.output[-4000:]
        assert sql(f"SELECT count(*) FROM {ACCIDENT}") == "0"
        done = restore(*options)
        assert done.code == 0, done.output[-4000:]
