# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The next cycle begins when the postmaster has died."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from patroni_start.postmaster import watching_postmaster

GONE = 2**22 + 1  # above the greatest process id that Linux allows


class Cycle:
    """Patroni's Ha as far as it matters here."""

    def __init__(self, data_directory):
        self.state_handler = SimpleNamespace(data_dir=str(data_directory))
        self.woken = threading.Event()
        self.wakeup = self.woken.set
        self.is_paused = lambda: False
        self._async_executor = SimpleNamespace(busy=False)


def wait(cycle, timeout):
    return cycle.woken.wait(timeout)


def test_the_cycle_begins_when_the_postmaster_dies(tmp_path, process):
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n{tmp_path}\n")
    cycle, watch = Cycle(tmp_path), watching_postmaster(wait)
    assert not watch(cycle, 0.05)
    process.kill()
    assert watch(cycle, 30)
    assert not Path(f"/proc/{process.pid}").exists()


@pytest.mark.parametrize("content", [None, "", f"{GONE}\n"], ids=["no file", "empty", "of a dead process"])
def test_without_a_postmaster_the_wait_is_patroni_s_own(tmp_path, content):
    if content is not None:
        (tmp_path / "postmaster.pid").write_text(content)
    assert not watching_postmaster(wait)(Cycle(tmp_path), 0.05)


def test_a_postmaster_is_guarded_once(tmp_path, process, monkeypatch):
    opened = []

    def refuse(pid):
        opened.append(pid)
        raise PermissionError

    monkeypatch.setattr("os.pidfd_open", refuse)
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n")
    cycle, watch = Cycle(tmp_path), watching_postmaster(wait)
    for _cycle in range(3):
        watch(cycle, 0.05)
    assert opened == [process.pid]


def test_where_processes_can_t_be_waited_for_the_wait_is_patroni_s_own(tmp_path, process, monkeypatch):
    def refuse(_pid):
        raise PermissionError

    monkeypatch.setattr("os.pidfd_open", refuse)
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n")
    cycle, watch = Cycle(tmp_path), watching_postmaster(wait)
    assert not any(watch(cycle, 0.05) for _cycle in range(3))


def test_where_no_thread_can_be_had_the_wait_is_patroni_s_own(tmp_path, process, monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n")
    assert not watching_postmaster(wait)(Cycle(tmp_path), 0.05)


def test_in_a_pause_nobody_is_woken(tmp_path, process):
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n")
    cycle, watch = Cycle(tmp_path), watching_postmaster(wait)
    cycle.is_paused = lambda: True
    watch(cycle, 0.05)
    process.kill()
    assert not watch(cycle, 0.3)


def test_who_stops_the_postmaster_is_not_held_up_by_a_cycle(tmp_path, process):
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n")
    cycle, watch = Cycle(tmp_path), watching_postmaster(wait)
    cycle._async_executor.busy = True
    watch(cycle, 0.05)
    process.kill()
    assert not watch(cycle, 0.3)
