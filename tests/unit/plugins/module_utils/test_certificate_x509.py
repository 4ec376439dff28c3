# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("cryptography")

from ansible_collections.holdfast.ha.plugins.module_utils import certificate_x509 as crypto
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Wanted, reasons_to_renew
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

NOW = datetime.now(UTC)
HOST = Wanted("/tls/host.crt", "db1", "holdfast", ("db1", "localhost"), ("198.51.100.11", "::1"))
CLIENT = Wanted("/tls/client.crt", None, "db1", ("db1",), ())
KEYS: dict[str, t.Callable[[], t.Any]] = {
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def issue(name: x509.Name, public_key: t.Any, ca_key: t.Any, issuer: x509.Name, request: t.Any = None) -> t.Any:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=100))
    )
    for extension in request.extensions if request else ():
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(ca_key, None if isinstance(ca_key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def authority(ca_key: t.Any, name: str = "CA") -> t.Any:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return issue(subject, ca_key.public_key(), ca_key, subject)


def signed(request_pem: str, ca: t.Any, ca_key: t.Any) -> t.Any:
    request = x509.load_pem_x509_csr(request_pem.encode())
    return issue(request.subject, request.public_key(), ca_key, ca.subject, request)


@pytest.mark.parametrize("wanted", [HOST, CLIENT], ids=["host", "client"])
@pytest.mark.parametrize("kind", KEYS)
def test_a_signed_request_is_good(kind: str, wanted: Wanted) -> None:
    ca_key = KEYS[kind]()
    ca, key = authority(ca_key), crypto.new_key()
    certificate = signed(crypto.new_request(key, wanted), ca, ca_key)
    found = crypto.describe(certificate, key, ca)
    assert reasons_to_renew(found, wanted, NOW, timedelta(days=30)) == ()
    assert found.common_name == wanted.common_name


def test_foreign_key_and_foreign_authority_of_the_same_name() -> None:
    ca_key, other_key = KEYS["ec"](), KEYS["ec"]()
    key = crypto.new_key()
    certificate = signed(crypto.new_request(key, HOST), authority(ca_key), ca_key)
    found = crypto.describe(certificate, crypto.new_key(), authority(other_key))
    assert (found.matches_key, found.issued_by_ca) == (False, False)
    assert not crypto.describe(certificate, key, authority(ca_key, "Other CA")).issued_by_ca


def test_key_round_trip() -> None:
    key = crypto.new_key()
    loaded = crypto.load_key(crypto.key_pem(key))
    assert loaded is not None
    assert crypto.key_pem(loaded) == crypto.key_pem(key)


@pytest.mark.parametrize(
    "pem", [None, b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----\n"]
)
def test_unreadable(pem: bytes | None) -> None:
    assert crypto.load_key(pem) is None
    assert crypto.load_certificate(pem) is None


def test_a_key_with_a_passphrase_counts_as_unreadable() -> None:
    pem = crypto.new_key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    assert crypto.load_key(pem) is None
