# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.controller_file import replace


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_has_the_mode_less_the_umask(tmp_path, umask):
    path = tmp_path / "new" / "page.html"
    replace(path, b"one", mode=0o666, keep_mode=True)
    assert path.read_bytes() == b"one"
    assert mode_of(path) == 0o640


@pytest.mark.parametrize(("keep", "mode"), [(True, 0o604), (False, 0o600)])
def test_a_file_keeps_its_mode_only_if_asked_for(tmp_path, keep, mode):
    path = tmp_path / "page.html"
    path.write_bytes(b"one")
    path.chmod(0o604)
    replace(path, b"two", mode=0o600, keep_mode=keep)
    assert (path.read_bytes(), mode_of(path)) == (b"two", mode)


def test_a_link_stays_a_link(tmp_path):
    link, target = tmp_path / "link", tmp_path / "target"
    target.write_bytes(b"one")
    link.symlink_to(target)
    replace(link, b"two", mode=0o600, keep_mode=True)
    assert link.is_symlink()
    assert target.read_bytes() == b"two"


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a directory, no file"):
        replace(tmp_path, b"two", mode=0o600, keep_mode=True)
    assert list(tmp_path.iterdir()) == []


def test_what_fails_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_bytes(b"one")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace(path, b"two", mode=0o600, keep_mode=True)
    assert [item.name for item in tmp_path.iterdir()] == ["page.html"]
    assert path.read_bytes() == b"one"
