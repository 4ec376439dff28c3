# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's backups as the acceptance tests use them: a ledger to compare, the repository, cuts in the network."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab_cluster import ROOT, Run, attempt, leader, on_node, run_playbook, sql, wait_until

PLAYBOOKS = ROOT / "playbooks"
RESTORE = PLAYBOOKS / "restore.yml"
STANZA = "--stanza=lab"
PORT = 8432
ROWS = 1000
_TABLE = "acceptance_cut"


@dataclass(frozen=True)
class Backup:
    """A backup in the repository."""

    label: str
    type: str


@contextmanager
def stopwatch(what: str) -> Iterator[None]:
    """Tell how long something took (pytest -s)."""
    started = time.monotonic()
    yield
    print(f"\n{what}: {time.monotonic() - started:.0f} s")


def as_postgres(*arguments: str) -> tuple[str, ...]:
    """A command line that runs as PostgreSQL's user."""
    return ("runuser", "-u", "postgres", "--", *arguments)


def superuser_sql(statement: str) -> str:
    """Run SQL as the superuser on the leader; returns unaligned rows."""
    return on_node(leader(), *as_postgres("psql", "-XAtqc", statement)).strip()


def fill(ledger: str) -> str:
    """Commit rows one by one; returns their digest."""
    columns = "id int PRIMARY KEY, at timestamptz DEFAULT clock_timestamp()"
    sql(f"DROP TABLE IF EXISTS {ledger}; CREATE TABLE {ledger} ({columns})")
    sql(f"DO $$ BEGIN FOR i IN 1..{ROWS} LOOP INSERT INTO {ledger} (id) VALUES (i); COMMIT; END LOOP; END $$")
    return digest(ledger)


def digest(ledger: str) -> str:
    """The number of rows, and what they say."""
    return sql(f"SELECT count(*) || ' ' || md5(string_agg(id || ' ' || at, ',' ORDER BY id)) FROM {ledger}")


def backups() -> list[Backup]:
    """The backups in the repository, oldest first."""
    told = on_node("backup1", *as_postgres("pgbackrest", STANZA, "info", "--output=json"))
    return [Backup(item["label"], item["type"]) for item in json.loads(told)[0]["backup"]]


def take_backup(kind: str) -> Run:
    """Take a backup now."""
    return run_playbook(PLAYBOOKS / "backup.yml", "-e", f"backup_type={kind}")


def archive_all() -> None:
    """Have everything archived that was written until now."""
    archived = attempt("backup1", *as_postgres("pgbackrest", STANZA, "check"))
    assert archived.returncode == 0, archived.stdout


def restore_options(*options: str) -> list[str]:
    """What restore.yml is given on the command line."""
    return [word for option in ("restore_confirm=lab", *options) for word in ("-e", option)]


def restore(*options: str) -> Run:
    """Run restore.yml, confirmed."""
    return run_playbook(RESTORE, *restore_options(*options))


def pgbackrest_processes(node: str, command: str) -> list[str]:
    """The process ids of a pgBackRest command on a node."""
    return attempt(node, "pgrep", "-f", f"^(/usr/bin/)?pgbackrest .*{command}").stdout.split()


def kill_pgbackrest(node: str, command: str) -> None:
    """End a pgBackRest command on a node as a power loss would, and wait until it is gone."""
    for process in pgbackrest_processes(node, command):
        attempt(node, "kill", "-9", process)
    wait_until(lambda: not pgbackrest_processes(node, command), seconds=10, what=f"the end of {command} on {node}")


@contextmanager
def cut_off(node: str, *addresses: str, port: int = PORT) -> Iterator[None]:
    """Let a node and a service of other hosts not reach each other for a while; packets are lost silently."""
    peers = f"{{ {', '.join(addresses)} }}"
    chains = (
        f"chain {hook} {{ type filter hook {hook} priority 0; "
        f"ip {side}addr {peers} tcp sport {port} drop; ip {side}addr {peers} tcp dport {port} drop; }}"
        for hook, side in (("input", "s"), ("output", "d"))
    )
    on_node(node, "nft", f"table inet {_TABLE} {{ {'; '.join(chains)}; }}")
    try:
        yield
    finally:
        on_node(node, "nft", f"delete table inet {_TABLE}")
