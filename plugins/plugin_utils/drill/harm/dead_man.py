# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A timer on the controller that undoes a harm even after the engine was killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence

LATER = 'sleep "$0"; exec "$@"'


class DeadMan:
    """A process in its own session that runs a command after some seconds, even if this process has ended."""

    def __init__(self, seconds: float, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            ["sh", "-c", LATER, f"{seconds:g}", *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def disarm(self) -> None:
        """End the process; without effect when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
