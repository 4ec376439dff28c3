# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out a planned switchover: poolers hold clients while one member hands over to another."""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from ansible_collections.holdfast.ha.plugins.module_utils.patroni import Cluster, Member, merge_answers, problems
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_api import ClusterError, PatroniApi, until
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_switchover import Plan, plan, took_over
from ansible_collections.holdfast.ha.plugins.module_utils.pgbouncer import Pooler, Poolers
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import (
    Session,
    answer,
    connect,
    psycopg2,
    sentence,
)
from ansible_collections.holdfast.ha.plugins.module_utils.stopwatch import Stopwatch

T = TypeVar("T")
POLL_SECONDS = 0.1  # members that are asked more often take longer to switch: every answer is a handshake in Python
ASK_ALL_SECONDS = 0.5  # if the pool shows which member to ask
AT_LEAST_SECONDS = 0.3  # PostgreSQL stops here and is promoted there, which takes at least this long
POOL_POLL_SECONDS = 0.05  # clients wait
POOL_PAUSE_SECONDS = 0.2  # while the old leader still answers, each time with a process and a handshake
PROBE_SECONDS = 0.5
STEP_SECONDS = 0.02
FILL_SECONDS = 2.0
FILL = """
 WITH segment AS (SELECT setting::bigint AS size FROM pg_settings WHERE name = 'wal_segment_size'),
 rest AS (SELECT size - mod(pg_current_wal_insert_lsn() - '0/0', size) AS bytes FROM segment)
 SELECT pg_logical_emit_message(true, 'holdfast', repeat(' ', least(bytes, 2097152)::int - 1048576))::text
 FROM rest WHERE bytes BETWEEN 1048577 AND 67108864 AND current_setting('archive_mode') <> 'off'"""
"""Writes up to 1 MiB of WAL, and says where it ends; nothing once less than 1 MiB of the segment is left.

Logical decoding does not see a message of a transaction that is rolled back.
"""
BEHIND = "SELECT 1 FROM pg_stat_replication WHERE application_name = ANY(%s) AND flush_lsn < %s::pg_lsn LIMIT 1"
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


@dataclass(frozen=True)
class Limits:
    """Seconds to finish running transactions, to switch, to be healthy again; and whether the first may be exceeded."""

    pause: float = 5.0
    switch: float = 20.0
    healthy: float = 120.0
    pause_required: bool = True


