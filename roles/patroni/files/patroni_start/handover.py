# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stop hands over as soon as a standby has the last WAL record, not up to two seconds later, and only once."""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from patroni_start.processes import postmaster_of, runs, wait_for_end

STOP_POLLING_SECONDS = 0.05
ASKED_AGAIN_LATER = 1.5  # the pause between two questions to the standbys grows by this factor
SHUT_DOWN = {1, 2}  # PostgreSQL's DBState: shut down, shut down in recovery
DB_STATE = struct.Struct("=QIIi")  # pg_control begins with two versions between the system's identifier and the state
CATCHING_UP_SECONDS = 1.0  # how long Patroni itself waits for standbys that lack the last record


class Clock:
    """Stands for the module ``time`` in Patroni; a thread can replace its sleep."""

    def __init__(self) -> None:
        self._thread = threading.local()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        """Sleep with this thread's current sleep."""
        getattr(self._thread, "sleep", time.sleep)(seconds)

    @contextlib.contextmanager
    def sleeping(self, sleep: Callable[[float], Any]) -> Iterator[None]:
        """Replace this thread's sleep."""
        former = getattr(self._thread, "sleep", time.sleep)
        self._thread.sleep = sleep
        try:
            yield
        finally:
            self._thread.sleep = former


class Handover:
    """Whether this thread has released the leader key since it began to try."""

    def __init__(self) -> None:
        self._thread = threading.local()

    @property
    def done(self) -> bool:
        """Whether the key is released."""
        return getattr(self._thread, "done", False)

    def begin(self) -> None:
        """Begin to try."""
        self._thread.done = False

    def noting(self, delete_leader: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's removal of the leader key (AbstractDCS.delete_leader), which notes the release."""

        def delete_and_note(dcs: Any, *args: Any, **kwargs: Any) -> Any:
            deleted = delete_leader(dcs, *args, **kwargs)
            self._thread.done = self.done or bool(deleted)
            return deleted

        return delete_and_note


def stopping_promptly(stop: Callable[..., Any], clock: Clock, handover: Handover) -> Callable[..., Any]:
    """Return Patroni's Postgresql.stop, which calls on_shutdown at once, and until the leader key is released.

    Patroni checks once a second whether the last record is written, and calls on_shutdown when it is but the postmaster
    still archives. on_shutdown waits for a second, and then releases the leader key if a standby has the record; most
    have it after some milliseconds. Patroni 3.0, which passes one location, doesn't wait.
    """

    def stop_promptly(postgresql: Any, *args: Any, on_shutdown: Callable[..., Any] | None = None, **kwargs: Any) -> Any:
        data_directory = Path(postgresql.data_dir)

        def shut_down(*locations: Any) -> None:
            if on_shutdown is None:
                return
            handover.begin()
            deadline, pause = time.monotonic() + CATCHING_UP_SECONDS, STOP_POLLING_SECONDS
            with clock.sleeping(lambda _seconds: None):
                on_shutdown(*locations)
                while len(locations) > 1 and not handover.done and time.monotonic() < deadline:
                    if has_ended(data_directory, pause):
                        return
                    pause *= ASKED_AGAIN_LATER
                    on_shutdown(*locations)

        with clock.sleeping(lambda seconds: wait_for_shutdown(data_directory, seconds)):
            return stop(postgresql, *args, on_shutdown=shut_down if on_shutdown else None, **kwargs)

    return stop_promptly


def polling_connections(wait: Callable[..., Any], clock: Clock) -> Callable[..., Any]:
    """Return Patroni's wait for its connection's end (Postgresql._wait_for_connection_close), checking more often."""

    def wait_briefly(*args: Any, **kwargs: Any) -> Any:
        with clock.sleeping(lambda _seconds: time.sleep(STOP_POLLING_SECONDS)):
            return wait(*args, **kwargs)

    return wait_briefly


def wait_for_shutdown(data_directory: Path, seconds: float) -> None:
    """Wait up to some seconds until PostgreSQL has shut down.

    This is Patroni's pause between two checks. Patroni counts each as a whole second of primary_stop_timeout, so only
    the last may be shorter.
    """
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if has_ended(data_directory, min(STOP_POLLING_SECONDS, left)) or is_shut_down(data_directory):
            return


def is_shut_down(data_directory: Path) -> bool:
    """Whether PostgreSQL has written its last record."""
    try:
        with (data_directory / "global" / "pg_control").open("rb") as control:
            return DB_STATE.unpack(control.read(DB_STATE.size))[-1] in SHUT_DOWN
    except (OSError, struct.error):
        return False


def has_ended(data_directory: Path, seconds: float) -> bool:
    """Wait up to some seconds for a postmaster's end; return whether it has ended."""
    pid = postmaster_of(data_directory)
    try:
        return not runs(pid) or wait_for_end(pid, seconds)
    except OSError:
        time.sleep(seconds)
        return False


def replacements(stop: Any, wait: Any, delete_leader: Any, *_modules: Any) -> Mapping[str, Any]:
    """Return the replacements that share a clock and a handover."""
    clock, handover = Clock(), Handover()
    return {
        "patroni.postgresql:Postgresql.stop": stopping_promptly(stop, clock, handover),
        "patroni.postgresql:Postgresql._wait_for_connection_close": polling_connections(wait, clock),
        "patroni.dcs:AbstractDCS.delete_leader": handover.noting(delete_leader),
        "patroni.postgresql:time": clock,
        "patroni.ha:time": clock,
    }
