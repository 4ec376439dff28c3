# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import subprocess
import sys

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak import commands
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.judge import Journal, Load

DONE = """pgbench (17.6 (Debian 17.6-0+deb13u1))
transaction type: <builtin: TPC-B (sort of)>
number of clients: 16
number of transactions actually processed: 30061
number of failed transactions: 2 (0.007%)
latency average = 63.861 ms
initial connection time = 128.390 ms
tps = 250.542118 (without initial connection time)
"""


@pytest.mark.parametrize(
    ("output", "errors", "code", "expected"),
    [
        (DONE, "", 0, Load(30061, 250.542118, 63.861, 2)),
        (
            DONE,
            "pgbench: error: client 3 aborted\nmore",
            2,
            Load(30061, 250.542118, 63.861, 2, ("pgbench: error: client 3 aborted",)),
        ),
        ("", "sh: 1: exec: pgbench: not found\n", 127, Load(breaks=("sh: 1: exec: pgbench: not found",))),
        ("", "", 137, Load(breaks=("exit code 137",))),
    ],
)
def test_what_pgbench_says(output, errors, code, expected) -> None:
    assert commands.read_load(output, errors, code) == expected


def test_what_the_services_say() -> None:
    watcher = """Started holdfast-lease-watcher.service
the leader is db1; revoking after 8 s without a renewal
no view of etcd, counting anew: https://192.0.2.11:2379: timed out
db1 has not renewed for 4 s or more
held up for 0.7 s on the way to revoking: deciding again
db1 has not renewed for 4 s or more
revoked: lease ff of db1, not renewed for 8.1 s (term 4, revision 90)
found revoked already: lease ff of db1, not renewed for 8.1 s (term 4, revision 90)
"""
    patroni = """INFO: no action. I am (db1), the leader with the lock
WARNING: Loop time exceeded, rescheduling immediately.
INFO: demoting self because DCS is not accessible and I was a leader
INFO: demoted self because DCS is not accessible and I was a leader
"""
    assert commands.read_journal(watcher, patroni) == Journal(
        revoked=(
            "revoked: lease ff of db1, not renewed for 8.1 s (term 4, revision 90)",
            "found revoked already: lease ff of db1, not renewed for 8.1 s (term 4, revision 90)",
        ),
        recounts=2,
        silences=("db1 has not renewed for 4 s or more",),
        demotions=("INFO: demoting self because DCS is not accessible and I was a leader",),
        overruns=1,
    )


@pytest.mark.parametrize(
    "argv",
    [
        commands.burn(30.0),
        commands.stall(40.0, "/data", "chief"),
        commands.pgbench(130.0, {"PGHOST": "192.0.2.100"}, ["-n"]),
    ],
)
def test_everything_ends_by_itself(argv) -> None:
    assert argv[:2] == ["systemd-run", "--quiet"]
    assert any(word.startswith("--property=RuntimeMaxSec=") for word in argv[: argv.index("--")])


def test_the_password_comes_through_standard_input_only() -> None:
    script = [sys.executable, "-c", "import os; print(os.environ['PGPASSWORD'])"]
    argv = commands.pgbench(1.0, {}, [])
    shell = argv[argv.index("--") + 1 : argv.index("pgbench")]
    done = subprocess.run([*shell, *script], input=" se cr\\et\n", capture_output=True, text=True, check=True)
    assert done.stdout == " se cr\\et\n"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("revoked: lease ff of db1, not renewed for 8.1 s (term 4, revision 90)", True),
        ("no view of etcd, counting anew: timed out", True),
        ("held up for 0.7 s on the way to revoking: deciding again", True),
        ("db1 has not renewed for 4 s or more", True),
        ("INFO: Demoting self (offline)", True),
        ("WARNING: Loop time exceeded, rescheduling immediately.", True),
        ("INFO: no action. I am (db1), the leader with the lock", False),
    ],
)
def test_the_journal_is_asked_for_what_is_read(line, wanted) -> None:
    grep = next(word for word in commands.journal_since("patroni.service", "1795570909") if word.startswith("--grep="))
    assert bool(re.search(grep.removeprefix("--grep="), line)) is wanted
    assert (commands.read_journal(line, line) != Journal()) is wanted


def test_a_stalled_disk_is_the_database_user_s_work() -> None:
    argv = commands.stall(40.0, "/srv/pg data", "chief")
    assert "--uid=postgres" in argv
    assert '--property=ExecStopPost=rm -f "/srv/pg data/holdfast-soak-filler"' in argv


def test_the_superuser_of_the_topology_checkpoints(tmp_path) -> None:
    (tmp_path / "dd").symlink_to("/bin/true")
    (tmp_path / "psql").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nkill -TERM $PPID\n')
    (tmp_path / "psql").chmod(0o755)
    argv = commands.stall(40.0, "/data", "chief")
    subprocess.run(argv[argv.index("--") + 1 :], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False, timeout=30)
    assert (tmp_path / "asked").read_text() == "-XAtq -h /var/run/postgresql -U chief -c CHECKPOINT postgres\n"