@dataclass(frozen=True)
class Switchover:
    """One cluster with its poolers.

    ``pool`` is address and port by which the poolers reach the leader, None for no wait.
    ``superuser`` (username, password) is for a checkpoint before; otherwise the old leader makes it while clients wait.
    """

    api: PatroniApi
    poolers: Poolers = field(default_factory=Poolers)
    pool: tuple[str, int] | None = None
    superuser: tuple[str, str] | None = None
    ca: str | None = None
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Switchover:
        """Return what the parameters of M(holdfast.ha.patroni_switchover) describe."""
        poolers = tuple(Pooler(**pooler) for pooler in params["poolers"])
        pool, superuser = params["pool"], params["superuser"]
        return cls(
            api=PatroniApi.from_params(params),
            poolers=Poolers(poolers, params["pooler_username"], params["pooler_password"], params["pooler_ca"]),
            pool=(pool["address"], pool["port"]) if pool else None,
            superuser=(superuser, params["superuser_password"]) if superuser else None,
            ca=params["ca"],
            limits=Limits(
                params["pause_timeout"], params["timeout"], params["healthy_timeout"], params["pause_required"]
            ),
        )

    def plan(self, wanted: str | None) -> Plan:
        """Return what would be done. Raises RefusedError, PoolerError or EndpointError."""
        made = plan(self.api.cluster(), self.api.read_configuration(), wanted)
        if made.needed:
            self.poolers.check()
        return made

    def run(self, made: Plan) -> tuple[Cluster, dict[str, float]]:
        """Carry it out; return the cluster after it and the seconds each phase took, in their order.

        checkpointed; paused: clients wait from its begin; promoted: another member leads; switched: the pool leads to
        it and clients go on; healthy: all that was healthy before is so again. Raises ClusterError or PoolerError.
        """
        watch = Stopwatch()
        self._prepare(made)
        known = self._certificates((made.leader, *made.heirs))
        watch.end("checkpointed")
        with ThreadPoolExecutor(1) as pool:
            with self.poolers.paused(self.limits.pause, self.limits.pause_required):
                watch.end("paused")
                asked = pool.submit(self.api.switch_over, made.leader, made.candidate, self.limits.switch)
                wait([asked], AT_LEAST_SECONDS)
                with PoolWatch(self.pool) as through:
                    heir = self._await_leader(made, asked, known, through)
                    watch.end("promoted")
                    self._await_pool(heir, known, through)
            watch.end("switched")
        cluster = self._await_healthy(made, heir)
        watch.end("healthy")
        return cluster, watch.phases

    def _prepare(self, made: Plan) -> None:
        """Shorten the leader's shutdown: make a checkpoint, and fill the segment."""
        if self.superuser is None or psycopg2 is None:
            return
        leader, (username, password) = made.leader, self.superuser
        settings = {"host": leader.host, "port": leader.port, "dbname": "postgres", "user": username}
        verified = {"sslmode": "verify-full", "sslrootcert": self.ca} if self.ca else {}
        deadline = time.monotonic() + self.limits.switch
        try:
            session = connect({**settings, **verified, "password": password}, self.limits.switch)
            try:
                answer(session, "CHECKPOINT", (), deadline - time.monotonic())
                fill_segment(session, [heir.name for heir in made.heirs])
            finally:
                session.close()
        except TimeoutError:
            text = f"a checkpoint on {leader.name} takes more than {self.limits.switch:g} s, and so would its stop"
            raise ClusterError(f"{text}; try again when it is done, or with a longer timeout") from None
        except psycopg2.Error as error:
            raise ClusterError(f"no checkpoint on {leader.name}: {sentence(error)}") from error

    def _await_leader(self, made: Plan, asked: Future[str], known: Mapping[str, bytes], through: PoolWatch) -> Member:
        """Wait until one of the heirs is a primary that writes on its new timeline, and return it.

        The member that the pool reaches is asked at once, all members at intervals, or continuously without a pool.
        """
        inquiry = Inquiry(self.api, made.heirs)
        named = {own: name for own, name in unique(known).items() if name != made.leader.name}
        pause = ASK_ALL_SECONDS if named else POLL_SECONDS
        due = time.monotonic() + (pause if named else 0)

        def leading() -> Member | None:
            nonlocal due
            if asked.done() and (error := asked.exception()):
                raise ClusterError(f"{made.leader.name} did not hand over: {error}") from error
            shown = through.leads_to(named, POLL_SECONDS)
            if time.monotonic() >= due:
                inquiry.ask(made.heirs)
                due = time.monotonic() + pause
            inquiry.ask([heir for heir in made.heirs if shown and heir.name == named[shown]])
            answered = inquiry.answers(POLL_SECONDS)
            return next((heir for heir, own in answered if took_over(made.leader, own)), None)

        names = " or ".join(heir.name for heir in made.heirs)
        try:
            return await_that(leading, self.limits.switch, f"{names} to lead", STEP_SECONDS)
        finally:
            inquiry.end()

    def _certificates(self, members: Iterable[Member]) -> dict[str, bytes]:
        """Return the members' certificates by name, if they are needed."""
        if self.pool is None:
            return {}
        found = {one.name: certificate(one.host, one.port) for one in members if one.host and one.port}
        return {name: own for name, own in found.items() if own}

    def _await_pool(self, leader: Member, known: Mapping[str, bytes], through: PoolWatch) -> None:
        """Wait until a new connection through the pool would reach the leader."""
        if self.pool is None or leader.host is None or leader.port is None:
            return
        host, port = leader.host, leader.port

        def leads() -> bool:
            own = known.get(leader.name) or certificate(host, port)
            return own is not None and through.leads_to([own], PROBE_SECONDS) is not None

        await_that(leads, self.limits.switch, f"the pool to lead to {leader.name}", POLL_SECONDS)

    def _await_healthy(self, made: Plan, heir: Member) -> Cluster:
        """Wait until the members that were healthy follow their new leader, synchronously where that is asked for."""
        found: list[str] = []
        for _left in until(time.monotonic() + self.limits.healthy):
            cluster = merge_answers(self.api.answers())
            found = problems(cluster, made.healthy, made.synchronous)
            if cluster.leader and cluster.leader.name != heir.name:
                found.append(f"{cluster.leader.name} leads, not {heir.name}")
            if not found:
                return cluster
        text = "; ".join(found)
        raise ClusterError(f"{heir.name} leads, but after {self.limits.healthy:g} s: {text}")


