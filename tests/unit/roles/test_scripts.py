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
        control.write_text(f"#!/bin/sh\necho 'pg_control version number:            1700'\necho '{state}'\n")
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
