# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real etcd cluster on loopback ports: three members with TLS, client certificates and authentication."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.etcd import AuthState, User, plan_auth
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import EtcdClient, Tls
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from lease_watcher.gateway import Access, Gateway

from scripts.etcd import find_etcd

PREFIX = "/service/lab/"
PASSWORD = "only-of-this-test"
WATCHER = User(
    "lease_watcher",
    PASSWORD,
    prefixes=(f"{PREFIX}leader", f"{PREFIX}members/"),
    read_prefixes=(f"{PREFIX}config",),
)
PATRONI = User("patroni", PASSWORD, prefixes=(PREFIX,))
CONFIG = '{"ttl": 20, "loop_wait": 1, "retry_timeout": 3, "synchronous_mode": "quorum"}'
DEADLINE = 30.0
TIMEOUT = 2.0


def wait_until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """Poll until the condition is true; return its value."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(EndpointError):
            value = condition()
            if value:
                return value
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now.

    They lie below those that the kernel gives to connections: one of these could have a member's port when it restarts.
    """
    free: list[int] = []
    with contextlib.ExitStack() as stack:
        for port in random.sample(range(20000, 32000), 1000):
            each = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                each.bind(("127.0.0.1", port))
                free.append(port)
            if len(free) == count:
                return free
    raise OSError(f"fewer than {count} ports are free")


def etcd_program() -> str:
    """The etcd to test with; without one the test is skipped where that was asked for, and fails elsewhere."""
    program = find_etcd()
    if program is None:
        if os.environ.get("HOLDFAST_WITHOUT_ETCD"):
            pytest.skip("HOLDFAST_WITHOUT_ETCD is set")
        pytest.fail("there is no etcd to test with: run `make etcd`, or set HOLDFAST_WITHOUT_ETCD=1 to do without")
    return program


def make_tls(folder: Path) -> Tls:
    """One key with a certificate for 127.0.0.1 to .3, without a common name, that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "test")])
    now = datetime.now(UTC)
    addresses = [ipaddress.ip_address(f"127.0.0.{last}") for last in (1, 2, 3)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(address) for address in addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / "host.crt", folder / "host.key"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Tls(str(pem), str(pem), str(private))


@dataclass
class Member:
    """One etcd process."""

    name: str
    client: str
    peer: str
    folder: Path
    tls: Tls
    process: subprocess.Popen[bytes] | None = None
    options: tuple[str, ...] = ()

    def start(self, program: str, members: list[Member], settings: Mapping[str, str] | None = None) -> None:
        cluster = ",".join(f"{member.name}={member.peer}" for member in members)
        tls = self.tls
        arguments = [
            *("--name", self.name, "--data-dir", str(self.folder / self.name)),
            *("--listen-client-urls", self.client, "--advertise-client-urls", self.client),
            *("--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer),
            *("--initial-cluster", cluster, "--initial-cluster-token", "test"),
            *("--heartbeat-interval", "100", "--election-timeout", "1000"),
            *("--client-cert-auth", "--trusted-ca-file", tls.ca, "--cert-file", tls.cert, "--key-file", tls.key),
            *("--peer-client-cert-auth", "--peer-trusted-ca-file", tls.ca),
            *("--peer-cert-file", tls.cert, "--peer-key-file", tls.key),
            *("--logger", "zap", "--log-level", "error", "--pre-vote"),
            *self.options,
        ]
        with (self.folder / f"{self.name}.log").open("ab") as log:
            environment = {**os.environ, **(settings or {})}
            self.process = subprocess.Popen([program, *arguments], stdout=log, stderr=log, env=environment)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class Cluster:
    """Three members, and what a Patroni member does with them."""

    program: str
    members: list[Member]
    tls: Tls
    clients: dict[str, EtcdClient] = field(default_factory=dict)

    @classmethod
    def started(cls, folder: Path) -> Cluster:
        program = etcd_program()
        tls, ports = make_tls(folder), free_ports(6)
        members = [
            Member(f"m{n}", f"https://127.0.0.1:{ports[n]}", f"https://127.0.0.1:{ports[n + 3]}", folder, tls)
            for n in range(3)
        ]
        cluster = cls(program, members, tls)
        for member in members:
            member.start(program, members)
        cluster.wait_until_healthy()
        client = EtcdClient(tls.client(members[0].client, 5))
        for call in plan_auth(AuthState(False, {}, {}), PASSWORD, [PATRONI, WATCHER]):
            client.call(call.path, dict(call.body))
        return cluster

    def stop(self) -> None:
        for member in self.members:
            member.kill()

    def wait_until_healthy(self) -> None:
        for member in self.members:
            client = EtcdClient(self.tls.client(member.client, 1))
            wait_until(lambda client=client: client.unhealthy_because() is None, f"{member.name} serves")

    def restart(self, member: Member) -> None:
        member.kill()
        member.start(self.program, self.members)
        self.wait_until_healthy()

    def gateway(self, member: Member, user: User = WATCHER) -> Gateway:
        """What a watcher beside this member talks through."""
        tls = self.tls
        return Gateway(Access(member.client, tls.ca, tls.cert, tls.key, user.name, user.password, TIMEOUT), PREFIX)

    def leader(self) -> Member:
        """The member that leads etcd now."""

        def found() -> Member | None:
            for member in self.members:
                with contextlib.suppress(EndpointError):
                    status = self._patroni(member).call("/v3/maintenance/status")
                    if status["header"]["member_id"] == status.get("leader"):
                        return member
            return None

        return wait_until(found, "a leader of etcd")

    def follower(self) -> Member:
        leader = self.leader()
        return next(member for member in self.members if member is not leader)

    def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Call what Patroni's user may call, on any member that serves."""
        last: EndpointError | None = None
        for member in self.members:
            for _again in range(2):
                try:
                    return self._patroni(member).call(path, body)
                except EndpointError as error:
                    last = error
                    self.clients.pop(member.name, None)
        assert last is not None
        raise last

    def _patroni(self, member: Member) -> EtcdClient:
        if member.name not in self.clients:
            client = EtcdClient(self.tls.client(member.client, TIMEOUT)).login(PATRONI.name, PATRONI.password)
            assert client is not None
            self.clients[member.name] = client
        return self.clients[member.name]

    def grant(self, ttl: int, lease: int = 0) -> int:
        return int(self.call("/v3/lease/grant", {"TTL": str(ttl), "ID": str(lease)})["ID"])

    def renew(self, lease: int) -> int:
        """The time to live after a keep-alive; 0: there is no such lease."""
        return int(self.call("/v3/lease/keepalive", {"ID": str(lease)})["result"].get("TTL", 0))

    def put(self, key: str, value: str, lease: int = 0) -> None:
        encoded = {"key": encode(PREFIX + key), "value": encode(value)}
        self.call("/v3/kv/put", {**encoded, **({"lease": str(lease)} if lease else {})})

    def delete(self, key: str) -> None:
        self.call("/v3/kv/deleterange", {"key": encode(PREFIX + key)})

    def get(self, key: str) -> dict[str, Any] | None:
        """The key's value, decoded, its lease and its revisions; None when there is no such key."""
        found = self.call("/v3/kv/range", {"key": encode(PREFIX + key)}).get("kvs")
        return {**found[0], "value": base64.b64decode(found[0]["value"]).decode()} if found else None

    def holds(self, key: str) -> bool:
        return self.get(key) is not None

    def lead(self, member: str, lease: int, config: str = CONFIG, data: str = "{}") -> None:
        """Have a member of Patroni hold the leader key."""
        self.put("config", config)
        self.put(f"members/{member}", data, lease)
        self.put("leader", member, lease)


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
