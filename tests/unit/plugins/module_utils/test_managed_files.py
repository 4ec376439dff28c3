# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import managed_files as sut
from ansible_collections.holdfast.ha.plugins.module_utils.component import Kind, WantedPath, absence

KNOWN = {"/etc/x/one": "1", "/etc/x/two": "2", "/etc/xy": "3"}


def file(path: str, content: str) -> WantedPath:
    return WantedPath(path, Kind.FILE, content=content)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([], KNOWN),
        ([file("/etc/x/one", "new")], {**KNOWN, "/etc/x/one": sut.digest(b"new")}),
        ([file("/etc/odd", "\udcff")], {**KNOWN, "/etc/odd": sut.digest(b"\xff")}),
        ([file("/run/x", "gone at the next boot")], KNOWN),
        ([WantedPath("/etc/directory", Kind.DIRECTORY)], KNOWN),
        ([absence("/etc/x/one")], {"/etc/x/two": "2", "/etc/xy": "3"}),
        ([absence("/etc/x")], {"/etc/xy": "3"}),
        ([absence("/etc/x"), file("/etc/x/one", "")], {"/etc/xy": "3", "/etc/x/one": sut.digest(b"")}),
    ],
)
def test_the_record_follows_what_was_wanted(wanted, expected):
    assert sut.updated(KNOWN, wanted) == expected


def test_files_that_differ_or_are_gone_are_named():
    there = {"/same": b"a", "/other": b"b"}
    known = {"/same": sut.digest(b"a"), "/other": sut.digest(b"a"), "/gone": sut.digest(b"a")}
    assert sut.differing(known, there.get) == ["/other", "/gone"]


@pytest.mark.parametrize("content", [b"", b"no JSON", b"[1]", b'"x"'])
def test_a_damaged_record_is_none(tmp_path: Path, content):
    path = tmp_path / "files.json"
    path.write_bytes(content)
    assert sut.load(str(path)) == {}
    assert sut.load(str(tmp_path / "none")) == {}
    sut.save(KNOWN, str(path))
    assert sut.load(str(path)) == KNOWN
