# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import certificate_x509 as crypto

pytest.importorskip("cryptography")

from cryptography import x509
from cryptography.hazmat.primitives import serialization


def test_a_request_names_nothing_and_proves_who_has_the_key() -> None:
    key = crypto.new_key()
    request = x509.load_pem_x509_csr(crypto.new_request(key).encode())
    assert request.is_signature_valid
    assert request.public_key() == key.public_key()
    assert (request.subject.rfc4514_string(), len(request.extensions)) == ("", 0)


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
