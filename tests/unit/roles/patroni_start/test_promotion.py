# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The signal to promote is repeated until PostgreSQL promotes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from patroni_start.promotion import repeating_signal, signal_to_promote, startup_process_of

GONE = 2**22 + 1  # above the greatest process id that Linux allows


RECOVERING = "postgres: lab: startup recovering 000000010000000000000007"
POSTMASTER = """
import subprocess, sys
program, *titles = sys.argv[1:]
known_as = ["bash", "-c", 'exec -a "$0" "$1"']
children = [subprocess.Popen([*known_as, title, sys.executable], stdin=subprocess.PIPE, text=True) for title in titles]
for child in children:
    child.stdin.write(program)
    child.stdin.close()
for child in children:
    child.wait()
"""
CHILD = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
os.write(1, b"ready\\n")
signal.sigwait({signal.SIGUSR2})
signal.sigwait({signal.SIGUSR2})
"""


@pytest.fixture
def postmaster(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a postmaster with children of the given titles; each ends when it was told to promote twice."""
    started: list[subprocess.Popen[str]] = []

    def start(*titles: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-c", POSTMASTER, CHILD, *titles]
        one = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(one)
        assert one.stdout is not None
        assert [one.stdout.readline() for _title in titles] == ["ready\n"] * len(titles)
        (tmp_path / "postmaster.pid").write_text(f"{one.pid}\n")
        return one

    yield start
    for one in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)
        one.communicate()


def test_postgresql_is_told_until_it_promotes(tmp_path, postmaster):
    started = postmaster(RECOVERING)
    wait_promote = repeating_signal(lambda _postgresql, seconds: started.wait(seconds))
    assert wait_promote(SimpleNamespace(data_dir=str(tmp_path)), 30) == 0


def test_nobody_else_is_told(tmp_path, postmaster):
    started = postmaster(
        "postgres: lab: checkpointer", "postgres: startup: checkpointer", "postgres: a: startup b: checkpointer"
    )
    assert startup_process_of(started.pid) == 0


def test_it_is_told_for_so_long_at_most(tmp_path, postmaster, monkeypatch):
    told = []
    monkeypatch.setattr("signal.pidfd_send_signal", lambda *args: told.append(args))
    started = postmaster(RECOVERING)
    signal_to_promote(tmp_path, 0.3)
    assert told
    assert started.poll() is None


@pytest.mark.parametrize(
    "title",
    [
        "postgres: startup",
        "postgres: lab: startup ",
        RECOVERING,
        f"{RECOVERING} waiting",
        "postgres: lab: startup waiting for 00000002000000040000001F",
    ],
)
def test_the_startup_process_is_known_by_its_title(postmaster, title):
    started = postmaster("postgres: lab: checkpointer", title)
    found = startup_process_of(started.pid)
    assert title in Path(f"/proc/{found}/cmdline").read_text()


@pytest.mark.parametrize("content", ["", f"{GONE}\n"], ids=["empty", "of a dead process"])
def test_without_postgresql_nobody_is_told(tmp_path, monkeypatch, content):
    told = []
    monkeypatch.setattr("signal.pidfd_send_signal", lambda *args: told.append(args))
    (tmp_path / "postmaster.pid").write_text(content)
    signal_to_promote(tmp_path, 0.3)
    assert not told


def test_where_no_thread_can_be_had_a_promotion_is_patroni_s_own(tmp_path, monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    assert repeating_signal(lambda _postgresql, seconds: seconds)(SimpleNamespace(data_dir=str(tmp_path)), 7) == 7
