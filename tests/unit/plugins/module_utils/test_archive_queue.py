# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.archive_queue import Queue, read_queue

NOW = 1_000_000.0


@pytest.fixture
def server(tmp_path: Path) -> Path:
    (tmp_path / "data/pg_wal/archive_status").mkdir(parents=True)
    (tmp_path / "spool/archive/lab/out").mkdir(parents=True)
    return tmp_path


def mark(server: Path, name: str, age: float) -> None:
    path = server / "data/pg_wal/archive_status" / name
    path.touch()
    os.utime(path, (NOW - age, NOW - age))


def read(server: Path) -> Queue:
    return read_queue(server / "data", server / "spool", "lab", NOW)


def test_nothing_waits(server: Path) -> None:
    mark(server, "000000010000000000000001.done", 500)
    assert read(server) == Queue(0, None, "")


def test_what_waits_is_counted_from_the_oldest(server: Path) -> None:
    mark(server, "000000010000000000000002.ready", 90)
    mark(server, "000000010000000000000003.ready", 30)
    mark(server, "00000002.history.ready", 20)
    assert read(server) == Queue(3, 90, "")


def test_a_clock_that_was_set_back(server: Path) -> None:
    mark(server, "000000010000000000000002.ready", -60)
    assert read(server).age == 0


def test_a_link_among_the_marks_is_not_followed(server: Path) -> None:
    mark(server, "old", 5000)
    path = server / "data/pg_wal/archive_status/000000010000000000000002.ready"
    path.symlink_to(server / "data/pg_wal/archive_status/old")
    os.utime(path, (NOW - 90, NOW - 90), follow_symlinks=False)
    assert read(server) == Queue(1, 90, "")


def test_the_reason(server: Path) -> None:
    out = server / "spool/archive/lab/out"
    (out / "000000010000000000000002.error").write_text("103\nunable to find\n  a valid repository")
    (out / "000000010000000000000003.error").write_text("49\nconnection refused")
    (out / "000000010000000000000001.ok").touch()
    assert read(server).error == "[103] unable to find a valid repository"


def test_a_host_without_a_server(tmp_path: Path) -> None:
    assert read(tmp_path) == Queue(0, None, "")
