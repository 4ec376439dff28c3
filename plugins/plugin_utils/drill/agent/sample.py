# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's own state, sampled ten times a second."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.haproxy import ask, parse_stat
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import (
    Session,
    psycopg2,
    sentence,
    stored_for_certain_not,
    wait,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.wire import Wire

INTERVAL = 0.1
PATRONI_INTERVAL = 0.2
LOCAL_WRITE_INTERVAL = 0.25
STALE = 0.35  # a claim counts from its report: an older one could look like a second primary
PATIENCE = 1.0
SIOCGIFCONF = 0x8912
MOST_ADDRESSES = 1024
RUNTIME_SOCKET = "/run/haproxy/admin.sock"
SENT_TO = ("up", "unchecked")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
STATE = """SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery()
 THEN (SELECT received_tli FROM pg_stat_wal_receiver)
 ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END"""


def held(addresses: list[str]) -> list[str]:
    """Return those of the addresses that this host has. One that was handed over stays on lo and is none of them."""
    six = Path("/proc/net/if_inet6")
    mine = {*_ipv4(), *(_ipv6(six.read_text()) if six.exists() else ())}
    return [address for address in addresses if ipaddress.ip_address(address) in mine]


def _ipv4() -> Iterator[Address]:
    """The kernel's answer is an array of struct ifreq: a label, and a struct sockaddr_in in a larger union."""
    size = 16 + (24 if struct.calcsize("P") == 8 else 16)
    answer = array("B", bytes(size * MOST_ADDRESSES))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("iP", len(answer), answer.buffer_info()[0])
        used = struct.unpack("iP", fcntl.ioctl(any_socket, SIOCGIFCONF, request))[0]
    for at in range(0, used, size):
        label, address = struct.unpack_from("16s4x4s", answer, at)
        if not label.startswith(b"lo:"):
            yield ipaddress.IPv4Address(address)


def _ipv6(text: str) -> Iterator[Address]:
    for line in text.splitlines():
        digits, *_numbers, interface = line.split()
        if interface != "lo":
            yield ipaddress.IPv6Address(int(digits, 16))


def pools_up(seconds: float = 1.0) -> dict[str, list[str]] | None:
    """Return the names of the servers that get connections, by pool; None when HAProxy does not answer."""
    try:
        pools = parse_stat(ask(RUNTIME_SOCKET, "show stat", seconds))
    except (OSError, ValueError):
        return None
    return {pool.name: [server.name for server in pool.servers if server.state in SENT_TO] for pool in pools}


class Ticker:
    """Calls a function at an interval until stopped; a call that takes longer skips beats."""

    def __init__(self, call: Callable[[], None], interval: float) -> None:
        self._call = call
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the calls."""
        self._stopping.set()
        self._thread.join(timeout=PATIENCE * 3)

    def _run(self) -> None:
        beat = time.monotonic()
        while not self._stopping.is_set():
            self._call()
            beat = max(beat + self._interval, time.monotonic() - self._interval)
            self._stopping.wait(max(0.0, beat - time.monotonic()))


class BalancerSampler:
    """Rows [at, addresses held, servers up by pool or None]."""

    def __init__(self, wire: Wire, addresses: list[str]) -> None:
        self._wire = wire
        self._addresses = addresses
        self._ticker = Ticker(self._sample, INTERVAL)

    def stop(self) -> None:
        """Take no more samples."""
        self._ticker.stop()

    def _sample(self) -> None:
        at = time.monotonic()
        self._wire.record("balancers", [at, held(self._addresses), pools_up(0.5)])
        self._wire.flush_when_due()


class MemberSampler:
    """Rows [at, in recovery, claims to be primary, takes a write, timeline], and the rows of its own local writes."""

    def __init__(self, wire: Wire, settings: dict[str, Any], patroni: HttpJsonClient, writer: str) -> None:
        self._wire = wire
        self._settings = settings
        self._patroni = patroni
        self._claims: tuple[float, bool] = (0.0, False)
        self._session: Session | None = None
        self._connected = False
        self.writes = LocalWrites(wire, settings, writer)
        self._tickers = [Ticker(self._ask_patroni, PATRONI_INTERVAL), Ticker(self._sample, INTERVAL)]

    def stop(self) -> None:
        """Take no more samples."""
        for ticker in self._tickers:
            ticker.stop()
        self.writes.end()
        self._hang_up()

    def _ask_patroni(self) -> None:
        try:
            answer = self._patroni.fetch("GET", "/primary")
        except EndpointError:
            return
        # The balancers check all three: a member that is stopping, or not promoted yet, answers 200 as well.
        said = answer.body if isinstance(answer.body, dict) else {}
        serves = said.get("state") == "running" and said.get("role") in ("primary", "master")
        self._claims = (time.monotonic(), answer.status == 200 and serves)

    def _sample(self) -> None:
        at = time.monotonic()
        recovering, timeline = self._state(at + PATIENCE)
        self.writes.step(time.monotonic(), primary=recovering is False)
        told, claims = self._claims
        fresh = time.monotonic() - told < STALE
        row = [at, recovering, claims if fresh else None, self.writes.took_one(), timeline]
        self._wire.record("members", row)
        self._wire.flush_when_due()

    def _state(self, deadline: float) -> tuple[bool | None, int | None]:
        try:
            session = self._here(deadline)
            session.execute(STATE)
            _finish(session, deadline)
            recovering, timeline = session.rows()[0]
        except (psycopg2.Error, TimeoutError):
            self._hang_up()
            return None, None
        return recovering, timeline

    def _here(self, deadline: float) -> Session:
        if self._session is None:
            self._session = Session(self._settings)
            _finish(self._session, deadline)
        return self._session

    def _hang_up(self) -> None:
        if self._session:
            self._session.close()
        self._session = None


class LocalWrites:
    """Writes on this member through its socket while it is not a standby: one at a time, never cancelled.

    A write that waits for a standby is kept until the end, because a late acknowledgement counts too.
    """

    def __init__(self, wire: Wire, settings: dict[str, Any], writer: str) -> None:
        self._wire = wire
        self._settings = settings
        self._writer = writer
        self._table = ""
        self._insert = ""
        self._session: Session | None = None
        self._sent = False
        self._sequence = 0
        self._begun = 0.0
        self._took = False
        self._lock = threading.Lock()

    def begin(self, table: str) -> None:
        """Start to write into the table."""
        with self._lock:
            self._sequence, self._table = 0, table
            self._insert = f"INSERT INTO {table} (writer, sequence) VALUES (%s, %s)"  # noqa: S608 - the drill's name

    def end(self) -> None:
        """Stop writing; the outcome of a pending write stays unknown."""
        with self._lock:
            self._table = ""
            if self._session:
                self._over("unknown", "the drill ended")

    def took_one(self) -> bool:
        """Return whether a row was acknowledged since the last call."""
        took, self._took = self._took, False
        return took

    def step(self, now: float, *, primary: bool) -> None:
        """Move on."""
        with self._lock:
            try:
                if not self._session and primary and self._table and now - self._begun >= LOCAL_WRITE_INTERVAL:
                    self._sequence, self._begun, self._sent = self._sequence + 1, now, False
                    self._session = Session(self._settings)
                if self._session:
                    self._go_on()
            except psycopg2.Error as error:
                refused = not self._sent or stored_for_certain_not(error)
                self._over("refused" if refused else "unknown", sentence(error))

    def _go_on(self) -> None:
        session = self._session
        until = time.monotonic() + INTERVAL / 2
        while session and session.ready():
            if self._sent:
                remark = session.notices()
                self._took = not remark
                self._over("warned" if remark else "acknowledged", remark[:160])
                return
            self._sent = True
            session.execute(self._insert, (self._writer, self._sequence))
            wait([session], until - time.monotonic())

    def _over(self, outcome: str, error: str) -> None:
        now = time.monotonic()
        self._wire.record("local", [self._writer, self._sequence, self._begun, now, outcome, "", error])
        if self._session:
            self._session.close()
        self._session = None


def _finish(session: Session, deadline: float) -> None:
    while not session.ready():
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        wait([session], left)
