# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of a report as the desk over which tasks and the engine talk: small files, no socket.

engine.json: the engine's state, replaced as a whole; marks.jsonl: one mark per line, in seconds on the machine's
monotonic clock, which all its processes share; finish: present once the work has ended; engine.log: what it says.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.life import Process

STARTING, RUNNING, COUNTING, ENDED = "starting", "running", "counting", "ended"
BEGIN, END = "begin", "end"
LAST_LINES = 12


@dataclass(frozen=True, slots=True)
class State:
    """What the engine does, who it is, and, once it has ended, its result."""

    name: str
    engine: Process
    text: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mark:
    """The begin or the end of a step; at: seconds on the machine's monotonic clock."""

    at: float
    host: str
    text: str
    edge: str


class Desk:
    """One report's directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "engine.log"
        self._state = directory / "engine.json"
        self._marks = directory / "marks.jsonl"
        self._finish = directory / "finish"

    def clear(self) -> None:
        """Make the directory, without the files of an earlier engine."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for path in (self._state, self._marks, self._finish, self.log):
            path.unlink(missing_ok=True)

    # The tasks' side

    def mark(self, host: str, text: str, edge: str) -> None:
        """Append a mark with the present time."""
        line = json.dumps(asdict(Mark(time.monotonic(), host, text, edge)), ensure_ascii=False) + "\n"
        descriptor = os.open(self._marks, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def ask_to_finish(self) -> None:
        """Tell the engine that the work has ended."""
        self._finish.touch()

    def state(self) -> State | None:
        """Return what the engine told last, None before it told anything."""
        try:
            found = json.loads(self._state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return State(**{**found, "engine": Process(**found["engine"])})

    def last_words(self) -> str:
        """Return the last lines of the engine's log, for a message."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "; ".join(filter(None, map(_spoken, lines[-LAST_LINES:])))

    # The engine's side

    def tell(self, state: State) -> None:
        """Replace the state."""
        fresh = self._state.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(state), ensure_ascii=False), encoding="utf-8")
        fresh.replace(self._state)

    @property
    def asked_to_finish(self) -> bool:
        """Whether the work has ended."""
        return self._finish.exists()

    def marks(self) -> list[Mark]:
        """Return all marks; a line that was cut off is left out."""
        found = []
        lines = self._marks.read_text(encoding="utf-8").splitlines() if self._marks.exists() else []
        for line in lines:
            try:
                found.append(Mark(**json.loads(line)))
            except (ValueError, TypeError):
                continue
        return found


def _spoken(line: str) -> str:
    """Return a line of the log: the text of a message, or Python's own words."""
    try:
        return str(json.loads(line).get("text", ""))
    except (ValueError, AttributeError):
        return line.strip()
