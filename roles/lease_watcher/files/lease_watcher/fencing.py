# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's command that reports whether a node is off: exit status 0 means yes, any other means no."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Collection, Sequence

from lease_watcher.core import Leadership

MEMBER = "{member}"
PAUSE = 1.0  # seconds from one run's end to the next run


class Fencing:
    """Runs the command beside the rounds, for one leadership at a time.

    It is asked about these members only. A leader's name comes from etcd, and becomes an argument of the command.
    """

    def __init__(self, command: Sequence[str], timeout: float, members: Collection[str]) -> None:
        self._command = tuple(command)
        self._timeout = timeout
        self._members = frozenset(members)
        self._process: subprocess.Popen[bytes] | None = None
        self._about: Leadership | None = None
        self._until = 0.0
        self._again = 0.0
        self.confirmed: Leadership | None = None

    def knows(self, leadership: Leadership) -> bool:
        """Whether the leader is one of the members, so that the command may be asked about it."""
        return not self._command or leadership.member in self._members

    def ask(self, leadership: Leadership) -> bool:
        """Start the command, unless it runs or ran just now; return whether it was started."""
        now = time.monotonic()
        if not self._command or not self.knows(leadership) or self._process is not None or now < self._again:
            return False
        argv = [part.replace(MEMBER, leadership.member) for part in self._command]
        environment = {**os.environ, "HOLDFAST_MEMBER": leadership.member}
        self._about, self._until, self._again = leadership, now + self._timeout, now + PAUSE
        try:
            self._process = subprocess.Popen(
                argv, env=environment, stdin=subprocess.DEVNULL, start_new_session=True, close_fds=True
            )
        except OSError:
            return False
        return True

    def poll(self) -> int | None:
        """Check for the command's end; return its exit status if it has just ended (-1: it took too long)."""
        if self._process is None:
            return None
        status = self._process.poll()
        if status is None and time.monotonic() < self._until:
            return None
        if status is None:
            self._end()
        self._process, self._again = None, time.monotonic() + PAUSE
        if status == 0:
            self.confirmed = self._about
        return -1 if status is None else status

    def forget(self) -> None:
        """Drop the answer: the leader is alive, or another member leads."""
        self.confirmed = None
        if self._process is not None:
            self._end()
            self._process = None

    def _end(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
