# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON lines: requests come in, answers and streams go out."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

FLUSH_SECONDS = 0.1


class Wire:
    """The agent's two pipes; any thread may send."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, list[list[Any]]] = {}
        self._flushed = time.monotonic()

    def requests(self) -> Iterator[dict[str, Any]]:
        """Yield requests until the controller is gone."""
        for line in sys.stdin.buffer:
            yield json.loads(line)

    def send(self, message: dict[str, Any]) -> None:
        """Send one message; exit when the reader is gone."""
        data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._write(data)

    def record(self, stream: str, row: list[Any]) -> None:
        """Add a row to a stream; rows travel together, ten times a second."""
        with self._lock:
            self._rows.setdefault(stream, []).append(row)
            if time.monotonic() - self._flushed >= FLUSH_SECONDS:
                self._flush()

    def flush_when_due(self) -> None:
        """Send the rows that have waited long enough."""
        with self._lock:
            if time.monotonic() - self._flushed >= FLUSH_SECONDS:
                self._flush()

    def flush(self) -> None:
        """Send the rows that wait."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, {}
        self._flushed = time.monotonic()
        if rows:
            self._write(json.dumps({"rows": rows}, separators=(",", ":")).encode() + b"\n")

    @staticmethod
    def _write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]
