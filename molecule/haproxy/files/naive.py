#!/usr/bin/python3
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service that greets like a database, and clients of it without timeouts.

    naive serve 9000
    naive ask 192.0.2.100 84 --held /tmp/held --until /tmp/enough

The clients hold a session in each state, then touch the first file and open further sessions until the second one
exists. A second later they print as JSON which sessions are still open, the spread of the held sessions' ends, and the
longest wait for a greeting of a session that was closed without one, in seconds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_GREETING = b"hello\n"
_CHUNK = b"x" * 65536
_OPEN_SECONDS = 0.1
_GRACE_SECONDS = 1.0
_GREETED_SECONDS = 20.0

Address = tuple[str, int]


def send_for_ever(connection: socket.socket, chunk: bytes, pause: float = 0) -> None:
    """Send until the connection breaks."""
    while True:
        connection.sendall(chunk)
        time.sleep(pause)


def serve_one(connection: socket.socket) -> None:
    """Greet, read one line, and follow it: swallow, send, or neither."""
    try:
        connection.sendall(_GREETING)
        wish = connection.makefile("rb").readline()
        if wish == b"send\n":
            send_for_ever(connection, _CHUNK)
        while wish == b"swallow\n" and connection.recv(len(_CHUNK)):
            pass
        threading.Event().wait()
    except OSError:
        connection.close()


def serve(port: int) -> None:
    """Serve until killed."""
    with socket.create_server(("", port), backlog=128) as listener:
        while True:
            threading.Thread(target=serve_one, args=(listener.accept()[0],), daemon=True).start()


# A client's actions after the greeting, before it reads to the end.
STATES: dict[str, Callable[[socket.socket], None]] = {
    "idle": lambda _connection: None,
    "waiting for an answer": lambda connection: connection.sendall(b"query\n"),
    "receiving": lambda connection: connection.sendall(b"send\n"),
    "sending": lambda connection: send_for_ever(connection, b"swallow\n" + _CHUNK),
    "sending to a full server": lambda connection: send_for_ever(connection, b"query\n" + _CHUNK),
    "sending now and then": lambda connection: send_for_ever(connection, b"query\n", pause=0.05),
}


@dataclass
class Session:
    """A client's session; times are monotonic seconds."""

    state: str
    begun: float
    greeted: bool = False
    ended: float | None = None


def hold(session: Session, address: Address) -> None:
    """Run one session until the other side ends it."""
    try:
        with socket.create_connection(address) as connection:
            session.greeted = connection.recv(len(_GREETING)) == _GREETING
            if session.greeted:
                STATES[session.state](connection)
                while connection.recv(len(_CHUNK)):
                    pass
    except OSError:
        pass
    session.ended = time.monotonic()


def begin(state: str, address: Address) -> Session:
    """A session on a thread of its own."""
    session = Session(state, time.monotonic())
    threading.Thread(target=hold, args=(session, address), daemon=True).start()
    return session


def report(held: list[Session], further: list[Session]) -> dict[str, object]:
    """The output of ``main``."""
    ends = [session.ended for session in held if session.ended is not None]
    unserved = [s.ended - s.begun for s in further if s.ended is not None and not s.greeted]
    still = [session for session in held + further if session.ended is None]
    return {
        "held": [session.state for session in held],
        "open": [session.state if session.greeted else "connecting" for session in still],
        "spread": round(max(ends, default=0.0) - min(ends, default=0.0), 3),
        "longest_unserved": round(max(unserved, default=0.0), 3),
    }


def hold_all(address: Address) -> list[Session]:
    """Return a greeted session in each state; raises TimeoutError when one is not greeted."""
    deadline = time.monotonic() + _GREETED_SECONDS
    held = [begin(state, address) for state in STATES]
    while not all(session.greeted for session in held):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not greeted: {[session.state for session in held if not session.greeted]}")
        time.sleep(_OPEN_SECONDS)
    return held


def ask(address: Address, ready: Path, until: Path, seconds: float) -> None:
    """Hold a session in each state, and open further ones until ``until`` exists or the time is up."""
    deadline = time.monotonic() + seconds
    held = hold_all(address)
    ready.touch()
    further = []
    for state in itertools.cycle(STATES):
        if until.exists() or time.monotonic() > deadline:
            break
        time.sleep(_OPEN_SECONDS)
        further.append(begin(state if "sending" not in state else "idle", address))
    time.sleep(_GRACE_SECONDS)
    print(json.dumps(report(held, further)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    serving = actions.add_parser("serve")
    serving.add_argument("port", type=int)
    asking = actions.add_parser("ask")
    asking.add_argument("address")
    asking.add_argument("port", type=int)
    asking.add_argument("--held", type=Path, required=True)
    asking.add_argument("--until", type=Path, required=True)
    asking.add_argument("--seconds", type=float, default=60, help="ask for so long at most")
    given = parser.parse_args()
    if given.action == "serve":
        serve(given.port)
    else:
        ask((given.address, given.port), given.held, given.until, given.seconds)


if __name__ == "__main__":
    main()
