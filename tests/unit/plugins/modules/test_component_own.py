# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A component's own directories: nothing of anybody else's is taken or removed."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.unit.planting import Host, needs_root
from tests.unit.plugins.modules.test_component_paths import THEIRS, host, run

__all__ = ["host"]
pytestmark = needs_root


def own(path: Path | str, state: str = "present", **more: Any) -> dict[str, Any]:
    item = {"path": str(path), "contents": ["scratch", "record.json"], "state": state, "mode": "0750", **THEIRS, **more}
    return {"own_directories": [item]}


def status_of(path: str) -> tuple[int, int, bool] | None:
    if not Path(path).exists():
        return None
    return Path(path).stat().st_uid, Path(path).stat().st_mode, Path(path, ".holdfast").exists()


def tree(path: Path) -> list[str]:
    return sorted(str(item.relative_to(path)) for item in path.rglob("*"))


@pytest.mark.parametrize("check", [True, False])
def test_what_was_made_goes_and_nothing_else(capsys, host: Host, check) -> None:
    directory = host.root / "a verify"
    assert run(capsys, **own(directory))["changed"]
    assert not run(capsys, **own(directory))["changed"]
    host.as_user("mkdir", str(directory / "scratch"))
    host.as_user("touch", str(directory / "scratch" / "data"), str(directory / "record.json"), str(directory / "notes"))
    before = tree(directory)
    assert run(capsys, check=check, **own(directory, "absent"))["changed"]
    assert tree(directory) == (before if check else ["notes"])
    (directory / "notes").unlink()
    run(capsys, check=check, **own(directory, "absent"))
    assert directory.exists()  # without its mark it is nobody's to remove


def test_an_empty_one_goes_whole(capsys, host: Host) -> None:
    directory = host.root / "verify"
    run(capsys, **own(directory))
    assert run(capsys, **own(directory, "absent"))["changed"]
    assert not directory.exists()
    assert not run(capsys, **own(directory, "absent"))["changed"]


@pytest.mark.parametrize("mark", ["none", "theirs", "a link to root's", "root's of elsewhere", "a second name"])
def test_a_directory_that_was_never_the_component_s_stays(capsys, host: Host, mark: str) -> None:
    run(capsys, **own(host.root / "verify"))
    real = host.root / "verify" / ".holdfast"
    host.as_user("mkdir", str(host.service / "scratch"))
    place = host.service / ".holdfast"
    if mark == "theirs":
        host.as_user("sh", "-c", f"echo x >{place}")
    elif mark == "a link to root's":
        host.plant(place, real)
    elif mark == "root's of elsewhere":
        place.write_text(real.read_text())
    elif mark == "a second name":
        os.link(real, place)
    before = tree(host.service)
    assert not run(capsys, **own(host.service, "absent"))["changed"]
    assert tree(host.service) == before


def test_a_filled_directory_is_not_taken(capsys, host: Host) -> None:
    before = host.untouched()
    for check in (True, False):
        message = run(capsys, check=check, **own(host.precious))["msg"]
        assert message == f"{host.precious}: holds shadow, which belongs to something else; name a separate directory"
    assert host.untouched() == before


def test_what_an_earlier_version_made_is_taken_over(capsys, host: Host) -> None:
    host.as_user("touch", str(host.service / "record.json"))
    assert run(capsys, **own(host.service))["changed"]
    assert run(capsys, **own(host.service, "absent"))["changed"]
    assert not host.service.exists()


@pytest.mark.parametrize("path", ["/", "/srv", "/var/lib", "/root/x", "/usr/local/x", "/reserved/x", "/reserved"])
@pytest.mark.parametrize("check", [True, False])
def test_a_place_of_others_is_refused_by_name(capsys, path: str, check: bool) -> None:
    reserved = ["/reserved"]
    before = status_of(path)
    message = run(capsys, check=check, **own(path, reserved=reserved))["msg"]
    assert f"{path}: overlaps with " in message
    assert "name a directory of its own" in message
    assert status_of(path) == before


def test_a_link_to_a_place_of_others_is_refused(capsys, host: Host) -> None:
    (host.root / "verify").symlink_to("/srv")
    assert "overlaps with /srv" in run(capsys, **own(host.root / "verify"))["msg"]


@pytest.mark.parametrize("path", ["/", "/etc", "/srv", "/var/lib"])
@pytest.mark.parametrize("what", ["directories", "absent"])
def test_the_system_s_directories_stay_as_they_are(capsys, path: str, what: str) -> None:
    before = Path(path).stat()
    asked = [{"path": path, "mode": "0700", **THEIRS}] if what == "directories" else [path]
    for check in (True, False):
        message = run(capsys, check=check, **{what: asked})["msg"]
        assert "is the system's, and stays as it is" in message or "write the whole path" in message
    assert (Path(path).stat().st_uid, Path(path).stat().st_mode) == (before.st_uid, before.st_mode)


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("kind", ["directories", "own_directories"])
def test_a_directory_of_another_service_is_not_given_away(capsys, host: Host, kind: str, check: bool) -> None:
    os.chown(host.precious, 1, 1)
    before = host.untouched()
    (host.root / "link").symlink_to(host.precious)
    for path in (host.precious, host.root / "link"):
        item = {"path": str(path), "mode": "0700", **THEIRS} | (
            {"contents": ["*"]} if kind == "own_directories" else {}
        )
        assert "is daemon's, who may need it" in run(capsys, check=check, **{kind: [item]})["msg"]
    assert host.untouched() == before


def test_a_link_of_root_s_into_the_system_gives_nothing_away(capsys, host: Host) -> None:
    with TemporaryDirectory(dir="/usr/local") as directory:
        before = Path(directory).stat()
        (host.root / "link").symlink_to(directory)
        message = run(capsys, directories=[{"path": str(host.root / "link"), "mode": "0700", **THEIRS}])["msg"]
        assert "link: lies in /usr, which is the system's; name a directory of its own" in message
        assert Path(directory).stat().st_uid == before.st_uid


def test_directories_that_are_right_stay_whoever_s_they_are(capsys, host: Host) -> None:
    os.chown(host.service, 1, 1)
    host.service.chmod(0o750)
    item = {"path": str(host.service), "mode": "0750", "owner": "daemon", "group": "daemon"}
    assert not run(capsys, directories=[item])["changed"]
    assert run(capsys, directories=[{**item, "mode": "0700"}])["changed"]
