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
PUSH = ROLES / "pgbackrest/templates/push.sh.j2"
GET = ROLES / "pgbackrest/files/get.sh"
EACH = ROLES / "pgbackrest/files/backup-each.sh"
MAY_RESTORE = ROLES / "patroni/templates/may-restore.sh.j2"


def rendered(script: Path, **variables: object) -> str:
    """Return a script, or what a template of one makes of the variables."""
    environment = jinja2.Environment(autoescape=False)
    environment.filters["quote"] = str
    return environment.from_string(script.read_text()).render(variables)


class Archive:
    """A data directory with a pgBackRest that notes how it is called; ``code`` is what it ends with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = folder / "run"
        self.spool = folder / "spool"
        self.status = folder / "pg_wal/archive_status"
        self.status.mkdir(parents=True)
        self.run.mkdir()
        program = folder / "pgbackrest"
        program.write_text('#!/bin/sh\necho "$*" >>calls\nexit "$(cat code)"\n')
        program.chmod(0o755)

    def call(self, script: Path, *arguments: str, code: int = 0) -> tuple[int, str]:
        """Run the script; return its exit code and pgBackRest's arguments."""
        (self.folder / "code").write_text(str(code))
        (self.folder / "calls").unlink(missing_ok=True)
        text = rendered(script, pgbackrest_spool_path=self.spool).replace("/run/pgbackrest", str(self.run))
        path = {"PATH": f"{self.folder}:/usr/bin:/bin"}
        done = subprocess.run(["sh", "-c", text, "sh", "lab", *arguments], cwd=self.folder, env=path, check=False)
        return done.returncode, (self.folder / "calls").read_text().strip()

    def push(self, wal: str, code: int = 0) -> tuple[int, str]:
        return self.call(PUSH, f"pg_wal/{wal}", code=code)

    def get(self, file: str, code: int = 0) -> tuple[int, str]:
        return self.call(GET, file, "pg_wal/RECOVERYXLOG", code=code)


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path)


SEGMENT = "00000001000000000000000A"
PUSHED = f"archive-push pg_wal/{SEGMENT}"
GOT = f"archive-get {SEGMENT} pg_wal/RECOVERYXLOG"


@pytest.mark.parametrize(
    ("code", "wal", "histories", "seen"),
    [
        pytest.param(45, "00000001000000000000000A", ["00000002"], 0, id="of an older timeline"),
        pytest.param(45, "00000009000000000000000A", ["00000008", "0000000A"], 0, id="hexadecimal"),
        pytest.param(45, "00000002000000000000000A", ["00000002"], 45, id="of this timeline"),
        pytest.param(45, "00000001000000000000000A", [], 45, id="of the first timeline"),
        pytest.param(82, "00000001000000000000000A", ["00000002"], 82, id="another error"),
        pytest.param(0, "00000001000000000000000A", ["00000002"], 0, id="no error"),
    ],
)
def test_what_is_passed_over(archive, code, wal, histories, seen):
    for name in histories:
        (archive.folder / f"pg_wal/{name}.history").touch()
    assert archive.push(wal, code)[0] == seen


@pytest.mark.parametrize(("ready", "alone"), [(0, True), (3, True), (4, False)])
def test_a_long_queue_is_archived_many_at_once(archive, ready, alone):
    for number in range(ready):
        (archive.status / f"{number:024X}.ready").touch()
    assert archive.push(SEGMENT) == (0, f"--stanza=lab {'--no-archive-async ' if alone else ''}{PUSHED}")


@pytest.mark.parametrize(
    ("lock", "alone"),
    [("lab-archive-1.lock", False), ("lab-archive.lock", False), ("lab-backup-1.lock", True), ("b-archive.lock", True)],
)
def test_a_process_that_works_off_a_queue_is_not_competed_with(archive, lock, alone):
    (archive.run / lock).touch()
    assert archive.push(SEGMENT)[1].startswith("--stanza=lab --no-archive-async") is alone


@pytest.mark.parametrize(("ready", "code", "left"), [(1, 0, False), (1, 82, True), (4, 0, True)])
def test_what_a_former_queue_left_is_taken_for_nothing(archive, ready, code, left):
    done = archive.spool / f"archive/lab/out/{SEGMENT}.ok"
    done.parent.mkdir(parents=True)
    done.touch()
    for number in range(ready):
        (archive.status / f"{number:024X}.ready").touch()
    archive.push(SEGMENT, code)
    assert done.exists() is left


def test_only_who_was_given_a_segment_fetches_ahead(archive):
    alone, ahead = f"--stanza=lab --no-archive-async {GOT}", f"--stanza=lab {GOT}"
    assert archive.get(SEGMENT, 1) == (1, alone)
    assert archive.get(SEGMENT) == (0, alone)
    assert archive.get(SEGMENT) == (0, ahead)
    assert archive.get(SEGMENT, 1) == (1, ahead)
    assert archive.get(SEGMENT) == (0, alone)


def test_a_history_tells_nothing_about_segments(archive):
    archive.get("00000002.history")
    assert "--no-archive-async" in archive.get(SEGMENT)[1]
    archive.get("00000003.history", 1)
    assert "--no-archive-async" not in archive.get(SEGMENT)[1]


def test_what_is_fetched_does_not_depend_on_the_mark(archive):
    archive.run.rmdir()
    assert archive.get(SEGMENT)[0] == 0
    assert archive.get(SEGMENT, 1)[0] == 1


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
        script = tmp_path / "may-restore"
        script.write_text(rendered(MAY_RESTORE, patroni_bin_directory=control.parent))
        return subprocess.run(["sh", script, name], cwd=tmp_path, check=False).returncode == 0

    return run


@pytest.mark.parametrize("state", ["in production", "shutting down", "in crash recovery"])
def test_a_crashed_primary_hears_of_no_other_timeline(may_restore, state):
    assert not may_restore("00000009.history", f"Database cluster state:               {state}")
    assert may_restore("000000080000000000000001", f"Database cluster state:               {state}")


@pytest.mark.parametrize("state", ["in archive recovery", "shut down in recovery", "shut down"])
def test_a_standby_hears_of_it(may_restore, state):
    assert may_restore("00000009.history", f"Database cluster state:               {state}")


def test_a_history_that_is_here_is_not_asked_for(may_restore, tmp_path):
    (tmp_path / "pg_wal").mkdir()
    (tmp_path / "pg_wal/00000009.history").touch()
    assert not may_restore("00000009.history", "Database cluster state:               in archive recovery")
    assert may_restore("0000000A.history", "Database cluster state:               in archive recovery")


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
