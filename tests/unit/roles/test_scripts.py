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
EACH = ROLES / "pgbackrest/files/backup-each.sh"
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


@pytest.fixture
def backup_each(tmp_path):
    """The script with a pgBackRest that fails for some repositories, the first times; return its calls."""

    def run(failures: dict[int, int], **environment: str) -> tuple[int, list[str]]:
        for repository, times in failures.items():
            (tmp_path / f"fails---repo={repository}").write_text("x\n" * times)
        program = tmp_path / "pgbackrest"
        program.write_text(
            '#!/bin/sh\necho "$*" >>calls\nfails="fails-$2"\n[ -s "$fails" ] || exit 0\nsed -i 1d "$fails"\nexit 49\n'
        )
        program.chmod(0o755)
        (tmp_path / "sleep").write_text("#!/bin/sh\n")
        (tmp_path / "sleep").chmod(0o755)
        path = {"PATH": f"{tmp_path}:/usr/bin:/bin", **environment}
        done = subprocess.run(["sh", EACH, "lab", "full", "1", "2", "3"], cwd=tmp_path, env=path, check=False)
        return done.returncode, (tmp_path / "calls").read_text().splitlines()

    return run


def call(repository: int, *more: str) -> str:
    words = ("--stanza=lab", f"--repo={repository}", "--type=full", "--log-level-console=info", *more, "backup")
    return " ".join(words)


def test_a_backup_goes_to_each_repository(backup_each):
    assert backup_each({}) == (0, [call(1), call(2), call(3)])


def test_only_the_repository_that_failed_is_tried_again(backup_each):
    assert backup_each({2: 2}) == (0, [call(1), call(2), call(3), call(2), call(2)])


def test_a_repository_that_goes_on_failing_is_told(backup_each):
    assert backup_each({1: 9}) == (1, [call(1), call(2), call(3), call(1), call(1), call(1)])


def test_a_standby_is_tried_first_where_it_can_t_be_preferred(backup_each):
    code, calls = backup_each({2: 1}, HOLDFAST_TRY_STANDBY="1")
    standby = "--backup-standby"
    assert (code, calls) == (0, [call(1, standby), call(2, standby), call(2), call(3, standby)])
