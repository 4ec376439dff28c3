# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No acknowledged row is lost when the primary's Patroni hangs while a standby can't let go of it. Needs the lab.

A query on one standby conflicts with replay, so that its PostgreSQL would go on to receive from the former primary and
to acknowledge, up to max_standby_streaming_delay. Clients write to the former primary directly, with pauses: what
arrives while the standbys ask each other makes one of them more advanced, and hides the fault.
docs/synchronous-standbys.md.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab_cluster import DATABASES, ENGINE, assert_healthy, leader, on_node, wait_until

PSQL = ("psql", "-XAtq", "-h", "/var/run/postgresql", "-U", "postgres", "-d", "app", "-v", "ON_ERROR_STOP=1")
WRITE = f"""
i=0
while read -t 0.3 end || [ $? -gt 128 ]; do
    i=$((i + 1))
    said=$({" ".join(PSQL)} -c "INSERT INTO quorum_vote VALUES ($i)" 2>&1) && [ -z "$said" ] && echo $i
done
"""
# Each in a message of its own: PostgreSQL sends what it has of one when it is through with all of it.
QUERY = ("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM quorum_conflict", "SELECT pg_sleep(50)")


def psql(*statements: str) -> tuple[str, ...]:
    return (*PSQL, *(word for statement in statements for word in ("-c", statement)))


def sql(node: str, *statements: str) -> str:
    return on_node(node, *psql(*statements)).strip()


@contextlib.contextmanager
def running(node: str, *arguments: str, output: Path) -> Iterator[None]:
    """A command on a node that ends with its standard input."""
    argv = [ENGINE, "exec", "-i", f"holdfast-{node}", *arguments]
    with output.open("w") as out, subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=out, stderr=out) as process:
        try:
            yield
        finally:
            assert process.stdin is not None
            process.stdin.close()


@pytest.fixture
def cluster() -> Iterator[tuple[str, list[str]]]:
    """The primary and the standbys of a healthy cluster, with two tables."""
    assert_healthy()
    primary = leader()
    tables = "CREATE TABLE quorum_vote (row int); CREATE TABLE quorum_conflict (row int)"
    sql(primary, tables, "INSERT INTO quorum_conflict SELECT generate_series(1, 1000)")
    yield primary, [name for name in DATABASES if name != primary]
    assert_healthy()
    sql(leader(), "DROP TABLE quorum_vote, quorum_conflict")


@contextlib.contextmanager
def patroni_hanging(node: str) -> Iterator[None]:
    pid = on_node(node, "systemctl", "show", "--property=MainPID", "--value", "patroni").strip()
    on_node(node, "kill", "-STOP", pid)
    try:
        yield
    finally:
        on_node(node, "kill", "-CONT", pid)


def promoted(standbys: list[str]) -> Callable[[], bool]:
    return lambda: any(sql(name, "SELECT pg_is_in_recovery()") == "f" for name in standbys)


@pytest.mark.parametrize("held", [0, 1])
def test_no_acknowledged_row_is_lost_while_a_standby_can_t_replay(
    cluster: tuple[str, list[str]], held: int, tmp_path: Path
) -> None:
    primary, standbys = cluster
    acknowledged = tmp_path / "acknowledged"
    with (
        running(primary, "bash", "-c", WRITE, output=acknowledged),
        running(standbys[held], *psql(*QUERY), output=tmp_path / "query"),
    ):
        wait_until(lambda: "1000" in (tmp_path / "query").read_text(), seconds=10, what="the query runs")
        with patroni_hanging(primary):
            sql(primary, "DELETE FROM quorum_conflict", "VACUUM quorum_conflict")
            wait_until(promoted(standbys), seconds=60, what="a standby takes over")
            before = acknowledged.read_text()
            with contextlib.suppress(AssertionError):
                wait_until(lambda: acknowledged.read_text() != before, seconds=5, what="the former primary goes on")
    assert_healthy()
    stored = set(sql(leader(), "SELECT row FROM quorum_vote").split())
    assert not set(acknowledged.read_text().split()) - stored
