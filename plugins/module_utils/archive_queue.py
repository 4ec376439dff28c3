# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WAL that waits to be archived: PostgreSQL's marks, and the results of the last attempts in pgBackRest's spool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARKS = "pg_wal/archive_status"
"""PostgreSQL's directory of marks, in its data directory."""
READY = "*.ready"
ERROR = "*.error"


@dataclass(frozen=True)
class Queue:
    """The number of waiting files, the age of the oldest in seconds (None without any), and the reason ("" if
    unknown)."""

    waiting: int
    age: int | None
    error: str


def read_queue(data_directory: Path, spool: Path, stanza: str, now: float) -> Queue:
    """Read the queue of a server by its data directory; C(spool) is pgBackRest's, C(now) seconds since the epoch.

    Raises OSError for a directory that can't be read; one that isn't there has no queue.
    """
    return marked(data_directory / MARKS, now, _error(spool / "archive" / stanza / "out"))


def marked(directory: Path, now: float, error: str = "") -> Queue:
    """Read the queue of PostgreSQL's directory MARKS; raises OSError."""
    times = list(_times(directory))
    return Queue(len(times), max(0, int(now - min(times))) if times else None, error)


def _times(directory: Path) -> Iterator[float]:
    for path in directory.glob(READY):
        try:
            yield path.lstat().st_mtime
        except FileNotFoundError:  # archived meanwhile
            continue


def _error(directory: Path) -> str:
    """Return pgBackRest's error for the oldest segment that it failed to archive; a file has its code, then the
    message."""
    for path in sorted(directory.glob(ERROR)):
        try:
            code, _newline, message = path.read_text(encoding="utf-8", errors="replace").partition("\n")
        except FileNotFoundError:
            continue
        return f"[{code.strip()}] {' '.join(message.split())}"
    return ""
