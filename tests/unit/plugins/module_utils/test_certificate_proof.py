# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Found
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_proof import end_of_authority, prove

pytest.importorskip("cryptography")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import NameOID

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
KEYS: dict[str, Callable[[], Any]] = {
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Pki:
    """An authority, a host's key, and certificates for it in files."""

    def __init__(self, directory: Path, kind: str = "ec") -> None:
        self.directory = directory
        self.ca_key, self.key = KEYS[kind](), KEYS["ec"]()
        self.key_path = str(directory / "host.key")
        self.store_key(serialization.NoEncryption())
        self.ca = self.issue(named("CA"), self.ca_key.public_key(), [x509.BasicConstraints(ca=True, path_length=0)])

    def store_key(self, encryption: Any) -> None:
        pem = self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        Path(self.key_path).write_bytes(pem)

    def issue(self, subject: x509.Name, key: Any, extensions: list[Any], start: int = -1, end: int = 100) -> str:
        builder = x509.CertificateBuilder(named("CA"), subject, key, x509.random_serial_number())
        builder = builder.not_valid_before(NOW + start * DAY).not_valid_after(NOW + end * DAY)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        algorithm = None if isinstance(self.ca_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        return builder.sign(self.ca_key, algorithm).public_bytes(serialization.Encoding.PEM).decode()

    def host(self, *usages: Any, key: Any = None, **validity: int) -> str:
        """Return the path of a certificate for the host."""
        extensions = [
            x509.SubjectAlternativeName([x509.DNSName("db1")]),
            x509.ExtendedKeyUsage(usages or (Usage.SERVER_AUTH, Usage.CLIENT_AUTH)),
        ]
        path = self.directory / "host.crt"
        path.write_text(self.issue(named("db1"), (key or self.key).public_key(), extensions, **validity))
        return str(path)


@pytest.mark.parametrize("kind", KEYS)
def test_a_good_certificate(tmp_path: Path, kind: str) -> None:
    pki = Pki(tmp_path, kind)
    assert prove(pki.host(), pki.key_path, pki.ca) == Found("db1", frozenset({"DNS:db1"}), NOW + 100 * DAY)


def test_a_certificate_for_servers_only(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    found = prove(pki.host(Usage.SERVER_AUTH), pki.key_path, pki.ca)
    assert found == Found("db1", frozenset({"DNS:db1"}), NOW + 100 * DAY, client=False)


BAD: dict[str, tuple[Callable[[Pki], str], str]] = {
    "of another key": (lambda pki: pki.host(key=KEYS["ec"]()), "can't be used with the private key"),
    "for clients only": (lambda pki: pki.host(Usage.CLIENT_AUTH), "isn't accepted"),
    "ended": (lambda pki: pki.host(start=-3, end=-1), "expired"),
    "not begun": (lambda pki: pki.host(start=1), "not yet valid"),
    "missing": (lambda pki: pki.host() + "x", "no certificate"),
    "no certificate at all": (lambda pki: pki.key_path, "can't be used"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_certificate(tmp_path: Path, name: str) -> None:
    pki = Pki(tmp_path)
    path, expected = BAD[name][0](pki), BAD[name][1]
    reason = prove(path, pki.key_path, pki.ca)
    assert isinstance(reason, str)
    assert expected in reason


def test_an_authority_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    pki, other = Pki(tmp_path), Pki(tmp_path / "other")
    assert isinstance(prove(pki.host(), pki.key_path, other.ca), str)


@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_a_bad_key(tmp_path: Path, content: bytes | None) -> None:
    pki = Pki(tmp_path)
    path = pki.host()
    Path(pki.key_path).unlink()
    if content is not None:
        Path(pki.key_path).write_bytes(content)
    assert isinstance(prove(path, pki.key_path, pki.ca), str)


def test_an_encrypted_key_asks_nobody(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    pki.store_key(serialization.BestAvailableEncryption(b"passphrase"))
    assert isinstance(prove(pki.host(), pki.key_path, pki.ca), str)


def test_end_of_authority(tmp_path: Path) -> None:
    assert end_of_authority(Pki(tmp_path).ca) == NOW + 100 * DAY
    assert end_of_authority("garbage") is None
