# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A planned switchover, carried out: clients are held while one member hands over to another."""

from __future__ import annotations

import socket
import ssl
import struct
import time
import typing as t
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from ansible_collections.holdfast.ha.plugins.module_utils.patroni import Cluster, Member, merge_answers, problems
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_api import ClusterError, PatroniApi, until
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_switchover import Plan, plan, took_over
from ansible_collections.holdfast.ha.plugins.module_utils.pgbouncer import Pooler, Poolers
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import ask, psycopg2, sentence
from ansible_collections.holdfast.ha.plugins.module_utils.stopwatch import Stopwatch

T = t.TypeVar("T")
POLL_SECONDS = 0.1  # members that are asked more often take longer to switch: every answer is a handshake in Python
AT_LEAST_SECONDS = 0.3  # PostgreSQL stops here and is promoted there, which nobody does in less
POOL_POLL_SECONDS = 0.03  # clients wait, and it is one handshake
PROBE_SECONDS = 0.5
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


@dataclass(frozen=True)
class Limits:
    """Seconds: to finish the transactions under way, to switch, to be healthy again; may the first be exceeded?"""

    pause: float = 5.0
    switch: float = 20.0
    healthy: float = 120.0
    pause_required: bool = True


@dataclass(frozen=True)
class Switchover:
    """One cluster with its poolers.

    ``pool`` is address and port by which the poolers reach the leader, None where nothing is to be waited for.
    ``superuser`` (username, password) is for a checkpoint before, without which the old leader makes it while all wait.
    """

    api: PatroniApi
    poolers: Poolers = field(default_factory=Poolers)
    pool: tuple[str, int] | None = None
    superuser: tuple[str, str] | None = None
    ca: str | None = None
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def from_params(cls, params: Mapping[str, t.Any]) -> Switchover:
        """Return what the parameters of M(holdfast.ha.patroni_switchover) describe."""
        poolers = tuple(Pooler(**pooler) for pooler in params["poolers"])
        pool, superuser = params["pool"], params["superuser"]
        return cls(
            api=PatroniApi.from_params(params),
            poolers=Poolers(poolers, params["pooler_username"], params["pooler_password"], params["pooler_ca"]),
            pool=(pool["address"], pool["port"]) if pool else None,
            superuser=(superuser["username"], superuser["password"]) if superuser else None,
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
        self._checkpoint(made.leader)
        known = self._certificates(made.heirs)
        watch.end("checkpointed")
        with ThreadPoolExecutor(1) as pool:
            with self.poolers.paused(self.limits.pause, self.limits.pause_required):
                watch.end("paused")
                asked = pool.submit(self.api.switch_over, made.leader, made.candidate, self.limits.switch)
                heir = self._await_leader(made, asked)
                watch.end("promoted")
                self._await_pool(heir, known)
            watch.end("switched")
        cluster = self._await_healthy(made, heir)
        watch.end("healthy")
        return cluster, watch.phases

    def _checkpoint(self, leader: Member) -> None:
        """Write what is dirty, so that less of it is left when the leader stops; it stops without that too."""
        if self.superuser is None or psycopg2 is None:
            return
        username, password = self.superuser
        settings = {"host": leader.host, "port": leader.port, "dbname": "postgres", "user": username}
        verified = {"sslmode": "verify-full", "sslrootcert": self.ca} if self.ca else {}
        try:
            ask({**settings, **verified, "password": password}, "CHECKPOINT", (), self.limits.switch)
        except TimeoutError:
            text = f"a checkpoint on {leader.name} takes more than {self.limits.switch:g} s, and so would its stop"
            raise ClusterError(f"{text}; try again when it is done, or with a longer timeout") from None
        except psycopg2.Error as error:
            raise ClusterError(f"no checkpoint on {leader.name}: {sentence(error)}") from error

    def _await_leader(self, made: Plan, asked: Future[str]) -> Member:
        """Wait until one of the heirs is a primary that writes on its new timeline, and return it."""

        pending: dict[Future[dict[str, t.Any] | None], Member] = {}
        ask_all = ThreadPoolExecutor(len(made.heirs))

        def leading() -> Member | None:
            if asked.done() and (error := asked.exception()):
                raise ClusterError(f"{made.leader.name} did not hand over: {error}") from error
            for heir in made.heirs:
                if heir not in pending.values():
                    pending[ask_all.submit(self.api.own_state, heir)] = heir
            answered = {own: pending.pop(own) for own in wait(pending, POLL_SECONDS).done}
            return next((heir for own, heir in answered.items() if took_over(made.leader, own.result())), None)

        names = " or ".join(heir.name for heir in made.heirs)
        wait([asked], AT_LEAST_SECONDS)
        try:
            return await_that(leading, self.limits.switch, f"{names} to lead")
        finally:
            ask_all.shutdown(wait=False)

    def _certificates(self, heirs: Iterable[Member]) -> dict[str, bytes]:
        """Return the heirs' certificates by name, where somebody will ask for them."""
        if self.pool is None:
            return {}
        found = {heir.name: certificate(heir.host, heir.port) for heir in heirs if heir.host and heir.port}
        return {name: own for name, own in found.items() if own}

    def _await_pool(self, leader: Member, known: Mapping[str, bytes]) -> None:
        """Wait until a new connection through the pool would reach the leader."""
        if self.pool is None or leader.host is None or leader.port is None:
            return
        pool, host, port = self.pool, leader.host, leader.port

        def leads() -> bool:
            own = known.get(leader.name) or certificate(host, port)
            return own is not None and certificate(*pool) == own

        await_that(leads, self.limits.switch, f"the pool to lead to {leader.name}", POOL_POLL_SECONDS)

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


def await_that(find: Callable[[], T | None], seconds: float, what: str, interval: float = POLL_SECONDS) -> T:
    """Wait until something is found or true, and return it. Raises ClusterError when it takes too long."""
    for _left in until(time.monotonic() + seconds, interval):
        if found := find():
            return found
    raise ClusterError(f"not within {seconds:g} s: {what}")


def certificate(address: str, port: int) -> bytes | None:
    """Return the certificate (DER) of the PostgreSQL to which a new connection leads, None when it leads nowhere.

    It tells members apart without a login; nothing is trusted by it.
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
