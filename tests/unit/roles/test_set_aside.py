# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Patroni's unit does with a data directory that holds no database, as a real process beside others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.roles.render import render

PROGRAM = next(parent for parent in Path(__file__).resolve().parents if (parent / "roles/patroni").is_dir()) / (
    "roles/patroni/files/set_aside.py"
)
# The program takes whatever restores in its unit for its own, so no other test may do that beside these.
pytestmark = pytest.mark.xdist_group("restores")
WAITS = "import sys; print(flush=True); sys.stdin.read()"
NOBODY = 65534


class Member:
    """A member's data directory and the program."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "my main"
        self.aside = folder / "my main.unfinished"

    def half_made(self, content: str = "17") -> None:
        self.data.mkdir(exist_ok=True)
        (self.data / "PG_VERSION").write_text(content)

    def start(self, path: Path | None = None) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-I", str(PROGRAM), str(path or self.data)]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    def starts_afresh(self) -> bool:
        done = self.start()
        assert done.returncode == 0, done.stderr
        return not any(self.data.iterdir())


@pytest.fixture
def member(tmp_path: Path) -> Member:
    return Member(tmp_path)


@pytest.fixture
def beside() -> Iterator[Callable[..., None]]:
    """Starts processes that run until the test is over."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: object, program: str = WAITS, known_as: str = sys.executable, **options: object) -> None:
        argv = [known_as, "-c", program, *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "executable": sys.executable}
        one = subprocess.Popen(argv, **pipes | options)  # type: ignore[call-overload]
        running.append(one)
        assert one.stdout.readline() == "\n"

    yield start
    for one in running:
        one.communicate()


def test_a_half_made_directory_is_set_aside(member):
    member.half_made()
    assert member.starts_afresh()
    assert (member.aside / "PG_VERSION").read_text() == "17"
    assert member.data.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("made", ["", "data"], ids=["missing", "empty"])
def test_where_there_is_nothing_nothing_is_done(member, made):
    if made:
        member.data.mkdir()
    assert member.start().returncode == 0
    assert member.data.exists() is bool(made)
    assert not member.aside.exists()


def test_a_database_stays(member):
    member.half_made()
    (member.data / "global").mkdir()
    (member.data / "global" / "pg_control").touch()
    assert not member.starts_afresh()


@pytest.mark.parametrize("known_as", ["pgbackrest", "initdb", "pg_basebackup"])
def test_who_is_only_called_so_is_at_work_elsewhere(member, beside, tmp_path, known_as):
    member.half_made()
    for argument in ("--stanza=lab", "server", "-D", f"{member.data}.other", f"{member.data}/.."):
        beside(argument, known_as=known_as, cwd=tmp_path)
    assert member.starts_afresh()


@pytest.mark.parametrize(
    "arguments",
    [
        ["-D", "{data}"],
        ["-D{data}"],
        ["--pgdata={data}/"],
        ["--stanza=other", "--pg1-path={data}", "archive-get"],
        ["--stanza=lab", "restore"],
    ],
)
def test_who_names_the_directory_or_restores_is_at_work_there(member, beside, arguments):
    member.half_made()
    beside(*(argument.format(data=member.data) for argument in arguments), known_as="renamed")
    assert not member.starts_afresh()
    assert "process" in member.start().stdout


@pytest.mark.parametrize(("mode", "at_work"), [("w", True), ("a+", True), ("r", False)])
def test_who_writes_there_is_at_work_there(member, beside, tmp_path, mode, at_work):
    member.half_made()
    opens = f"import os; os.chdir('/'); file = open({str(member.data / 'PG_VERSION')!r}, {mode!r}); {WAITS}"
    source = tmp_path / "opens.py"
    source.write_text(opens)
    beside(source, program="import sys; exec(open(sys.argv[1]).read())", cwd=tmp_path)
    assert member.starts_afresh() is not at_work


def test_a_postgres_that_outlives_patroni_is_at_work_there(member, beside):
    member.half_made()
    beside(cwd=member.data)
    assert not member.starts_afresh()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_not_at_work_there(member, beside):
    member.half_made()
    beside("sh", "-D", member.data, program="echo; cat", executable="/bin/sh", user=NOBODY, cwd="/")
    assert member.starts_afresh()


