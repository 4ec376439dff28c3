# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup that is killed, cut off or out of space: the next one recovers by itself. Needs the lab, ten minutes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from backup_lab import (
    archive_all,
    as_postgres,
    backups,
    cut_off,
    digest,
    fill,
    kill_pgbackrest,
    pgbackrest_processes,
    stopwatch,
    superuser_sql,
    take_backup,
)
from lab_cluster import SITE, Run, assert_converged, attempt, converge, leader, on_node, run_playbook, sql, wait_until

REPOSITORY = "/var/lib/pgbackrest"
UNFINISHED = f"""
for backup in {REPOSITORY}/backup/lab/2*; do
    [ -e "$backup/backup.manifest" ] || [ ! -e "$backup/backup.manifest.copy" ] || exit 0
done
exit 1
"""
ADDRESSES = {"db1": "198.51.100.11", "db2": "198.51.100.12", "db3": "198.51.100.13"}
BALLAST_MIB = 500
SPACE_MIB = 1500
LEFT_MIB = 60


@pytest.fixture(scope="module", autouse=True)
def ballast() -> Iterator[None]:
    """Have a backup last for some seconds: data that does not compress well."""
    sql("CREATE TABLE IF NOT EXISTS ballast (line text)")
    for _ in range(BALLAST_MIB // 50):
        sql("INSERT INTO ballast SELECT md5(random()::text) || md5(random()::text) FROM generate_series(1, 500000)")
    yield
    sql("DROP TABLE ballast")
    assert_converged()


@contextmanager
def running_backup() -> Iterator[Future[Run]]:
    """Start a full backup, and yield it while it is copying."""
    with ThreadPoolExecutor() as threads:
        run = threads.submit(take_backup, "full")
        wait_until(copying, seconds=120, what="a backup that copies")
        yield run


def copying() -> bool:
    """Whether a backup is at work that has begun to copy."""
    return bool(pgbackrest_processes("backup1", "backup")) and not attempt("backup1", "sh", "-c", UNFINISHED).returncode


def refused(run: Future[Run], told: str) -> None:
    """The run failed, and said why."""
    failed = run.result()
    assert failed.code != 0
    assert told in failed.output.partition("fatal: ")[2], failed.output[-4000:]


def assert_recovered(before: list[str]) -> None:
    """The valid backups are still there, the next one is taken, and all of them are whole."""
    assert labels() == before
    taken = take_backup("full")
    assert taken.code == 0, taken.output[-4000:]
    assert labels()[-1] not in before
    verified = on_node("backup1", *as_postgres("pgbackrest", "--stanza=lab", "--output=text", "--verbose", "verify"))
    assert "status: ok" in verified, verified


def labels() -> list[str]:
    """The labels of the backups in the repository, oldest first."""
    return [backup.label for backup in backups()]


def test_a_killed_backup() -> None:
    before = labels()
    with running_backup() as run:
        kill_pgbackrest("backup1", "backup")
        refused(run, "backup")
    assert_recovered(before)


def test_a_backup_whose_source_is_gone() -> None:
    before = labels()
    standbys = (address for name, address in ADDRESSES.items() if name != leader())
    with running_backup() as run, cut_off("backup1", *standbys), stopwatch("noticed"):
        run.result(timeout=300)
        refused(run, "backup")
    assert_recovered(before)


@contextmanager
def small_repository() -> Iterator[None]:
    """A repository on a disk of its own, which can be filled; the former one is back in the end."""
    on_node("backup1", "systemctl", "stop", "pgbackrest")
    on_node("backup1", "mount", "-t", "tmpfs", "-o", f"size={SPACE_MIB}m,mode=0750", "tmpfs", REPOSITORY)
    try:
        refused_run = run_playbook(SITE)
        assert refused_run.code != 0
        assert "mount its volume" in " ".join(refused_run.output.split())
        converge("-e", "preflight_accept=backup_repository:lab")
        yield
    finally:
        on_node("backup1", "systemctl", "stop", "pgbackrest")
        on_node("backup1", "umount", REPOSITORY)
        converge()
        take_backup("full")


def test_a_repository_without_space() -> None:
    with small_repository():
        before = labels()
        free = int(on_node("backup1", "df", "--output=avail", "-BM", REPOSITORY).split()[-1].rstrip("M"))
        on_node("backup1", "fallocate", "-l", f"{free - LEFT_MIB}M", f"{REPOSITORY}/filler")
        failed = take_backup("full")
        assert failed.code != 0
        assert "is full, " in failed.output.partition("fatal: ")[2], failed.output[-4000:]
        written = fill("without_space")
        superuser_sql("SELECT pg_switch_wal()")
        on_node("backup1", "rm", f"{REPOSITORY}/filler")
        archive_all()
        assert_recovered(before)
        assert digest("without_space") == written
