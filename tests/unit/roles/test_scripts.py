# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL runs through the roles' shell scripts: their decisions."""

from __future__ import annotations

import subprocess
from pathlib import Path

import jinja2
import pytest

ROLES = next(parent for parent in Path(__file__).resolve().parents if (parent / "roles/patroni").is_dir()) / "roles"
SUPERSEDED = ROLES / "pgbackrest/files/superseded.sh"
MAY_RESTORE = ROLES / "patroni/templates/may-restore.sh.j2"


@pytest.mark.parametrize(
    ("code", "wal", "histories", "seen"),
    [
        pytest.param(45, "00000001000000000000000A", ["00000002"], 0, id="of an older timeline"),
        pytest.param(45, "00000009000000000000000A", ["00000008", "0000000A"], 0, id="hexadecimal"),
        pytest.param(45, "00000002000000000000000A", ["00000002"], 45, id="of this timeline"),
        pytest.param(45, "00000001000000000000000A", [], 45, id="of the first timeline"),
        pytest.param(82, "00000001000000000000000A", ["00000002"], 82, id="another error"),
    ],
)
def test_what_is_passed_over(tmp_path, code, wal, histories, seen):
    folder = tmp_path / "pg_wal"
    folder.mkdir()
    for name in histories:
        (folder / f"{name}.history").touch()
    done = subprocess.run(["sh", SUPERSEDED, str(code), f"pg_wal/{wal}"], cwd=tmp_path, check=False)
    assert done.returncode == seen


@pytest.fixture
def may_restore(tmp_path):
    """The script in a data directory in a given state."""

    def run(name: str, state: str) -> bool:
        control = tmp_path / "bin/pg_controldata"
        control.parent.mkdir(exist_ok=True)
        control.write_text(
            f"#!/bin/sh\necho 'pg_control version number:            1700'\necho '{state}'\n"
            "echo 'Bytes per WAL segment:                16777216'\n"
        )
        control.chmod(0o755)
        environment = jinja2.Environment(autoescape=False)
        environment.filters["quote"] = str
        script = tmp_path / "may-restore"
        script.write_text(environment.from_string(MAY_RESTORE.read_text()).render(patroni_bin_directory=control.parent))
        return subprocess.run(["sh", script, name], cwd=tmp_path, check=False).returncode == 0

    return run


@pytest.mark.parametrize("state", ["in production", "shutting down", "in crash recovery"])
def test_a_crashed_primary_hears_of_no_other_timeline(may_restore, state):
    assert not may_restore("00000009.history", f"Database cluster state:               {state}")
    assert may_restore("000000080000000000000001", f"Database cluster state:               {state}")


@pytest.mark.parametrize("state", ["in archive recovery", "shut down in recovery", "shut down"])
def test_a_standby_hears_of_it(may_restore, state):
    assert may_restore("00000009.history", f"Database cluster state:               {state}")


def test_a_restored_backup_hears_of_it(may_restore, tmp_path):
    (tmp_path / "backup_label").touch()
    assert may_restore("00000009.history", "Database cluster state:               in production")


BRANCHED = """1\t0/A015E90\tno recovery target specified

2\t0/B01B3F8\tno recovery target specified
3\t2/1FA71950\tno recovery target specified
"""


@pytest.mark.parametrize(
    ("wal", "given"),
    [
        pytest.param("00000003000000020000001E", True, id="before the branch"),
        pytest.param("00000003000000010000001F", True, id="long before"),
        pytest.param("00000003000000020000001F", False, id="with the branch"),
        pytest.param("000000030000000200000020", False, id="after it"),
        pytest.param("000000010000000200000001", False, id="of a grandparent, after its end"),
        pytest.param("00000004000000020000001F", True, id="of the new timeline"),
        pytest.param("000000050000000200000020", True, id="of a timeline that is not known yet"),
    ],
)
def test_a_standby_gets_no_wal_of_a_timeline_beyond_its_end(may_restore, tmp_path, wal, given):
    folder = tmp_path / "pg_wal"
    folder.mkdir()
    (folder / "00000003.history").write_text("1\t0/A015E90\tx\n\n2\t0/B01B3F8\tx\n")
    (folder / "00000004.history").write_text(BRANCHED)
    assert may_restore(wal, "Database cluster state:               in archive recovery") is given


def test_without_a_history_a_standby_gets_all(may_restore, tmp_path):
    (tmp_path / "pg_wal").mkdir()
    assert may_restore("00000003000000020000001F", "Database cluster state:               in archive recovery")
