# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes in a repacked Debian package, and what does not."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from lab import repack as sut

CONTROL = """\
Package: big-common
Source: big (2:1.0-1)
Version: 2:1.0-1+b1
Architecture: amd64
Depends: big-data (= 1.0-1), libbig5 (>= 2:1.0-1+b1), libbig5:any (<= 2:1.0-1+b1), other (= 2:1.0-1+b1),
 big-tools ( = 2:1.0-1+b1) | tiny
Breaks: libbig5 (<< 2:1.0-1+b1)
Provides: libbig5 (= 2:1.0-1+b1)
Description: a package, not libbig5 (= 2:1.0-1+b1)
"""
VERSIONS = {
    "big-common": ("2:1.0-1+b1", "2:1.0-1+b1+holdfast3"),
    "big-tools": ("2:1.0-1+b1", "2:1.0-1+b1+holdfast3"),
    "libbig5": ("2:1.0-1+b1", "2:1.0-1+b1+holdfast3"),
    "big-data": ("1.0-1", "1.0-1+holdfast3"),
}
RAISED = """\
Package: big-common
Source: big (2:1.0-1)
Version: 2:1.0-1+b1+holdfast3
Architecture: amd64
Depends: big-data (= 1.0-1+holdfast3), libbig5 (>= 2:1.0-1+b1), libbig5:any (<= 2:1.0-1+b1+holdfast3), other (= 2:1.0-1+b1),
 big-tools ( = 2:1.0-1+b1+holdfast3) | tiny
Breaks: libbig5 (<< 2:1.0-1+b1)
Provides: libbig5 (= 2:1.0-1+b1)
Description: a package, not libbig5 (= 2:1.0-1+b1)
"""  # noqa: E501
SCRIPT = b"#!/bin/sh\nexit 0\n"
DATA = b"not even an archive"  # of an odd length


def package(text: str = CONTROL) -> bytes:
    """A .deb with a control file and a maintainer script."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz") as archive:
        for name, content, mode in (("./postinst", SCRIPT, 0o755), ("./control", text.encode(), 0o644)):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(content), mode, 1234567890
            archive.addfile(member, io.BytesIO(content))
    return sut.joined([("debian-binary", b"2.0\n"), ("control.tar.xz", out.getvalue()), ("data.tar.xz", DATA)])


def test_the_version_and_exact_relations_follow():
    assert sut.raised(CONTROL, VERSIONS) == RAISED


def test_all_else_of_a_package_stays():
    before, after = sut.members(package()), sut.members(sut.repacked(package(), VERSIONS))
    assert [name for name, _content in after] == ["debian-binary", "control.tar.xz", "data.tar.xz"]
    assert (after[0], after[2]) == (before[0], before[2])
    assert sut.control(sut.repacked(package(), VERSIONS)) == RAISED
    with tarfile.open(fileobj=io.BytesIO(after[1][1])) as archive:
        script = archive.getmember("./postinst")
        assert (script.mode, script.mtime) == (0o755, 1234567890)
        assert archive.extractfile(script).read() == SCRIPT


def test_what_is_no_package_is_refused():
    with pytest.raises(ValueError, match="not an ar archive"):
        sut.members(b"hello")


@pytest.mark.parametrize(
    ("version", "serial"), [("1.0-1", 0), ("1.0-1+holdfast1", 1), ("1:1+b2+holdfast12", 12), ("1+holdfast1-2", 0)]
)
def test_serial(version: str, serial: int):
    assert sut.serial(version) == serial


def test_the_next_serial_is_above_all_that_is_served_or_installed(tmp_path: Path):
    assert sut._next_serial(tmp_path, {"a": ["1.0-1"]}) == 1
    assert sut._next_serial(tmp_path, {"a": ["1.0-1", "1.0-1+holdfast4"], "b": []}) == 5
    served = tmp_path / "pool/trixie/a_1.0-1+holdfast6_amd64.deb"
    served.parent.mkdir(parents=True)
    served.touch()
    assert sut._next_serial(tmp_path, {"a": ["1.0-1+holdfast4"]}) == 7


def test_the_index_names_each_package_of_its_suite(tmp_path: Path):
    content = package()
    file = tmp_path / "pool/trixie-security/big-common_1.0-1_amd64.deb"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    (tmp_path / "dists/old").mkdir(parents=True)
    sut.write_index(tmp_path, "trixie", "amd64")
    index = (tmp_path / "dists/trixie-security/main/binary-amd64/Packages").read_text()
    assert index == (
        CONTROL
        + "Filename: pool/trixie-security/big-common_1.0-1_amd64.deb\n"
        + f"Size: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
    )
    release = (tmp_path / "dists/trixie-security/Release").read_text()
    assert "Origin: Debian\nLabel: Debian-Security\nSuite: stable-security\nCodename: trixie-security\n" in release
    assert f" {hashlib.sha256(index.encode()).hexdigest()} {len(index)} main/binary-amd64/Packages\n" in release
    assert (tmp_path / "dists/trixie/main/binary-amd64/Packages").read_text() == ""
    assert sorted(path.name for path in (tmp_path / "dists").iterdir()) == ["trixie", "trixie-security"]
