# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies directories from one host to another under the same paths, over TLS with both hosts' certificates.

The receiver tells which files it has, the sender sends those that it lacks or has otherwise. So each call goes on where
the one before ended.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

PART = ".holdfast-part"
"""Ends the name of a file while it is received."""
UNFINISHED = (PART, ".pgbackrest.tmp")
INFO = ("backup.info", "archive.info")
PIECE = 1 << 20
SILENCE_SECONDS = 60.0
POLL_SECONDS = 0.5

Found = Mapping[str, Sequence[int]]
"""By path a file's size in bytes, and its time of change in nanoseconds."""


class Stream(Protocol):
    """A connection, as a buffered file."""

    def read(self, size: int, /) -> bytes:
        """Return as many bytes, fewer at the end."""

    def readline(self) -> bytes:
        """Return a line with its end."""

    def write(self, data: bytes, /) -> int:
        """Write bytes."""

    def flush(self) -> None:
        """Send what is written."""


class CopyError(Exception):
    """The copy can't go on; the message is for the user."""


def scan(places: Sequence[str]) -> dict[str, list[int]]:
    """Return the whole files below some directories, without links; none for a directory that does not exist."""
    found = {}
    for place in places:
        for folder, _folders, names in os.walk(place):
            for name in names:
                path = f"{folder}/{name}"
                status = _status(path)
                if status and stat.S_ISREG(status.st_mode) and not name.endswith(UNFINISHED):
                    found[path] = [status.st_size, status.st_mtime_ns]
    return found


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:  # it has expired meanwhile
        return None


def missing(here: Found, there: Found) -> list[str]:
    """Return the files to send, those last that name others, so that they never name what is not there."""
    wanted = [path for path, seen in here.items() if list(there.get(path, ())) != list(seen)]
    return sorted(wanted, key=lambda path: (Path(path).name.startswith(INFO), path))


def refuse_outside(path: str, places: Sequence[str]) -> None:
    """Raise CopyError unless a path lies below one of the directories."""
    inside = any(path.startswith(f"{place.rstrip('/')}/") for place in places)
    if not inside or ".." in path.split("/"):
        raise CopyError(f"the sender names {path}, which is not below {', '.join(places)}")


def send(stream: Stream, places: Sequence[str], seconds: float) -> dict[str, Any]:
    """Send what the other host lacks, for some seconds but at least one file; return the module's result."""
    ends = time.monotonic() + seconds
    wanted = missing(scan(places), _read(stream))
    sent = size = 0
    for path in wanted:
        if sent and time.monotonic() > ends:
            break
        size += _send_file(stream, path)
        sent += 1
    done = sent == len(wanted)
    _write(stream, {"done": done})
    _read(stream)  # everything is stored
    return {"files": sent, "bytes": size, "done": done}


def _send_file(stream: Stream, path: str) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return 0
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        _write(stream, {"path": path, "size": status.st_size, "time": status.st_mtime_ns, "mode": status.st_mode})
        left = status.st_size
        while left:
            piece = file.read(min(left, PIECE))
            if not piece:
                raise CopyError(f"{path} became shorter while it was read")
            stream.write(piece)
            left -= len(piece)
    return status.st_size


def receive(stream: Stream, places: Sequence[str]) -> dict[str, Any]:
    """Store what the other host sends; return the module's result."""
    _write(stream, scan(places))
    files = size = 0
    while "path" in (head := _read(stream)):
        refuse_outside(head["path"], places)
        _store(stream, head)
        files += 1
        size += head["size"]
    _write(stream, {"stored": files})
    return {"files": files, "bytes": size, "done": head["done"]}


def _store(stream: Stream, head: Mapping[str, Any]) -> None:
    path = Path(head["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}{PART}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(part, flags, head["mode"] & 0o660), "wb") as file:
        left = head["size"]
        while left:
            piece = stream.read(min(left, PIECE))
            if not piece:
                raise CopyError("the sender ended in the middle of a file; run this again")
            file.write(piece)
            left -= len(piece)
        file.flush()
        os.fsync(file.fileno())
    os.utime(part, ns=(head["time"], head["time"]))
    part.replace(path)


def _write(stream: Stream, message: Mapping[str, Any]) -> None:
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()


def _read(stream: Stream) -> dict[str, Any]:
    line = stream.readline()
    if not line:
        raise CopyError("the other host ended the connection; its own message says why")
    message: dict[str, Any] = json.loads(line)
    return message


def context(params: Mapping[str, Any]) -> ssl.SSLContext:
    """Return the TLS settings of a role: both ends show a certificate of the authority."""
    is_receiver = params["role"] == "receive"
    made = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH if is_receiver else ssl.Purpose.SERVER_AUTH, cafile=params["ca"]
    )
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_cert_chain(params["cert"], params["key"])
    return made


@contextmanager
def connected(params: Mapping[str, Any], tls: ssl.SSLContext) -> Iterator[Stream]:
    """Yield a connection with the peer, whose certificate has its name. Raises CopyError."""
    deadline = time.monotonic() + params["timeout"]
    try:
        plain = _accept(params, deadline) if params["role"] == "receive" else _connect(params, deadline)
        plain.settimeout(SILENCE_SECONDS)
        is_receiver = params["role"] == "receive"
        host = None if is_receiver else params["address"]
        with plain, tls.wrap_socket(plain, server_side=is_receiver, server_hostname=host) as wire:
            name = common_name(wire.getpeercert() or {})
            if name != params["peer"]:
                raise CopyError(f"{name} answers instead of {params['peer']}")
            with wire.makefile("rwb") as stream:
                yield stream
    except (OSError, ValueError) as error:
        raise CopyError(f"{params['peer']}: {error}") from error


def common_name(certificate: Mapping[str, Any]) -> str:
    """Return the common name in a certificate as ssl has it, "" without one."""
    pairs = (pair for part in certificate.get("subject", ()) for pair in part)
    return next((str(value) for key, value in pairs if key == "commonName"), "")


def _accept(params: Mapping[str, Any], deadline: float) -> socket.socket:
    family = socket.AF_INET6 if ":" in params["address"] else socket.AF_INET
    with socket.create_server((params["address"], params["port"]), family=family) as server:
        server.settimeout(max(deadline - time.monotonic(), POLL_SECONDS))
        return server.accept()[0]


def _connect(params: Mapping[str, Any], deadline: float) -> socket.socket:
    while True:
        try:
            return socket.create_connection((params["address"], params["port"]), SILENCE_SECONDS)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)


def copy(params: Mapping[str, Any], tls: ssl.SSLContext) -> dict[str, Any]:
    """Send or receive once; return the module's result. Raises CopyError."""
    os.umask(0o027)
    with connected(params, tls) as stream:
        if params["role"] == "receive":
            return receive(stream, params["places"])
        return send(stream, params["places"], params["seconds"])
