# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import certificate_x509 as crypto
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Wanted

pytest.importorskip("cryptography")

from cryptography import x509
from cryptography.hazmat.primitives import serialization


@pytest.mark.parametrize(
    ("wanted", "subject"),
    [
        (Wanted("/host.crt", "db1", "holdfast", ("db1",), ("198.51.100.11", "::1")), "CN=db1"),
        (Wanted("/client.crt", None, "db1", ("db1",), ()), "OU=db1"),
    ],
)
def test_request(wanted: Wanted, subject: str) -> None:
    request = x509.load_pem_x509_csr(crypto.new_request(crypto.new_key(), wanted).encode())
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usages = request.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    constraints = request.extensions.get_extension_for_class(x509.BasicConstraints)
    assert request.subject.rfc4514_string() == subject
    assert names.get_values_for_type(x509.DNSName) == ["db1"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == list(wanted.ip)
    assert len(list(usages)) == 2
    assert (constraints.value.ca, constraints.critical) == (False, True)


def test_key_round_trip() -> None:
    key = crypto.new_key()
    loaded = crypto.load_key(crypto.key_pem(key))
    assert loaded is not None
    assert crypto.key_pem(loaded) == crypto.key_pem(key)


@pytest.mark.parametrize(
    "pem", [None, b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----\n"]
)
def test_unreadable_key(pem: bytes | None) -> None:
    assert crypto.load_key(pem) is None


def test_a_key_with_a_passphrase_counts_as_unreadable() -> None:
    pem = crypto.new_key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    assert crypto.load_key(pem) is None
