# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole restores on a directory, with programs that play PostgreSQL's and pgBackRest's part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import restore_work
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest import PgBackRestError
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_cli import PgBackRest
from ansible_collections.holdfast.ha.plugins.module_utils.restore import RestoreError, request_of
from ansible_collections.holdfast.ha.plugins.module_utils.restore_work import Restore, converge
from ansible_collections.holdfast.ha.plugins.modules.pgbackrest_restore import only_one, programs

pytestmark = pytest.mark.xdist_group("restores")
CONTROL = "echo 'Database cluster state: shut down in recovery'; echo \"Latest checkpoint's TimeLineID: 2\""
# It stops at a recovery target, or gets ready; pg_ctl stops it.
POSTGRES = """\
case "$*" in
  *recovery_target_action=shutdown*) exit "${EXIT:-0}" ;;
esac
rm -f "$2/recovery.signal"
printf '1\\t0/9000000\\tno target\\n' >"$2/pg_wal/00000002.history"
printf '1\\n2\\n3\\n4\\n5\\n6\\n7\\nready\\n' >"$2/postmaster.pid"
while [ -e "$2/postmaster.pid" ]; do sleep 0.05; done
"""
PG_CTL = """\
case "$1" in
  status) [ -e "$3/postmaster.pid" ] || exit 3 ;;
  stop) rm "$3/postmaster.pid" ;;
esac
"""


@dataclass
class Host:
    """A host with a data directory; its pgBackRest fills a directory with a restored database."""

    root: Path
    broken: bool = False
    commands: list[str] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.root / "lab"

    def run(self, argv: Sequence[str]) -> tuple[int, str, str]:
        self.commands.append(" ".join(argv))
        target = Path(next(word for word in argv if word.startswith("--pg1-path=")).partition("=")[2])
        (target / "backup.manifest").touch()
        if self.broken:
            return 29, "", "ERROR: [029]: checksum mismatch"
        (target / "PG_VERSION").write_text("17\n")
        (target / "pg_wal").mkdir(exist_ok=True)
        (target / "restored").touch()
        return 0, "", ""

    def restore(self, kind: str = "time", end: str = "000000010000000000000008", **more: Any) -> Restore:
        target = {"type": kind, "value": "then", "inclusive": True, "timeline": "latest", "set": "F1", "size": 1}
        target["repository"] = 2
        return Restore(
            client=PgBackRest(self.run),
            stanza="lab",
            path=self.data,
            target={**target, "archive_end": end},
            request=request_of(target, None),
            bin=self.root / "bin",
            timeout=10,
            **more,
        )

    def names(self) -> set[str]:
        return {path.name for path in self.root.iterdir()} - {"bin"}


Made = Callable[..., Host]
Go = Callable[..., dict[str, Any]]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "bin").mkdir()
    for name, script in {"pg_controldata": CONTROL, "postgres": POSTGRES, "pg_ctl": PG_CTL}.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "former").touch()
    return Host(tmp_path)


def go(host: Host, state: Any, *, keep: bool = True, dry_run: bool = False, **more: Any) -> dict[str, Any]:
    return converge(host.restore(**more), state, keep, dry_run)


def test_a_whole_restore_keeps_the_former_data(host: Host) -> None:
    prepared = go(host, "prepared")
    assert prepared["steps"] == ["begin", "fetch", "prove"]
    assert (host.data / "former").exists()
    assert go(host, "prepared")["steps"] == []
    assert go(host, "recovered")["steps"] == ["recover"]
    placed = go(host, "placed")
    assert placed["steps"] == ["set_aside", "place"]
    assert (host.data / "restored").exists()
    assert not (host.data / "recovery.signal").exists()
    assert go(host, "placed")["changed"] is False
    finished = go(host, "finished", id=prepared["id"])
    assert finished["aside"] == f"{host.data}.before-{prepared['id']}"
    assert Path(finished["aside"], "former").exists()
    assert host.names() == {"lab", Path(finished["aside"]).name}


@pytest.mark.parametrize("suffix", ["restoring", "restoring-run"])
@pytest.mark.parametrize("state", ["room", "prepared"])
def test_what_no_restore_made_is_not_removed(host: Host, suffix: str, state: str) -> None:
    foreign = host.root / f"lab.{suffix}"
    (foreign / "dumps").mkdir(parents=True)
    with pytest.raises(RestoreError, match=f"lab.{suffix} is where a restore works .* holds dumps.; move it away"):
        go(host, state)
    assert (foreign / "dumps").exists()
    assert not host.commands


