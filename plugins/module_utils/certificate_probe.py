# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which authorities a service uses, by handshakes with it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.module_utils.certificate import first_certificate

SECONDS = 5.0
VERDICT_SECONDS = 1.0
"""How long a server of TLS 1.3 may take to refuse a certificate: it does so after the handshake."""
SSL_REQUEST = struct.pack("!II", 8, 80877103)
ACCEPTED, REFUSED = "accepted", "refused"


@dataclass(frozen=True)
class Port:
    """Where a service listens; postgresql: it has to be asked for TLS first."""

    name: str
    address: str
    port: int
    postgresql: bool = False


@dataclass(frozen=True)
class Own:
    """The host's own certificate and key (paths), and whether the certificate is for clients, too."""

    certificate: str
    key: str
    client: bool = True

    @property
    def der(self) -> bytes:
        """The certificate as a server presents it."""
        found = first_certificate(Path(self.certificate).read_text(encoding="ascii"))
        return ssl.PEM_cert_to_DER_cert(found.strip()) if found else b""


@dataclass(frozen=True)
class Probe:
    """What is to be proven: that services present the host's own certificate, which one of the trusted authorities
    (PEM) has issued, and what they say to a client with another one (a path, "" for none)."""

    trusted: str
    own: Own
    phase: str
    certificate: str = ""

    @contextmanager
    def with_client(self, certificate: str) -> Iterator[Probe]:
        """Return the probe with a client's certificate, given as PEM, that is in a file within the block."""
        with tempfile.NamedTemporaryFile() as staged:
            staged.write(certificate.encode())
            staged.flush()
            yield replace(self, certificate=staged.name if certificate else "")


@dataclass(frozen=True)
class Shaken:
    """The certificate that the server presented, b"" before the client's part was completed, and the error then or
    afterwards."""

    presented: bytes
    error: Exception | None = None


def look(probe: Probe, port: Port) -> tuple[str, str]:
    """Return why what a port presents is not accepted, "" if it is, and what it says to the client: ACCEPTED, REFUSED,
    "" without a client's certificate, else an error."""
    context = _context(probe, trusts=True)
    if probe.own.client:
        context.load_cert_chain(probe.own.certificate, probe.own.key)
    presented = _presented(_shake(port, context), probe.own.der)
    return presented, _client(port, probe) if probe.certificate else ""


def judge(probe: Probe, presented: str, client: str) -> str:
    """Return what is wrong with a port, "" for nothing."""
    if presented:
        return presented
    wanted = {"trust": ACCEPTED, "distrust": REFUSED}.get(probe.phase, "") if probe.certificate else ""
    if client == wanted:
        return ""
    if client == ACCEPTED:
        return "still accepts clients of the former authority: it has not read ca.crt since"
    if client == REFUSED:
        return "refuses clients of the next authority: it has not read ca.crt since"
    return client


def _presented(shaken: Shaken, own: bytes) -> str:
    """What a handshake says of the server's certificate. A server may want a client's, but shows its own before."""
    if isinstance(shaken.error, ssl.SSLCertVerificationError):
        return f"presents a certificate that is not accepted: {shaken.error.verify_message}"
    if shaken.presented:
        return "" if shaken.presented == own else "presents another certificate than host.crt: it has not read it since"
    if isinstance(shaken.error, ssl.SSLError) and "ALERT" in (shaken.error.reason or ""):
        return ""  # it wants a client's certificate; its own was accepted before
    return f"can't be asked: {shaken.error}"


def _client(port: Port, probe: Probe) -> str:
    context = _context(probe, trusts=False)
    context.load_cert_chain(probe.certificate, probe.own.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    error = _shake(port, context).error
    if isinstance(error, ssl.SSLError) and "PROTOCOL_VERSION" in (error.reason or ""):
        context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
        error = _shake(port, context).error
    if error is None:
        return ACCEPTED
    if isinstance(error, (ssl.SSLError, ConnectionResetError)):
        return REFUSED
    return f"can't be asked: {error}"


def _context(probe: Probe, *, trusts: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if trusts else ssl.CERT_NONE
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=probe.trusted)
    return context


def _shake(port: Port, context: ssl.SSLContext) -> Shaken:
    """Complete a handshake, and hear what the server says to the client's certificate."""
    presented = b""
    try:
        with socket.create_connection((port.address, port.port), SECONDS) as plain:
            if port.postgresql:
                plain.sendall(SSL_REQUEST)
                if plain.recv(1) != b"S":
                    return Shaken(presented, ConnectionError("it offers no TLS"))
            with context.wrap_socket(plain) as connection:
                presented = connection.getpeercert(binary_form=True) or b""
                if connection.version() == "TLSv1.3":
                    connection.settimeout(VERDICT_SECONDS)
                    with contextlib.suppress(TimeoutError):
                        connection.recv(1)
    except (OSError, ValueError) as error:
        return Shaken(presented, error)
    return Shaken(presented)
