# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What handshakes tell of real servers."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Wanted
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_probe import (
    ACCEPTED,
    REFUSED,
    SSL_REQUEST,
    Own,
    Port,
    Probe,
    judge,
    look,
)

pytest.importorskip("cryptography")

from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_authority import (
    Authority,
    key_pem,
    new_key,
    pem_of,
)

NOW = datetime.now(UTC)
DB1 = Wanted("host.crt", "db1", "holdfast", ("db1",), ("127.0.0.1",))
VERSIONS = {
    "TLS 1.2 only": (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2),
    "TLS 1.3 only": (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3),
    "both": (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
}


@dataclass
class Host:
    """A host's files, the authorities, and a service that wants clients' certificates."""

    directory: Path
    postgresql: bool = False
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion] = VERSIONS["both"]
    authorities: dict[str, Authority] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("former", "next"):
            self.authorities[name] = Authority.create(new_key(), name, NOW, 30)
        self.key = new_key()
        (self.directory / "host.key").write_bytes(key_pem(self.key, ""))
        self.issue("former")
        self.trust("former")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.context = self.read()
        threading.Thread(target=self.serve, daemon=True).start()

    def issue(self, authority: str) -> None:
        (self.directory / "host.crt").write_text(self.certificate(authority))

    def certificate(self, authority: str) -> str:
        return self.authorities[authority].issue(self.key.public_key(), DB1, NOW, 9)

    def trust(self, *authorities: str) -> None:
        (self.directory / "ca.crt").write_text(self.pem(*authorities))

    def pem(self, *authorities: str) -> str:
        return pem_of(self.authorities[name].certificate for name in authorities).decode()

    def read(self) -> ssl.SSLContext:
        """What a service has in its memory after a start or a reload."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.directory / "ca.crt"))
        context.load_cert_chain(self.directory / "host.crt", self.directory / "host.key")
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version, context.maximum_version = self.versions
        return context

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _address = self.listener.accept()
                threading.Thread(target=self.answer, args=[plain], daemon=True).start()

    def answer(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self.postgresql:
                assert plain.recv(8) == SSL_REQUEST
                plain.sendall(b"S")
            with self.context.wrap_socket(plain, server_side=True) as connection:
                connection.recv(1)

    def ask(self, phase: str, trusted: tuple[str, ...], client: str = "", *, is_client: bool = True) -> tuple[str, str]:
        """Return what the probe says, and what is wrong with it."""
        own = Own(str(self.directory / "host.crt"), str(self.directory / "host.key"), is_client)
        port = Port("etcd", "127.0.0.1", self.listener.getsockname()[1], self.postgresql)
        certificate = self.certificate(client) if client else ""
        with Probe(self.pem(*trusted), own, phase).with_client(certificate) as probe:
            presented, verdict = look(probe, port)
            return verdict, judge(probe, presented, verdict)


@pytest.fixture(params=VERSIONS)
def host(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    made = Host(tmp_path, versions=VERSIONS[request.param])
    yield made
    made.listener.close()


def test_the_steps_of_a_replacement(host: Host) -> None:
    both = ("next", "former")
    host.trust(*both)
    verdict, problem = host.ask("trust", both, "next")
    assert (verdict, "refuses clients of the next authority" in problem) == (REFUSED, True)
    host.context = host.read()
    assert host.ask("trust", both, "next") == (ACCEPTED, "")

    host.issue("next")
    assert "another certificate than host.crt" in host.ask("settled", both)[1]
    assert "not accepted" in host.ask("issue", ("next",))[1]
    host.context = host.read()
    assert host.ask("issue", ("next",)) == ("", "")

    host.trust("next")
    verdict, problem = host.ask("distrust", ("next",), "former")
    assert (verdict, "still accepts clients of the former" in problem) == (ACCEPTED, True)
    host.context = host.read()
    assert host.ask("distrust", ("next",), "former") == (REFUSED, "")


def test_a_host_that_is_no_client_is_asked_what_it_presents(host: Host) -> None:
    assert host.ask("trust", ("former",), is_client=False) == ("", "")
    assert host.ask("trust", ("next",), is_client=False)[1].startswith("presents a certificate that is not accepted")


def test_postgresql_is_asked_for_tls_first(tmp_path: Path) -> None:
    host = Host(tmp_path, postgresql=True)
    host.trust("next", "former")
    assert host.ask("trust", ("next", "former"), "next")[0] == REFUSED
    host.context = host.read()
    assert host.ask("trust", ("next", "former"), "next") == (ACCEPTED, "")
    host.listener.close()


def test_nobody_answers(tmp_path: Path) -> None:
    host = Host(tmp_path)
    port = host.listener.getsockname()[1]
    host.listener.shutdown(socket.SHUT_RDWR)
    host.listener.close()
    own = Own(str(tmp_path / "host.crt"), str(tmp_path / "host.key"))
    probe = Probe(host.pem("former"), own, "settled")
    presented, client = look(probe, Port("etcd", "127.0.0.1", port))
    assert judge(probe, presented, client).startswith("can't be asked")