@pytest.mark.parametrize(
    ("suffix", "sign"), [("restoring", "backup.manifest"), ("restoring-run", "log"), ("restoring", "")]
)
def test_what_a_former_restore_left_is_removed(host: Host, suffix: str, sign: str) -> None:
    (host.root / f"lab.{suffix}" / sign).mkdir(parents=True)
    assert go(host, "prepared")["phase"] == "prepared"


def test_the_former_data_goes_when_it_is_not_to_be_kept(host: Host) -> None:
    prepared = go(host, "prepared", kind="latest")
    assert prepared["steps"] == ["begin", "fetch"]
    go(host, "recovered", kind="latest")
    go(host, "placed", kind="latest")
    assert go(host, "finished", keep=False, id=prepared["id"])["steps"] == ["discard", "forget"]
    assert host.names() == {"lab"}


def test_a_target_that_is_not_reached_leaves_everything_as_it_was(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ansible_collections.holdfast.ha.plugins.module_utils.postgresql_instance._ENVIRONMENT",
        {"PATH": "/usr/bin:/bin", "EXIT": "1"},
    )
    with pytest.raises(RestoreError, match=r"no way to \w+ .+ from .+: .*not reach its target.*nothing was touched"):
        go(host, "prepared")
    assert host.names() == {"lab"}
    assert (host.data / "former").exists()


def test_a_backup_that_can_t_be_fetched_is_gone_on_with(host: Host) -> None:
    host.broken = True
    with pytest.raises(PgBackRestError, match="checksum mismatch"):
        go(host, "prepared")
    host.broken = False
    assert go(host, "prepared")["steps"] == ["fetch", "prove"]
    assert "--no-delta" in host.commands[0]
    assert "--repo=2" in host.commands[0]
    assert "--delta" in host.commands[1]


def test_missing_wal_is_noticed_before_anything_is_replaced(host: Host) -> None:
    go(host, "prepared", kind="latest")
    with pytest.raises(RestoreError, match=r"archive goes on to 00000001000000000000000B.*former data is in place"):
        go(host, "recovered", kind="latest", end="00000001000000000000000B")
    assert (host.data / "former").exists()
    assert host.names() == {"lab"}
    assert go(host, "prepared", kind="latest")["steps"] == ["begin", "fetch"]


def test_a_recovery_that_was_killed_is_begun_from_the_files(host: Host) -> None:
    go(host, "prepared", kind="latest")
    (host.root / "lab.restoring" / "recovery.signal").unlink()
    assert go(host, "recovered", kind="latest")["steps"] == ["recover"]
    assert ["--delta" in command for command in host.commands] == [False, True]


def test_a_placed_restore_can_be_begun_anew(host: Host) -> None:
    for state in ("prepared", "recovered", "placed"):
        go(host, state)
    assert go(host, "prepared")["steps"] == []
    assert go(host, "prepared", anew=True)["steps"] == ["begin", "fetch", "prove"]


def test_another_member_s_data_is_set_aside_once(host: Host) -> None:
    assert go(host, "aside", id="7")["steps"] == ["set_aside"]
    host.data.mkdir()
    (host.data / "copied").touch()
    again = go(host, "aside", id="7")
    assert again["steps"] == []
    assert (host.data / "copied").exists()
    assert Path(again["aside"], "former").exists()


def test_a_running_database_is_never_renamed(host: Host) -> None:
    (host.data / "postmaster.pid").touch()
    with pytest.raises(RestoreError, match="still runs"):
        go(host, "aside", id="7")
    assert go(host, "stopped")["steps"] == ["stop"]
    assert go(host, "stopped")["steps"] == []


def test_two_databases_in_one_place_are_nobody_s_to_choose(host: Host) -> None:
    go(host, "prepared")
    go(host, "recovered")
    restore = host.restore()
    restore.found("placed")
    restore.set_aside()
    host.data.mkdir()
    (host.data / "somebody's").touch()
    with pytest.raises(RestoreError, match="both hold data"):
        go(host, "placed")


def test_check_mode_touches_nothing(host: Host) -> None:
    assert go(host, "prepared", dry_run=True)["steps"] == ["begin", "fetch", "prove"]
    assert go(host, "recovered", dry_run=True)["steps"] == ["recover"]
    assert go(host, "placed", dry_run=True)["steps"] == ["recover", "set_aside", "place"]
    assert host.names() == {"lab"}


