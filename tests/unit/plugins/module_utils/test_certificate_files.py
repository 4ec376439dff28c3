# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_files import (
    File,
    differs,
    put,
    put_directory,
    read,
    unknown_accounts,
)
from ansible_collections.holdfast.ha.plugins.module_utils.safe_path import UnsafePathError

from tests.unit.planting import make_host, needs_root

OWNER = pwd.getpwuid(os.getuid()).pw_name
GROUP = grp.getgrgid(os.getgid()).gr_name


def wanted(path: Path, content: bytes | None = b"new", mode: int = 0o640, group: str = GROUP) -> File:
    return File(str(path), content, OWNER, group, mode)


@pytest.mark.parametrize("content", [None, b"old", b"new"])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_put_once(tmp_path: Path, content: bytes | None, mode: int) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    file = wanted(path)
    assert differs(file) is not (content == b"new" and mode == 0o640)
    put(file)
    assert not differs(file)
    assert read(str(path)) == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_leftover_of_a_killed_run_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".file.new").write_bytes(b"half")
    put(wanted(tmp_path / "file"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@needs_root
@pytest.mark.parametrize("content", [None, b"new"])
def test_a_planted_link_is_not_given_away(content: bytes | None) -> None:
    for host in make_host():
        for planted, target in (("host.key", host.secret), ("tls", host.precious)):
            host.plant(host.service / planted, target)
        before = host.untouched()
        file = wanted(host.service / "host.key", content)
        assert differs(file)
        if content is None:
            with pytest.raises(UnsafePathError, match="is a symbolic link"):
                put(file)
        else:
            put(file)
            assert not differs(file)
        with pytest.raises(UnsafePathError, match="is a symbolic link"):
            put_directory(f"{host.service}/tls")
        with pytest.raises(UnsafePathError, match="is a symbolic link"):
            put(wanted(host.service / "tls" / "x"))
        assert host.untouched() == before


def test_without_content_only_attributes_matter(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = wanted(path, content=None)
    assert not differs(file)
    path.write_bytes(b"anything")
    path.chmod(0o666)
    assert differs(file)
    put(file)
    assert not differs(file)
    assert read(str(path)) == b"anything"


def test_unknown_group_differs(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"new")
    file = wanted(path, group="no-such-group")
    assert differs(file)
    assert unknown_accounts([file]) == ["group no-such-group"]


def test_a_link_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"new")
    target.chmod(0o640)
    link = tmp_path / "file"
    link.symlink_to(target)
    assert differs(wanted(link))
