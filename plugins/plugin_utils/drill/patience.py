# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits with a deadline, reports progress meanwhile, and ends at once when the drill is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.recorder import Recorder

POLL_SECONDS = 0.25
TELL_SECONDS = 2.0
SHOWN = 90


class StoppedError(Exception):
    """The controller's process has ended, or the user pressed Ctrl-C."""


class GateError(Exception):
    """The cluster is not in the state that a drill requires."""


class Patience:
    """Waits and reports; the label, such as the current injection, precedes every line."""

    def __init__(self, recorder: Recorder, stop: threading.Event, tell: Callable[[str], None]) -> None:
        self._recorder = recorder
        self._stop = stop
        self._tell = tell
        self._told = 0.0
        self.label = ""

    def until(self, holds: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until a condition holds; raises GateError when that takes too long."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                cause = self._recorder.complaint()
                raise GateError(f"not within {seconds:g} s: {what}{f'; a client says: {cause}' if cause else ''}")
            self.progress(f"waiting for {what}")
            self.pause()

    def pause(self) -> None:
        """Wait a moment; raises StoppedError."""
        if self._stop.wait(POLL_SECONDS):
            raise StoppedError

    def tell(self, text: str) -> None:
        """Print a line."""
        self._tell(f"{self.label}: {text}")

    def progress(self, text: str) -> None:
        """Print the state of a wait and the rate of writes, at most every TELL_SECONDS."""
        now = time.monotonic()
        if now - self._told < TELL_SECONDS:
            return
        self._told = now
        silence = self._recorder.silence()
        quiet = f", none for {silence:.1f} s" if 1.0 < silence < float("inf") else ""
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
        self.tell(f"{shown}; {self._recorder.rate():.0f} rows/s acknowledged{quiet}")