def fill_segment(session: Session, standbys: Sequence[str]) -> None:
    """Write all but 1 MiB of the leader's WAL segment, for at most FILL_SECONDS, where it archives.

    The leader closes its segment when it stops, and sends each standby the rest, mostly zeros, while clients wait. Here
    clients don't wait: each standby has one MiB before the next one is written. Segments of which more than 64 MiB are
    left stay unchanged, as do all if this fails.
    """
    deadline = time.monotonic() + FILL_SECONDS

    def told(statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return answer(session, statement, values, deadline - time.monotonic())

    with contextlib.suppress(TimeoutError, psycopg2.Error):
        while True:
            told("BEGIN")
            written = told(FILL)
            told("ROLLBACK")
            if not written:
                return
            while told(BEHIND, list(standbys), *written[0]):
                time.sleep(STEP_SECONDS)


def unique(certificates: Mapping[str, bytes]) -> dict[bytes, str]:
    """Return names by certificate, without those that several have."""
    found = {own: name for name, own in certificates.items()}
    return {own: name for own, name in found.items() if list(certificates.values()).count(own) == 1}


class Inquiry:
    """Asks members for their state in parallel: one that does not answer delays no other."""

    def __init__(self, api: PatroniApi, members: Sequence[Member]) -> None:
        self._api = api
        self._threads = ThreadPoolExecutor(len(members))
        self._pending: dict[Future[dict[str, Any] | None], Member] = {}

    def ask(self, members: Iterable[Member]) -> None:
        """Ask the members that have answered the last question."""
        for member in members:
            if member not in self._pending.values():
                self._pending[self._threads.submit(self._api.own_state, member)] = member

    def answers(self, seconds: float) -> list[tuple[Member, dict[str, Any] | None]]:
        """Wait for the first answer until the time-out, and return the answers by member."""
        return [(self._pending.pop(own), own.result()) for own in wait(self._pending, seconds, FIRST_COMPLETED).done]

    def end(self) -> None:
        """Stop asking; don't wait for members that have not answered."""
        self._threads.shutdown(wait=False)


class PoolWatch:
    """Identifies the PostgreSQL that new connections through a pool reach, by its certificate.

    Every POOL_POLL_SECONDS it begins another one: HAProxy holds those that a server refuses.
    """

    def __init__(self, pool: tuple[str, int] | None) -> None:
        self._pool = pool
        self._threads = ThreadPoolExecutor(math.ceil(PROBE_SECONDS / POOL_POLL_SECONDS) + 2)
        self._ended = threading.Event()
        self._changed = threading.Condition()
        self._begun, self._leads_to = 0.0, b""

    def __enter__(self) -> Self:
        """Start."""
        if self._pool is not None:
            self._threads.submit(self._watch, self._pool)
        return self

    def __exit__(self, *_error: object) -> None:
        """End; don't wait for connections that are still held."""
        self._ended.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def leads_to(self, certificates: Collection[bytes], seconds: float) -> bytes | None:
        """Wait until the pool reaches a server with one of the certificates (DER), or the time-out; return it."""
        if self._pool is None or not certificates:
            return None
        with self._changed:
            led = self._changed.wait_for(lambda: self._leads_to in certificates, seconds)
            return self._leads_to if led else None

    def _watch(self, pool: tuple[str, int]) -> None:
        while not self._ended.is_set():
            self._threads.submit(self._probe, pool, time.monotonic())
            self._ended.wait(POOL_PAUSE_SECONDS if self._leads_to else POOL_POLL_SECONDS)

    def _probe(self, pool: tuple[str, int], begun: float) -> None:
        found = certificate(*pool) or b""
        with self._changed:
            if begun >= self._begun:  # an older connection that was held has no new information
                self._begun, self._leads_to = begun, found
                self._changed.notify_all()


def await_that(find: Callable[[], T | None], seconds: float, what: str, interval: float = POLL_SECONDS) -> T:
    """Wait until something is found or true, and return it. Raises ClusterError when it takes too long."""
    for _left in until(time.monotonic() + seconds, interval):
        if found := find():
            return found
    raise ClusterError(f"not within {seconds:g} s: {what}")


def certificate(address: str, port: int) -> bytes | None:
    """Return the certificate (DER) of the PostgreSQL that a new connection reaches, None if it fails.

    It distinguishes members without a login; it is not used for trust.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((address, port), PROBE_SECONDS) as link:
            link.sendall(SSL_REQUEST)
            if link.recv(1) != b"S":
                return None
            with context.wrap_socket(link) as secured:
                return secured.getpeercert(binary_form=True)
    except OSError:
        return None
