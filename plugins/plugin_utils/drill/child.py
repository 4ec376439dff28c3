# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine of a drill, a soak or an exploration as a child process of the controller's task."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.utils.display import Display

PLUGIN_UTILS = "ansible_collections.holdfast.ha.plugins.plugin_utils"
PARENT_SECONDS = 0.5
HEAL_SECONDS = 900.0


def environment() -> dict[str, str]:
    """Return the variables under which Python finds the collection."""
    collections = next(folder.parent for folder in Path(__file__).parents if folder.name == "ansible_collections")
    return {**os.environ, "PYTHONPATH": str(collections)}


class Child:
    """The engine: a child process that ends when its standard input closes."""

    def __init__(self, plan: Any, engine: str) -> None:
        """Start an engine such as C(soak.engine) with its plan."""
        self._parent = os.getppid()
        # A session of its own: a signal to Ansible must not end the engine before it has healed.
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{PLUGIN_UTILS}.{engine}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(),
            start_new_session=True,
        )
        self._write(json.dumps(asdict(plan), default=str).encode() + b"\n")
        self._outcome: dict[str, Any] = {"passed": False, "failure": "the engine ended without a result"}

    def follow(self) -> dict[str, Any]:
        """Show the engine's output until it ends; return its result."""
        begun, pending = time.monotonic(), b""
        try:
            while chunk := self._read():
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    self._hear(line, time.monotonic() - begun)
        finally:
            with contextlib.suppress(OSError):
                if self._process.stdin:
                    self._process.stdin.close()  # the engine heals and ends now
            self._process.wait(HEAL_SECONDS)
        return self._outcome

    def _read(self) -> bytes:
        """Return the engine's output; b"" when the engine or Ansible itself has ended."""
        output = self._process.stdout
        if output is None:
            return b""
        while not select.select([output], [], [], PARENT_SECONDS)[0]:
            if os.getppid() != self._parent:
                return b""
        return os.read(output.fileno(), 65536)

    def _hear(self, line: bytes, seconds: float) -> None:
        if line.startswith(b"{"):
            self._take(json.loads(line), seconds)
        else:  # Python's own error output
            Display().display(line.decode(errors="replace"), color="red")

    def _take(self, message: Mapping[str, Any], seconds: float) -> None:
        if "text" in message:
            Display().display(f"[{seconds:6.1f}s] {message['text']}")
        elif "table" in message:
            Display().display(message["table"])
        elif "result" in message:
            self._outcome = dict(message["result"])

    def _write(self, data: bytes) -> None:
        if self._process.stdin:
            self._process.stdin.write(data)
            self._process.stdin.flush()