def test_a_second_copy_must_fit(host: Host) -> None:
    restore = host.restore()
    restore.target = {**restore.target, "size": 2**60}
    with pytest.raises(RestoreError, match="are needed"):
        converge(restore, "room", keep=True, dry_run=False)


def test_tablespaces_are_refused_before_anything_is_touched(host: Host) -> None:
    (host.data / "pg_tblspc").mkdir()
    converge(host.restore(), "room", keep=True, dry_run=True)
    (host.data / "pg_tblspc" / "16385").symlink_to(host.root / "fast")
    with pytest.raises(RestoreError, match=f"has tablespaces, .*: {host.root}/fast; restore such a cluster by hand"):
        converge(host.restore(), "room", keep=True, dry_run=True)


def test_a_data_directory_that_is_a_mount_point_is_refused(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore_work, "mount_points", lambda _text: frozenset({str(host.data)}))
    with pytest.raises(RestoreError, match=f"is a mount point, .* mount the volume at {host.data.parent}, "):
        converge(host.restore(), "room", keep=True, dry_run=True)


def test_nobody_else_can_hold_up_a_restore(tmp_path: Path) -> None:
    with only_one(tmp_path / "x.lock"):
        assert (tmp_path / "x.lock").stat().st_mode & 0o777 == 0o600


def test_the_server_of_the_backup_or_the_newest_is_taken(tmp_path: Path) -> None:
    with pytest.raises(RestoreError, match="no PostgreSQL server"):
        programs(None, tmp_path)
    for version in ("9", "15", "17", "common"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "postgres").touch()
    assert programs(None, tmp_path) == tmp_path / "17" / "bin"
    assert programs("15", tmp_path) == tmp_path / "15" / "bin"
    with pytest.raises(RestoreError, match="no PostgreSQL 16 server"):
        programs("16", tmp_path)


CONFIG = "[global]\nrepo1-path=/repo\nrepo1-cipher-pass=secret\n[lab]\npg1-path=/elsewhere\npg1-host=db1\n"


@pytest.fixture
def clone(host: Host) -> Go:
    """A restore to where there is no database, with a private configuration."""
    (host.data / "former").unlink()
    (host.root / "pgbackrest.conf").write_text(CONFIG)

    def go_private(state: Any, **more: Any) -> dict[str, Any]:
        restore = host.restore(private=True, archive=False, **more)
        restore.client = PgBackRest(host.run, config=str(host.root / "pgbackrest.conf"))
        return converge(restore, state, keep=True, dry_run=False)

    return go_private


def test_a_clone_reads_the_repository_by_its_own_configuration(host: Host, clone: Go) -> None:
    clone("prepared")
    own = host.root / "lab.restoring-run" / "pgbackrest.conf"
    assert own.stat().st_mode & 0o777 == 0o600
    assert "pg1-path=" + str(host.root / "lab.restoring") in own.read_text()
    assert f"--config={own}" in host.commands[0]
    # pgBackRest refuses a spool path on the command line where archiving is not asynchronous.
    assert "--spool-path" not in host.commands[0]
    assert clone("placed")["steps"] == ["recover", "place"]
    assert not own.parent.exists()
    assert clone("prepared")["steps"] == []


def test_a_clone_s_server_archives_nothing(host: Host) -> None:
    for archive, mode in ((True, "on"), (False, "off")):
        restore = host.restore(archive=archive)
        settings = restore._settings(restore.instance(host.data), "promote", archive=restore.archive)
        assert (settings["archive_mode"], settings["archive_command"]) == (mode, "")


def test_without_a_database_nothing_is_said_of_one(host: Host, clone: Go) -> None:
    clone("prepared", kind="latest")
    with pytest.raises(RestoreError, match=r"nothing was placed"):
        clone("placed", kind="latest", end="00000001000000000000000B")


def test_a_configuration_that_is_not_there_is_named(host: Host, clone: Go) -> None:
    (host.root / "pgbackrest.conf").unlink()
    with pytest.raises(RestoreError, match=r"pgbackrest\.conf can't be read"):
        clone("prepared")


def test_a_clone_is_predicted_without_data_to_set_aside(host: Host) -> None:
    (host.data / "former").unlink()
    assert go(host, "placed", dry_run=True)["steps"] == ["recover", "place"]
