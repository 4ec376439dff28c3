# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's runtime socket: one function asks, the others turn the answers into data."""

from __future__ import annotations

import csv
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Row = Mapping[str, str]

_RECEIVE_BYTES = 65536
CHECKS = ".checks"
"""What follows a pool's name in the backend that only checks its servers (roles/haproxy)."""
_CHECKED = ("check_status", "check_code", "check_duration", "last_chk", "check_desc")
_STATES = {"UP": "up", "no": "unchecked", "NOLB": "drain", "DRAIN": "drain", "MAINT": "maint"}


@dataclass(frozen=True)
class Server:
    """One server of a pool.

    ``state`` is ``up``, ``down``, ``drain``, ``maint`` or ``unchecked``; ``status`` is HAProxy's own wording of it,
    such as ``UP 1/2``. ``check`` and ``check_code`` are the outcome of the last health check, such as ``L7OK`` and 200.
    Times are in seconds, ``check_ms`` in milliseconds; None stands for what HAProxy does not say.
    """

    name: str
    address: str
    state: str
    status: str
    check: str | None
    check_code: int | None
    check_ms: int | None
    reason: str | None
    weight: int
    backup: bool
    sessions: int
    sessions_total: int
    since: int | None


@dataclass(frozen=True)
class Pool:
    """A frontend and the backend of the same name; ``up`` counts the servers that take new sessions."""

    name: str
    mode: str
    status: str
    sessions: int
    sessions_total: int
    up: int
    servers: tuple[Server, ...]


@dataclass(frozen=True)
class Process:
    """The process that serves at the moment; ``uptime`` is in seconds."""

    version: str
    pid: int
    uptime: int
    connections: int
    max_connections: int


def ask(path: str, command: str, timeout: float) -> str:
    """Send one command to the runtime socket and return the whole answer; OSError without one in time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        connection.sendall(command.encode() + b"\n")
        return b"".join(iter(lambda: connection.recv(_RECEIVE_BYTES), b"")).decode()


def parse_info(text: str) -> Process:
    """The answer to ``show info``; ValueError when it is not one."""
    fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    try:
        return Process(
            version=fields["Version"],
            pid=int(fields["Pid"]),
            uptime=int(fields["Uptime_sec"]),
            connections=int(fields["CurrConns"]),
            max_connections=int(fields["Maxconn"]),
        )
    except KeyError as error:
        raise ValueError(f"'show info' lacks the field {error}") from None


def parse_stat(text: str) -> tuple[Pool, ...]:
    """The backends in the answer to ``show stat``, in the configuration's order; ValueError when it is not one.

    One that only checks is no pool; what it says of a server belongs to the pool's.
    """
    if not text.startswith("# pxname,"):
        raise ValueError(f"'show stat' answered {text[:80]!r} instead of a table")
    rows: list[Row] = list(csv.DictReader(text.removeprefix("# ").strip().splitlines()))
    names = {row["pxname"] for row in rows}
    checks = {name + CHECKS for name in names} & names
    found = {(row["pxname"], row["svname"]): {key: row.get(key, "") for key in _CHECKED} for row in rows}
    told = [{**row, **found.get((row["pxname"] + CHECKS, row["svname"]), {})} for row in rows]
    left_out = {"stats", "monitor"} | checks
    backends = [row for row in told if row["svname"] == "BACKEND" and row["pxname"] not in left_out]
    return tuple(_pool(backend, [row for row in told if row["pxname"] == backend["pxname"]]) for backend in backends)


def _pool(backend: Row, rows: Iterable[Row]) -> Pool:
    servers = tuple(_server(row) for row in rows if row["svname"] not in ("FRONTEND", "BACKEND"))
    return Pool(
        name=backend["pxname"],
        mode=backend.get("mode", ""),
        status=backend["status"],
        sessions=int(backend["scur"] or 0),
        sessions_total=int(backend["stot"] or 0),
        up=sum(server.state in ("up", "unchecked") for server in servers),
        servers=servers,
    )


def _server(row: Row) -> Server:
    return Server(
        name=row["svname"],
        address=row.get("addr", ""),
        state=state_of(row["status"]),
        status=row["status"],
        check=row["check_status"].removeprefix("* ") or None,
        check_code=_number(row["check_code"]),
        check_ms=_number(row["check_duration"]),
        reason=row.get("last_chk") or row.get("check_desc") or None,
        weight=int(row["weight"] or 0),
        backup=row["bck"] == "1",
        sessions=int(row["scur"] or 0),
        sessions_total=int(row["stot"] or 0),
        since=_number(row["lastchg"]),
    )


def state_of(status: str) -> str:
    """HAProxy's wording of a server's status as one of ``up``, ``down``, ``drain``, ``maint``, ``unchecked``."""
    word = status.replace("(", " ").split(" ", 1)[0]
    return _STATES.get(word, "down")


def _number(text: str) -> int | None:
    return int(text) if text else None
