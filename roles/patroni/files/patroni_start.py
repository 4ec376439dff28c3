# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts Patroni with two amendments. Why, and what upstream could take: docs/failover.md.

It repeats a request that etcd could not serve for the moment. Until 4.1.1 Patroni knows errors of etcd's HTTP gateway
only as the gateway's first version writes them. The second, which the etcd of Debian 13 has, writes them otherwise:
Patroni then takes "leader changed" in the answer to a keepalive for a refusal, and demotes a healthy primary at once.
So it does until 4.1.3 when an etcd that is about to lose its leadership answers with an error that has no code ("not a
primary lessor").

It begins its next cycle when the postmaster has died, not up to loop_wait later.
"""

from __future__ import annotations

import importlib
import logging
import os
import select
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

UNAVAILABLE = 14  # gRPC's code for what is worth another try
WITHOUT_CODE = frozenset({"not a primary lessor"})
REAPED_SECONDS = 1.0  # a dead process counts as running until its parent has asked for its status


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

    def guard(pid: int, wake_up: Callable[[], None]) -> None:
        if wait_for_end(pid):
            wake_up()
        guarded.discard(pid)

    def watch_attentively(ha: Any, timeout: float) -> Any:
        pid = postmaster_of(Path(ha.state_handler.data_dir))
        if pid and pid not in guarded:
            guarded.add(pid)
            threading.Thread(target=guard, args=(pid, ha.wakeup), daemon=True).start()
        return watch(ha, timeout)

    return watch_attentively


def postmaster_of(data_directory: Path) -> int:
    """Return the process id in a data directory's postmaster.pid, 0 without one."""
    try:
        return int((data_directory / "postmaster.pid").read_text(encoding="ascii").split("\n")[0])
    except (OSError, ValueError):
        return 0


def wait_for_end(pid: int) -> bool:
    """Wait until a process has ended and was reaped; False when there is none at first."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        ended.poll()
    finally:
        os.close(descriptor)
    deadline = time.monotonic() + REAPED_SECONDS
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return True


def amend() -> None:
    """Amend the installed Patroni. One that is made otherwise than expected is told of and starts as it is."""
    try:
        importlib.import_module("patroni.api")  # Patroni's modules import each other, and this is where it begins
        from patroni import ha
        from patroni.dcs import etcd3

        etcd3._raise_for_data = tolerant(etcd3._raise_for_data)
        ha.Ha.watch = attentive(ha.Ha.watch)
    except Exception:
        logging.getLogger(__name__).exception("Patroni starts without Holdfast's amendments")


if __name__ == "__main__":
    amend()
    from patroni.__main__ import main

    main()
