# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's processes, found in /proc and watched by their file descriptors."""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Iterator
from pathlib import Path

REAPED_SECONDS = 1.0  # a dead process exists in /proc until its parent reaps it


def postmaster_of(data_directory: Path) -> int:
    """Return the process id in a data directory's postmaster.pid, 0 without one."""
    try:
        return int((data_directory / "postmaster.pid").read_text(encoding="ascii").split("\n")[0])
    except (OSError, ValueError):
        return 0


def runs(pid: int) -> bool:
    """Whether there is such a process."""
    return pid > 0 and Path(f"/proc/{pid}").exists()


def wait_for_end(pid: int, seconds: float | None = None) -> bool:
    """Wait up to some seconds until a process has ended and is reaped; return whether it has.

    Raises OSError where the kernel refuses a file descriptor of the process.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        if not ended.poll(None if seconds is None else seconds * 1000):
            return False
    finally:
        os.close(descriptor)
    deadline = time.monotonic() + REAPED_SECONDS
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return True


def children_of(postmaster: int, title: re.Pattern[str]) -> Iterator[int]:
    """Yield the process ids of a postmaster's children with such a title."""
    try:
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text(encoding="ascii").split()
    except OSError:
        return
    yield from (int(child) for child in children if title.fullmatch(title_of(child)))


def title_of(process: str) -> str:
    """Return a process's title, "" when it is gone."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
