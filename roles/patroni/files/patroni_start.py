# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts Patroni with six amendments. Why, and what upstream could take: docs/failover.md.

It repeats a request that etcd could not serve for the moment. Until 4.1.1 Patroni knows errors of etcd's HTTP gateway
only as the gateway's first version writes them. The second, which the etcd of Debian 13 has, writes them otherwise:
Patroni then takes "leader changed" in the answer to a keepalive for a refusal, and demotes a healthy primary at once.
So it does until 4.1.3 when an etcd that is about to lose its leadership answers with an error that has no code ("not a
primary lessor").

It begins its next cycle when the postmaster has died, not up to loop_wait later.

It hands over as soon as a standby has the last record of an orderly stop, not up to two seconds later.

It tells PostgreSQL to promote until it does. One that is told while it looks for a primary that is gone rests
first, for what is left of wal_retrieve_retry_interval.

It sends what it has to say at once. Otherwise the kernel keeps the second half of each request to etcd, and of each
answer of the REST interface, until the other side has acknowledged the first, after 40 ms (Nagle's algorithm). Answers
are sent whole: HAProxy, which wants no more than the status, hangs up on the second half, and Patroni logs a traceback.

It does not take the leader key from a successor. Before 3.0.3 a leader whose lease is gone when it renews it writes the
key anew, whoever has it by then: one that was frozen comes back, and what its successor acknowledged is lost.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import re
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

LOG = logging.getLogger(__name__)
HANDED_OVER = "demoted"  # the role Patroni gives itself before it gives the leader key away
UNAVAILABLE = 14  # gRPC's code for what is worth another try
WITHOUT_CODE = frozenset({"not a primary lessor"})
REAPED_SECONDS = 1.0  # a dead process counts as running until its parent has asked for its status
STOP_POLLING_SECONDS = 0.05
TELLING_SECONDS, LAST_TOLD_SECONDS = 0.05, 60.0
STARTUP = re.compile(r"postgres: (?:[^:]*: )?startup(?: (?:recovering|waiting for) [0-9A-F]{24})?(?: waiting)?[\s\0]*")
CATCHING_UP_SECONDS = 1.0  # Patroni's own patience with standbys that lack the last record


def as_patroni_knows(data: Any) -> Any:
    """Return etcd's answer to a failed request in the form of the gateway's first version.

    Args:
        data: the decoded JSON, such as {"error": {"code": 14, "message": "etcdserver: leader changed"}} of a stream or
            {"code": 14, "message": "etcdserver: leader changed"}; anything else is returned as it is.
    """
    if not isinstance(data, Mapping):
        return data
    error = data.get("error")
    if isinstance(error, Mapping):
        code = _code(error.get("grpc_code", error.get("code")), error)
        return {**data, "error": {**error, "code": code, "grpc_code": code}}
    if "code" in data and "message" in data:
        return {**data, "error": error or data["message"], "code": _code(data["code"], data)}
    return data


def _code(code: Any, error: Mapping[str, Any]) -> Any:
    return UNAVAILABLE if error.get("message") in WITHOUT_CODE else code


def tolerant(handle: Callable[..., Any]) -> Callable[..., Any]:
    """Return Patroni's handler of etcd's errors, which is given each as it knows it."""

    def handle_known(data: Any, *args: Any, **kwargs: Any) -> Any:
        return handle(as_patroni_knows(data), *args, **kwargs)

    return handle_known


def attentive(watch: Callable[..., Any]) -> Callable[..., Any]:
    """Return Patroni's wait for its next cycle (Ha.watch), which also ends when the postmaster does."""
    guarded: set[int] = set()

    def guard(pid: int, ha: Any) -> None:
        try:
            wait_for_end(pid)
        except OSError:
            LOG.exception("Nobody waits for the postmaster's end")
            return
        if not is_expected(ha):
            ha.wakeup()
        guarded.discard(pid)

    def watch_attentively(ha: Any, timeout: float) -> Any:
        try:
            pid = postmaster_of(Path(ha.state_handler.data_dir))
            if runs(pid) and pid not in guarded:
                guarded.add(pid)
                threading.Thread(target=guard, args=(pid, ha), daemon=True).start()
        except Exception:  # beyond this wait Patroni would take it for its own end
            LOG.exception("Nobody waits for the postmaster's end")
        return watch(ha, timeout)

    return watch_attentively


def is_expected(ha: Any) -> bool:
    """Whether somebody else sees to the postmaster: an operator in a pause, or what Patroni is doing, say a switchover.

    That would have to wait until a cycle that is of no use lets it go on.
    """
    return ha.is_paused() or ha._async_executor.busy


def postmaster_of(data_directory: Path) -> int:
    """Return the process id in a data directory's postmaster.pid, 0 without one."""
    try:
        return int((data_directory / "postmaster.pid").read_text(encoding="ascii").split("\n")[0])
    except (OSError, ValueError):
        return 0


def runs(pid: int) -> bool:
    """Whether there is such a process."""
    return pid > 0 and Path(f"/proc/{pid}").exists()


def wait_for_end(pid: int, seconds: float | None = None) -> bool:
    """Wait until a process has ended and was reaped, for so many seconds at most; return whether it has.

    Raises OSError where processes can't be waited for.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        if not ended.poll(None if seconds is None else seconds * 1000):
            return False
    finally:
        os.close(descriptor)
    deadline = time.monotonic() + REAPED_SECONDS
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return True


class Clock:
    """The module ``time``, as Patroni's Ha has it, in which a thread may do without its sleeps."""

    def __init__(self) -> None:
        self._thread = threading.local()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        """Sleep, unless this thread is awake."""
        if not getattr(self._thread, "awake", False):
            time.sleep(seconds)

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Let this thread's sleeps take no time."""
        self._thread.awake = True
        try:
            yield
        finally:
            self._thread.awake = False


def prompt(stop: Callable[..., Any], clock: Clock) -> Callable[..., Any]:
    """Return Patroni's stop of PostgreSQL (Postgresql.stop) that calls on_shutdown at once, and until the key is gone.

    Patroni calls that when the last record is written but the postmaster still archives. It waits for a second in it,
    and then gives the leader key away if a standby has the record; most have it after some milliseconds. Patroni 3.0,
    which passes one location, doesn't wait.
    """

    def stop_promptly(postgresql: Any, *args: Any, on_shutdown: Callable[..., Any] | None = None, **kwargs: Any) -> Any:
        def shut_down(*locations: Any) -> None:
            if on_shutdown is None:
                return
            deadline = time.monotonic() + CATCHING_UP_SECONDS
            with clock.awake():
                on_shutdown(*locations)
                while len(locations) > 1 and postgresql.role != HANDED_OVER and time.monotonic() < deadline:
                    if has_ended(Path(postgresql.data_dir), STOP_POLLING_SECONDS):
                        return
                    on_shutdown(*locations)

        return stop(postgresql, *args, on_shutdown=shut_down if on_shutdown else None, **kwargs)

    return stop_promptly


def has_ended(data_directory: Path, seconds: float) -> bool:
    """Wait for the end of a postmaster, for so many seconds at most; return whether it came."""
    pid = postmaster_of(data_directory)
    try:
        return not runs(pid) or wait_for_end(pid, seconds)
    except OSError:
        time.sleep(seconds)
        return False


def insistent(wait_promote: Callable[..., Any]) -> Callable[..., Any]:
    """Return Patroni's wait for a promotion (Postgresql._wait_promote), during which PostgreSQL is told again."""

    def wait_insistently(postgresql: Any, seconds: float) -> Any:
        try:
            threading.Thread(target=tell_to_promote, args=(Path(postgresql.data_dir),), daemon=True).start()
        except Exception:  # the promotion goes on without it
            LOG.exception("PostgreSQL is told to promote only once")
        return wait_promote(postgresql, seconds)

    return wait_insistently


def tell_to_promote(data_directory: Path, seconds: float = LAST_TOLD_SECONDS) -> None:
    """Send PostgreSQL's startup process the signal for a promotion until it has ended, for so long at most."""
    try:
        descriptor = os.pidfd_open(startup_process_of(postmaster_of(data_directory)))
    except (OSError, ValueError):  # it is already over, or processes can't be waited for
        return
    ended = select.poll()
    ended.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline and not ended.poll(TELLING_SECONDS * 1000):
            signal.pidfd_send_signal(descriptor, signal.SIGUSR2)
    except OSError:
        LOG.debug("PostgreSQL is not told to promote any more", exc_info=True)
    finally:
        os.close(descriptor)


def startup_process_of(postmaster: int) -> int:
    """Return the process id of a postmaster's startup process, which replays WAL; 0 without one."""
    try:
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return next((int(child) for child in children if STARTUP.fullmatch(title_of(child))), 0)


def title_of(process: str) -> str:
    """Return what a process calls itself, "" when it is gone."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def undelayed(set_options: Callable[..., Any]) -> Callable[..., Any]:
    """Return Patroni's setting of a connection's options (Etcd3.set_socket_options) with TCP_NODELAY besides."""

    def set_options_and_no_delay(etcd: Any, sock: socket.socket, *args: Any) -> Any:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return set_options(etcd, sock, *args)

    return set_options_and_no_delay


def considerate(
    put: Callable[..., Any], update_leader: Callable[..., Any], encode: Callable[[str], str]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return Patroni's Etcd3Client.put and Etcd3._update_leader, which leave the leader key to whoever else has it.

    Args:
        encode: text as etcd's gateway takes it, in base 64.
    """
    thread = threading.local()

    def put_unless_taken(client: Any, key: str, value: str, *args: Any, **kwargs: Any) -> Any:
        lease = args[0] if args else kwargs.get("lease")
        is_compared = len(args) > 1 or "create_revision" in kwargs or "mod_revision" in kwargs
        if is_compared or not lease or not key.endswith("/leader"):
            return put(client, key, value, *args, **kwargs)
        retry = kwargs.get("retry")
        fields = {"key": encode(key), "value": encode(value), "lease": lease}
        is_own = {"key": fields["key"], "target": "VALUE", "value": fields["value"]}
        written = client.txn(is_own, {"request_put": fields}, retry)
        thread.taken = not (written or put(client, key, value, lease, create_revision=0, retry=retry))
        return not thread.taken

    def update_unless_taken(etcd: Any, *args: Any) -> bool:
        thread.taken = False
        return bool(update_leader(etcd, *args)) and not thread.taken

    return put_unless_taken, update_unless_taken


def is_before(version: str, wanted: tuple[int, ...]) -> bool:
    """Whether a version such as 3.0.2 is an earlier one."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[: len(wanted)]) < wanted


def amend() -> None:
    """Amend the installed Patroni. One that is made otherwise than expected is told of and starts as it is."""
    try:
        api = importlib.import_module("patroni.api")  # Patroni's modules import each other, and this is where it begins
        from patroni import ha, postgresql
        from patroni.dcs import etcd3

        if is_before(importlib.import_module("patroni.version").__version__, (3, 0, 3)):
            client = etcd3.Etcd3Client
            client.put, etcd3.Etcd3._update_leader = considerate(
                client.put, etcd3.Etcd3._update_leader, etcd3.base64_encode
            )
        etcd3._raise_for_data = tolerant(etcd3._raise_for_data)
        ha.Ha.watch = attentive(ha.Ha.watch)
        ha.time = clock = Clock()
        postgresql.Postgresql.stop = prompt(postgresql.Postgresql.stop, clock)
        postgresql.STOP_POLLING_INTERVAL = STOP_POLLING_SECONDS
        postgresql.Postgresql._wait_promote = insistent(postgresql.Postgresql._wait_promote)
        etcd3.Etcd3.set_socket_options = undelayed(etcd3.Etcd3.set_socket_options)
        api.RestApiHandler.disable_nagle_algorithm = True
        api.RestApiHandler.wbufsize = -1
    except Exception:
        LOG.exception("Patroni starts without Holdfast's amendments")


if __name__ == "__main__":
    amend()
    from patroni.__main__ import main

    main()