def test_only_what_was_set_aside_before_is_removed(member):
    for content in ("first", "second"):
        member.half_made(content)
        assert member.starts_afresh()
    assert (member.aside / "PG_VERSION").read_text() == "second"


@pytest.mark.parametrize("foreign", ["dumps", "15", "notes.txt", "pg_dump", ".hidden"])
def test_what_no_program_of_postgresql_made_is_never_removed(member, foreign):
    member.half_made()
    (member.data / foreign).mkdir()
    (member.data / foreign / "precious").touch()
    assert f"with {foreign} in it" in member.start().stdout
    member.half_made("second")
    done = member.start()
    assert (done.returncode, f"{member.aside} is kept: it holds {foreign}" in done.stdout) == (0, True)
    assert (member.aside / foreign / "precious").exists()
    assert (member.aside.with_name(f"{member.aside.name}.2") / "PG_VERSION").read_text() == "second"


MADE = """
    PG_VERSION backup.manifest backup.manifest.copy backup_label backup_label.old backup_manifest base current_logfiles
    global log patroni.dynamic.json pg_commit_ts pg_dynshmem pg_hba.conf pg_hba.conf.backup pg_ident.conf pg_logical
    pg_multixact pg_notify pg_replslot pg_serial pg_snapshots pg_stat pg_stat_tmp pg_subtrans pg_tblspc pg_twophase
    pg_wal pg_xact postgresql.auto.conf postgresql.base.conf postgresql.conf postgresql.conf.backup postmaster.opts
    postmaster.pid recovery.signal standby.signal tablespace_map 16384_1.pgbackrest.tmp
"""


def test_all_that_makes_a_database_is_removed(member):
    member.half_made()
    for name in MADE.split():
        (member.data / name).touch()
    assert member.starts_afresh()
    member.half_made("second")
    assert member.starts_afresh()
    assert [path.name for path in member.aside.parent.iterdir() if "unfinished" in path.name] == [member.aside.name]
    assert (member.aside / "PG_VERSION").read_text() == "second"


@pytest.mark.parametrize("kind", ["directory", "link"])
def test_what_somebody_else_keeps_under_that_name_stays(member, tmp_path, kind):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "precious").touch()
    if kind == "link":
        (kept / ".set-aside-by-patroni-set-aside").touch()
        member.aside.symlink_to(kept)
    else:
        kept.rename(member.aside)
    member.half_made()
    assert member.starts_afresh()
    assert (member.aside / "precious").exists()
    assert (member.aside.with_name(f"{member.aside.name}.2") / "PG_VERSION").exists()


def test_a_link_goes_on_leading_to_the_directory(member, tmp_path, beside):
    link = tmp_path / "link"
    link.symlink_to(member.data)
    member.half_made()
    assert member.start(link).returncode == 0
    assert not any(link.iterdir())
    assert (member.aside / "PG_VERSION").exists()
    member.half_made()
    beside("-D", link)
    assert not member.starts_afresh()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_mount_point_is_told(member, tmp_path):
    member.data.mkdir()
    script = 'mount -t tmpfs none "$1" && touch "$1/PG_VERSION" && "$2" -I "$3" "$1"'
    argv = ["unshare", "--mount", "sh", "-c", script, "sh", member.data, sys.executable, PROGRAM]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.stderr.startswith(("mount:", "unshare:")):
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    assert (done.returncode, "mount point" in done.stderr) == (1, True)
    assert not member.aside.exists()


@pytest.mark.parametrize("path", ["/var/lib/postgresql/main", '/srv/a b/50%h$HOME/"x"\\é'])
def test_systemd_hands_over_the_path_as_it_is(path):
    variables = {"patroni_data_directory": path, "patroni_nice": 0, "patroni_amended": True}
    lines = render("patroni", "drop-in.conf.j2", variables).splitlines()
    line = next(line for line in lines if line.startswith("ExecStartPre=") and "set-aside" in line)
    argument = line.partition(" ")[2].replace("%%", "%").replace("$$", "$")
    assert json.loads(argument) == path
