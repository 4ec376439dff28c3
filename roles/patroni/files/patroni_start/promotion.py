# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL gets the signal to promote until it promotes.

A startup process that gets it while it looks for a lost primary first sleeps for the rest of
wal_retrieve_retry_interval.
"""

from __future__ import annotations

import logging
import os
import re
import select
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from patroni_start.processes import children_of, postmaster_of

LOG = logging.getLogger(__name__)
SIGNAL_SECONDS, LAST_SIGNAL_SECONDS = 0.05, 60.0
STARTUP = re.compile(r"postgres: (?:[^:]*: )?startup(?: (?:recovering|waiting for) [0-9A-F]{24})?(?: waiting)?[\s\0]*")


def repeating_signal(wait_promote: Callable[..., Any]) -> Callable[..., Any]:
    """Return Patroni's wait for a promotion (Postgresql._wait_promote), which repeats the signal to PostgreSQL."""

    def wait_insistently(postgresql: Any, seconds: float) -> Any:
        try:
            threading.Thread(target=signal_to_promote, args=(Path(postgresql.data_dir),), daemon=True).start()
        except Exception:  # the promotion goes on without it
            LOG.exception("PostgreSQL gets the signal to promote only once")
        return wait_promote(postgresql, seconds)

    return wait_insistently


def signal_to_promote(data_directory: Path, seconds: float = LAST_SIGNAL_SECONDS) -> None:
    """Send PostgreSQL's startup process the signal to promote until it has ended, up to some seconds."""
    try:
        descriptor = os.pidfd_open(startup_process_of(postmaster_of(data_directory)))
    except (OSError, ValueError):  # it has already ended, or can't be watched
        return
    ended = select.poll()
    ended.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline and not ended.poll(SIGNAL_SECONDS * 1000):
            signal.pidfd_send_signal(descriptor, signal.SIGUSR2)
    except OSError:
        LOG.debug("PostgreSQL gets no more signals to promote", exc_info=True)
    finally:
        os.close(descriptor)


def startup_process_of(postmaster: int) -> int:
    """Return the process id of a postmaster's startup process, which replays WAL; 0 without one."""
    return next(children_of(postmaster, STARTUP), 0)


def replacements(wait_promote: Any) -> Mapping[str, Any]:
    """Return the replacement of the wait."""
    return {"patroni.postgresql:Postgresql._wait_promote": repeating_signal(wait_promote)}
