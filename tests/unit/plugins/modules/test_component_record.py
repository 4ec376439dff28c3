# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module component notes what it wrote."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import managed_files, safe_path

from tests.unit.planting import Host, make_host, needs_root
from tests.unit.plugins.modules.test_component_paths import run

pytestmark = needs_root


@pytest.fixture
def host() -> Iterator[Host]:
    yield from make_host()


def drifted() -> list[str]:
    return managed_files.differing(managed_files.load(), safe_path.read)


def test_what_others_change_shows_until_the_next_run(capsys, host: Host, record_of_files: Path) -> None:
    path = host.root / "own.conf"
    wanted = {"files": [{"path": str(path), "content": "ours"}]}
    run(capsys, check=True, **wanted)
    assert not record_of_files.exists()
    run(capsys, **wanted)
    assert (managed_files.load(), drifted()) == ({str(path): managed_files.digest(b"ours")}, [])
    assert stat.S_IMODE(record_of_files.stat().st_mode) == 0o600
    path.write_text("theirs")
    assert drifted() == [str(path)]
    path.unlink()
    assert drifted() == [str(path)]
    assert run(capsys, **wanted)["changed"]
    assert drifted() == []


def test_a_run_that_changes_nothing_writes_no_record(capsys, host: Host, record_of_files: Path) -> None:
    wanted = {"files": [{"path": str(host.root / "own.conf"), "content": "ours"}]}
    run(capsys, **wanted)
    before = record_of_files.stat()
    assert not run(capsys, **wanted)["changed"]
    assert record_of_files.stat().st_ino == before.st_ino


@pytest.mark.parametrize("absent", ["own.conf", "."])
def test_what_is_removed_is_forgotten(capsys, host: Host, absent: str) -> None:
    directory = host.root / "own"
    run(capsys, files=[{"path": str(directory / "own.conf"), "content": "ours"}])
    run(capsys, absent=[str(directory / absent)])
    assert managed_files.load() == {}
