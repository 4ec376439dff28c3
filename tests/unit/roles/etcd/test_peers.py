# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is answered on the peer port of a real etcd, and how a running cluster gets there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import certificate_x509
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Wanted
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import (
    EtcdClient,
    Tls,
    all_healthy,
    peer_members,
    presented_names,
    wait_for,
)
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_authority import Authority
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from scripts.etcd import find_etcd
from tests.unit.roles.lease_watcher.etcd_cluster import Member, free_ports, wait_until

NAME = "my_lab.etcd.holdfast.internal"
MEMBERS = ("m0", "m1", "m2")
PATIENCE = 120.0
"""Seconds until a busy machine must have done anything; each request has fewer and is repeated."""
REQUEST = 5.0
REFUSED = r"SSL.* alert |Broken pipe|Connection reset"
"""etcd refuses a certificate in the middle of the handshake, which the client may notice only when it writes."""


def is_answered(ask: Callable[[], Any]) -> bool:
    """Whether etcd answers a request, and not refuses it; what is neither, such as no answer in time, is no verdict."""

    def verdict() -> str:
        try:
            ask()
        except EndpointError as error:
            if re.search(REFUSED, error.message):
                return "refused"
            raise
        return "answered"

    return bool(wait_until(verdict, "an answer or a refusal", PATIENCE) == "answered")


def names(member: Member, tls: Tls) -> frozenset[str]:
    """Return the names that a member's peer port presents."""
    port = int(member.peer.rpartition(":")[2])
    found: frozenset[str] = wait_until(
        lambda: presented_names("127.0.0.1", port, tls, REQUEST), "a certificate", PATIENCE
    )
    return found


class Hosts:
    """An authority, and the files of every host it has issued for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA")])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=9))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        certificate = builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())
        self.authority = Authority(certificate, key)
        (folder / "ca.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.keys = {name: certificate_x509.new_key() for name in (*MEMBERS, "lb1")}
        for name, own in self.keys.items():
            (folder / f"{name}.key").write_bytes(certificate_x509.key_pem(own))
            self.issue(name)

    def issue(self, name: str, *more: str, client: bool = True) -> None:
        wanted = Wanted("", None, name, (name, *more), ("127.0.0.1",), client)
        issued = self.authority.issue(self.keys[name].public_key(), wanted, datetime.now(UTC), 9)
        (self.folder / f"{name}.crt").write_text(issued)

    def tls(self, name: str) -> Tls:
        return Tls(str(self.folder / "ca.crt"), str(self.folder / f"{name}.crt"), str(self.folder / f"{name}.key"))


@dataclass
class Etcd:
    """Three members, each with a certificate of its own."""

    program: str
    hosts: Hosts
    members: list[Member]

    def healthy(self) -> bool:
        clients = [EtcdClient(member.tls.client(member.client, REQUEST)) for member in self.members]
        return all_healthy(wait_for(clients, all_healthy, PATIENCE))

    def restart(self, member: Member, *options: str) -> None:
        member.kill()
        member.options = options
        member.start(self.program, self.members)

    def answers(self, member: Member, who: str) -> bool:
        """Whether a host is answered on a member's peer port."""
        return is_answered(lambda: peer_members(self.hosts.tls(who).client(member.peer, REQUEST)))


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Etcd]:
    program = find_etcd()
    if program is None:
        if os.environ.get("HOLDFAST_WITHOUT_ETCD"):
            pytest.skip("HOLDFAST_WITHOUT_ETCD is set")
        pytest.fail("there is no etcd to test with: run `make etcd`, or set HOLDFAST_WITHOUT_ETCD=1 to do without")
    hosts, ports = Hosts(tmp_path), free_ports(6)
    urls = [f"https://127.0.0.1:{port}" for port in ports]
    members = [Member(name, urls[n], urls[n + 3], tmp_path, hosts.tls(name)) for n, name in enumerate(MEMBERS)]
    cluster = Etcd(program, hosts, members)
    try:
        for member in members:
            member.start(program, members)
        assert cluster.healthy()
        yield cluster
    finally:
        for member in members:
            member.kill()


def test_a_running_cluster_closes_its_peer_ports_one_member_after_the_other(etcd: Etcd) -> None:
    assert etcd.answers(etcd.members[0], "lb1")
    for member in etcd.members:
        etcd.hosts.issue(member.name, NAME)
    for member in etcd.members:
        assert f"DNS:{NAME}" in names(member, etcd.hosts.tls("lb1"))
    for member in etcd.members:
        etcd.restart(member, "--peer-cert-allowed-hostname", NAME)
        assert etcd.healthy()
    for member in etcd.members:
        assert [etcd.answers(member, who) for who in (*MEMBERS, "lb1")] == [True, True, True, False]


def test_a_host_that_is_no_client_reaches_neither_port(etcd: Etcd) -> None:
    member = etcd.members[0]

    def grant() -> None:
        EtcdClient(etcd.hosts.tls("lb1").client(member.client, REQUEST)).call("/v3/lease/grant", {"TTL": "5"})

    assert is_answered(grant)
    etcd.hosts.issue("lb1", client=False)
    assert not is_answered(grant)
    assert not etcd.answers(member, "lb1")


def test_who_has_the_name_is_asked_of_the_port(etcd: Etcd) -> None:
    port, tls = int(etcd.members[0].peer.rpartition(":")[2]), etcd.hosts.tls("m1")
    assert names(etcd.members[0], tls) == {"DNS:m0", "IP:127.0.0.1"}
    etcd.members[0].kill()
    assert presented_names("127.0.0.1", port, tls, REQUEST) is None


def test_a_host_without_the_authority_asks_in_vain(tmp_path: Path) -> None:
    tls = Tls(*(str(tmp_path / name) for name in ("ca.crt", "host.crt", "host.key")))
    assert presented_names("127.0.0.1", 1, tls, 2) is None
