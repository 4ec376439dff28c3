# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import policy_rc_d
from ansible_collections.holdfast.ha.plugins.module_utils.policy_rc_d import NAME, SAVED, collect, mend, withholding

THEIRS = '#!/bin/sh\necho "theirs $@"\nexit 104\n'


def ask(directory: Path, *arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Ask the policy as invoke-rc.d and deb-systemd-invoke do."""
    done = subprocess.run(
        [directory / NAME, *arguments], capture_output=True, text=True, check=False, env=environment or {}
    )
    return done.returncode, done.stdout


def make_theirs(directory: Path, form: str) -> None:
    if form == "link":
        (directory / "elsewhere").write_text(THEIRS)
        (directory / "elsewhere").chmod(0o755)
        (directory / NAME).symlink_to("elsewhere")
    elif form in ("file", "switched off"):
        (directory / NAME).write_text(THEIRS)
        (directory / NAME).chmod(0o755 if form == "file" else 0o644)


def state(directory: Path) -> dict[str, object]:
    return {
        path.name: path.readlink() if path.is_symlink() else (path.read_text(), path.stat().st_mode)
        for path in directory.iterdir()
    }


@pytest.fixture(params=["none", "file", "switched off", "link"])
def place(request, tmp_path):
    make_theirs(tmp_path, request.param)
    return tmp_path


def test_only_maintainer_scripts_of_the_transaction_are_refused(place, tmp_path):
    before, log = state(place), tmp_path / "log"
    others = ask(place, "haproxy.service", "restart") if (place / NAME).exists() and "x" in oct_mode(place) else (0, "")
    with withholding(place, log) as environment:
        assert ask(place, "haproxy.service", "restart", environment=environment) == (101, "")
        assert ask(place, "haproxy.service", "restart") == others
    assert collect(log) == ["haproxy.service"]
    assert state(place) == before


def oct_mode(place: Path) -> str:
    return "x" if (place / NAME).stat().st_mode & 0o100 else ""


def test_a_failure_restores_it_too(place, tmp_path):
    before = state(place)
    with pytest.raises(OSError, match="dpkg"), withholding(place, tmp_path / "log"):
        raise OSError("dpkg")
    assert state(place) == before


def test_a_killed_run_s_is_restored_by_the_next(place, tmp_path):
    before = state(place)
    policy_rc_d._put(place)
    assert mend(place)
    assert state(place) == before
    assert not mend(place)
    policy_rc_d._put(place)
    with withholding(place, tmp_path / "log") as environment:
        assert ask(place, "haproxy.service", "restart", environment=environment)[0] == 101
    (tmp_path / "log").unlink()
    assert state(place) == before


def test_a_run_killed_before_the_rename(tmp_path):
    make_theirs(tmp_path, "file")
    before = state(tmp_path)
    (tmp_path / SAVED).hardlink_to(tmp_path / NAME)
    mend(tmp_path)
    assert state(tmp_path) == before


def test_who_replaced_ours_keeps_theirs(tmp_path):
    make_theirs(tmp_path, "file")
    policy_rc_d._put(tmp_path)
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).write_text("#!/bin/sh\nexit 0\n")
    mend(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {NAME: "#!/bin/sh\nexit 0\n"}


@pytest.mark.parametrize(
    ("log", "units"),
    [
        ("", []),
        ("haproxy.service restart\nhaproxy.service stop\n", ["haproxy.service"]),
        ("--quiet postgresql (start) 2\n", ["postgresql.service"]),
        ("keepalived.service stop\ncron try-restart\n\n", ["cron.service"]),
        ("etcd.service start restart\nacpid.socket start\n", ["acpid.socket", "etcd.service"]),
    ],
)
def test_what_was_withheld(tmp_path, log, units):
    (tmp_path / "log").write_text(log)
    assert collect(tmp_path / "log") == units
    assert collect(tmp_path / "log") == []
