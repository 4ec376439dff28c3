# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import safe_path
from ansible_collections.holdfast.ha.plugins.module_utils.safe_path import Access, UnsafePathError

from tests.unit.planting import AS_USER, Host, make_host, needs_root

pytestmark = needs_root
THEIRS = Access(AS_USER.pw_uid, AS_USER.pw_gid, 0o640)


@pytest.fixture
def host() -> Iterator[Host]:
    yield from make_host()


def grant(path: str) -> None:
    with safe_path.parent(path) as (place, name):
        safe_path.grant(place, name, THEIRS)


WAYS = {
    "grant": grant,
    "read": safe_path.read,
    "look": safe_path.look,
    "remove": safe_path.remove,
    "replace": lambda path: safe_path.replace(path, b"", THEIRS),
    "directory": lambda path: safe_path.directory(path, make=True).__enter__(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_planted_link_on_the_way_is_refused_by_name(host: Host, way: str) -> None:
    host.plant(host.service / "link", host.precious)
    before = host.untouched()
    with pytest.raises(UnsafePathError, match=r"/service/link is a symbolic link to .*precious, which nobody could.*"):
        WAYS[way](str(host.service / "link" / "shadow" / "below"))
    assert host.untouched() == before


@pytest.mark.parametrize("way", WAYS)
def test_a_planted_link_itself_leads_nowhere(host: Host, way: str) -> None:
    host.plant(host.service / "link", host.secret)
    before = host.untouched()
    with contextlib.suppress(UnsafePathError, OSError):
        assert not isinstance(WAYS[way](str(host.service / "link")), bytes)
    assert host.untouched() == before


@pytest.mark.parametrize("way", ["grant", "read"])
def test_a_second_name_is_not_taken_for_a_file_of_the_service(host: Host, way: str) -> None:
    os.link(host.secret, host.service / "name")
    before = host.untouched()
    with contextlib.suppress(UnsafePathError):
        assert WAYS[way](str(host.service / "name")) is None
    assert host.untouched() == before


def test_root_s_own_link_is_followed(host: Host) -> None:
    (host.root / "run").symlink_to("precious")
    (host.root / "whole").symlink_to(host.precious)
    for name in ("run", "whole"):
        assert safe_path.read(host.root / name / "shadow") == b"root's own"


def test_a_link_of_root_s_in_a_directory_that_anybody_may_write_to_is_refused(host: Host) -> None:
    (host.service / "link").symlink_to(host.precious)
    with pytest.raises(UnsafePathError):
        safe_path.read(host.service / "link" / "shadow")


def test_the_way_up_is_no_way_out(host: Host) -> None:
    host.plant(host.service / "link", host.root)
    with pytest.raises(UnsafePathError):
        safe_path.read(f"{host.service}/link/../service/x")
    for path in ("relative/file", "/", f"{host.root}/.."):
        with pytest.raises(UnsafePathError, match="write the whole path"):
            safe_path.read(path)


def test_a_circle_of_links_ends(host: Host) -> None:
    (host.root / "a").symlink_to("a")
    with pytest.raises(UnsafePathError):
        safe_path.read(host.root / "a" / "x")


def test_a_pipe_is_not_waited_for(host: Host) -> None:
    host.as_user("mkfifo", str(host.service / "pipe"))
    assert safe_path.read(host.service / "pipe") is None


def test_a_file_is_replaced_whole(host: Host) -> None:
    path = host.service / "x"
    path.symlink_to(host.secret)
    safe_path.replace(path, b"new", THEIRS)
    assert (path.read_bytes(), path.lstat().st_uid, path.lstat().st_mode & 0o777) == (b"new", THEIRS.uid, 0o640)
    assert [item.name for item in host.service.iterdir()] == ["x"]
    assert host.secret.read_text() == "root's own"


def test_a_lock_that_others_could_read_is_root_s_again(host: Host) -> None:
    lock = host.root / "x.lock"
    lock.write_text("")
    lock.chmod(0o644)  # as earlier versions made it
    os.close(safe_path.lock_file(lock))
    assert (lock.stat().st_uid, lock.stat().st_mode & 0o777) == (0, 0o600)
    os.close(safe_path.lock_file(lock, THEIRS.uid))
    assert (lock.stat().st_uid, lock.stat().st_mode & 0o777) == (THEIRS.uid, 0o600)
    lock.unlink()
    lock.symlink_to(host.secret)
    with pytest.raises(OSError, match="symbolic"):
        safe_path.lock_file(lock, THEIRS.uid)
    assert host.secret.stat().st_uid == 0


def test_a_whole_directory_goes_but_not_what_its_links_lead_to(host: Host) -> None:
    (host.service / "data" / "below").mkdir(parents=True)
    (host.service / "data" / "link").symlink_to(host.precious)
    before = host.untouched()
    safe_path.remove(host.service / "data")
    safe_path.remove(host.service / "data")
    assert not (host.service / "data").exists()
    assert host.untouched() == before


def test_what_is_mounted_stays(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    (host.root / "mounts").write_text(f"36 35 98:0 / {host.service}/data/a\\040b rw shared:1 - ext4 /dev/x rw\n")
    monkeypatch.setattr(safe_path, "MOUNTS", host.root / "mounts")
    (host.service / "data" / "a b").mkdir(parents=True)
    with pytest.raises(UnsafePathError, match=r"a file system is mounted at .*data/a b"):
        safe_path.remove(host.service / "data")
    assert (host.service / "data" / "a b").exists()


def test_what_is_larger_than_any_configuration_is_not_read(host: Host) -> None:
    (host.service / "conf").write_bytes(b"x")
    assert safe_path.read(host.service / "conf") == b"x"
    os.truncate(host.service / "conf", 1 << 40)
    assert safe_path.read(host.service / "conf") is None
