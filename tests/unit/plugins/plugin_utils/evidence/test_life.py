# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that live, have died, or whose number belongs to another one now."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.life import Process, process

STAT = "{pid} (a (b) c) {state} 1 1 1 0 -1 4194304 1 0 0 0 1 1 0 0 20 0 1 0 {started} 1 1\n"


def fake(proc: Path, pid: int, state: str, started: int) -> None:
    (proc / str(pid)).mkdir(exist_ok=True)
    (proc / str(pid) / "stat").write_text(STAT.format(pid=pid, state=state, started=started))


@pytest.mark.parametrize(("state", "started", "lives"), [("S", 77, True), ("Z", 77, False), ("S", 78, False)])
def test_a_process_by_its_state_and_its_start(tmp_path: Path, state: str, started: int, lives: bool) -> None:
    fake(tmp_path, 41, "R", 77)
    found = process(41, tmp_path)
    assert found == Process(41, "77")
    fake(tmp_path, 41, state, started)
    assert found.lives(tmp_path) is lives


def test_a_process_that_is_gone(tmp_path: Path) -> None:
    assert not Process(41, "77").lives(tmp_path)


def test_real_processes() -> None:
    assert process(os.getpid()).lives()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        found = process(child.pid)
        assert found.lives()
        child.kill()
        child.wait()
    assert not found.lives()


def test_without_proc_the_number_decides(tmp_path: Path) -> None:
    assert Process(os.getpid()).lives(tmp_path)
    assert not Process(2**22 + 1).lives(tmp_path)
