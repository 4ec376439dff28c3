# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: progress
type: aggregate
short_description: Show what a long task is waiting for
version_added: 1.0.0
description:
  - Writes a line to standard error at regular intervals during a long task, with the elapsed seconds and the hosts that
    have not finished it.
author: Holdfast contributors (@holdfast)
requirements:
  - C(callbacks_enabled) in ansible.cfg must list it.
options:
  interval:
    description: Seconds between two lines about the same task.
    type: float
    default: 10
    ini:
      - {section: callback_progress, key: interval}
    env:
      - {name: HOLDFAST_PROGRESS_INTERVAL}
"""

import os
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from ansible.plugins.callback import CallbackBase

_TICK_SECONDS = 0.5


@dataclass
class Wait:
    """A running task, its start (monotonic seconds), the hosts that still work on it, and the time of the next line."""

    task: str
    begun: float
    next_line: float
    hosts: set[str] = field(default_factory=set)

    def line(self, now: float, interval: float) -> str | None:
        """Return the line that is due now, or None."""
        if not self.hosts or now < self.next_line:
            return None
        self.next_line = now + interval
        return f"  … {now - self.begun:.0f} s: {self.task}: {', '.join(sorted(self.hosts))}\n"


class CallbackModule(CallbackBase):
    """Track which hosts are at work; a thread of its own writes the lines, because the main thread waits for the
    hosts."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "holdfast.ha.progress"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._wait: Wait | None = None
        self._over = threading.Event()

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Start the thread."""
        threading.Thread(target=self._watch, args=(float(self.get_option("interval")),), daemon=True).start()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Replace the previous task."""
        now = time.monotonic()
        self._wait = Wait(task.get_name(), now, now + float(self.get_option("interval")))

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Count a host in."""
        if self._wait:
            self._wait.hosts.add(host.get_name())

    def _finished(self, result: Any, **_options: Any) -> None:
        if self._wait:
            self._wait.hosts.discard(result.host.get_name())

    v2_runner_on_ok = v2_runner_on_failed = v2_runner_on_skipped = v2_runner_on_unreachable = _finished

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Stop the thread."""
        self._over.set()

    def _watch(self, interval: float) -> None:
        while not self._over.wait(_TICK_SECONDS):
            wait = self._wait
            line = wait.line(time.monotonic(), interval) if wait else None
            if line:  # no lock is held here, because a worker may be forked at any moment
                os.write(sys.stderr.fileno(), line.encode())
