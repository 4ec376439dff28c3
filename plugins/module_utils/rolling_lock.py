# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's note of the rolling run that works on its cluster: it keeps a second run away, and ends by itself."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils import safe_path

PATH = "/run/holdfast/rolling.json"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Lock:
    """Who works on the cluster: a run's id, its verb and its controller.

    ``begun`` and ``until`` are the host's time in seconds since 1970; ``boot`` is the id of the boot it is valid in.
    """

    run: str
    verb: str
    controller: str
    begun: float
    until: float
    boot: str

    def shown(self) -> dict[str, Any]:
        """Return the lock with its times in words."""
        return {**asdict(self), "begun": shown(self.begun), "until": shown(self.until)}


@dataclass(frozen=True)
class Now:
    """The host's time in seconds since 1970, and the id of its boot."""

    time: float
    boot: str


class HeldError(Exception):
    """Another run has the lock; the message is for the user."""

    def __init__(self, lock: Lock, now: Now) -> None:
        self.lock = lock
        self.seconds = max(1, round(lock.until - now.time))
        super().__init__(
            f"{lock.verb} from {lock.controller} works on this cluster since {shown(lock.begun)}, at most until "
            f"{shown(lock.until)} unless it goes on. Let it end; if its controller was killed, wait {self.seconds} s: "
            "its lock ends by itself. Then run this again"
        )


def shown(moment: float) -> str:
    """Return a time for people, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


def parse(content: bytes | None) -> Lock | None:
    """Return the lock in a file's content, None for anything else."""
    try:
        data = json.loads(content or b"")
        texts = {name: str(data[name]) for name in ("run", "verb", "controller", "boot")}
        return Lock(**texts, begun=float(data["begun"]), until=float(data["until"]))
    except (ValueError, KeyError, TypeError):
        return None


def in_force(lock: Lock | None, now: Now) -> Lock | None:
    """Return a lock that is valid: not expired, and of this boot."""
    return lock if lock is not None and lock.boot == now.boot and now.time < lock.until else None


def acquire(found: Lock | None, wanted: Lock, now: Now) -> Lock:
    """Return the lock to write: the wanted one, which goes on with one of the same run. Raises HeldError."""
    held = in_force(found, now)
    if held is None:
        return wanted
    if held.run != wanted.run:
        raise HeldError(held, now)
    return Lock(wanted.run, wanted.verb, wanted.controller, held.begun, wanted.until, wanted.boot)


def released(found: Lock | None, run: str, now: Now) -> bool:
    """Return whether a run that ends removes the file: its own, or one that is void."""
    held = in_force(found, now)
    return held is None or held.run == run


def host_now() -> Now:
    """Return the host's time and boot."""
    return Now(time.time(), BOOT_ID.read_text(encoding="ascii").strip())


class LockFile:
    """The file of the lock. Every method raises OSError and safe_path.UnsafePathError."""

    def __init__(self, path: str = PATH, now: Callable[[], Now] = host_now) -> None:
        self._path = path
        self._now = now

    def hold(self, wanted: Mapping[str, str], seconds: float, patience: float, check_mode: bool) -> Lock:
        """Take or renew the lock for some seconds; wait for another run's end. Raises HeldError.

        ``wanted`` has run, verb and controller. Check mode neither writes nor waits.
        """
        deadline = time.monotonic() + (0 if check_mode else patience)
        while True:
            try:
                return self._take(wanted, seconds, check_mode)
            except HeldError as error:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
                time.sleep(min(POLL_SECONDS, error.seconds, left))

    def _take(self, wanted: Mapping[str, str], seconds: float, check_mode: bool) -> Lock:
        with self._alone(check_mode):
            now = self._now()
            new = Lock(**wanted, begun=now.time, until=now.time + seconds, boot=now.boot)
            lock = acquire(self._read(), new, now)
            if not check_mode:
                safe_path.replace(self._path, json.dumps(asdict(lock)).encode() + b"\n")
            return lock

    def release(self, run: str, check_mode: bool) -> Lock | None:
        """Give the run's lock back; return that of another run, which stays."""
        with self._alone(check_mode):
            now, found = self._now(), self._read()
            mine = released(found, run, now)
            if mine and not check_mode:
                safe_path.remove(self._path)
            return None if mine else found

    def _read(self) -> Lock | None:
        return parse(safe_path.read(self._path))

    @contextmanager
    def _alone(self, check_mode: bool) -> Iterator[None]:
        """Keep other processes of this host away within the block; a file beside the lock serves for that."""
        if check_mode:
            yield
            return
        with safe_path.parent(self._path, make=True) as (place, name):
            if not place.trusted:
                raise safe_path.UnsafePathError(f"{place.path}: others than root can write there; make it root's own")
            descriptor = place.open(f"{name}.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
