# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private keys and signing requests through python3-cryptography (38 and later)."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from typing import Any

try:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519

    CRYPTOGRAPHY_ERROR: str | None = None
except ImportError:
    CRYPTOGRAPHY_ERROR = traceback.format_exc()

from ansible_collections.holdfast.ha.plugins.module_utils.certificate import all_certificates

Key = Any

AUTHORITIES = "ca.crt"
"""The name of a file with several authorities, one of which is enough."""


def new_key() -> Key:
    """Return a new ECDSA P-256 private key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key) -> bytes:
    """Return a private key as unencrypted PKCS#8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_key(pem: bytes | None) -> Key | None:
    """Return the private key, or None when there is none that can be read without a passphrase."""
    try:
        return serialization.load_pem_private_key(pem or b"", password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def ends(pem: bytes) -> list[datetime]:
    """Return the last moment of validity of each certificate in a PEM text; raise ValueError on a malformed one."""
    texts = all_certificates(pem.decode("utf-8", "replace"))
    return [_end(x509.load_pem_x509_certificate(text.encode())) for text in texts]


def end_of(name: str, pem: bytes) -> int:
    """Return when the first of a file's certificates expires, the last one in AUTHORITIES, in seconds since the epoch.

    Raises ValueError for a malformed or missing one.
    """
    found = ends(pem)
    if not found:
        raise ValueError("holds no certificate")
    return int((max if name == AUTHORITIES else min)(found).timestamp())


def _end(certificate: Any) -> datetime:
    """cryptography before 42 knows the naive form only, later ones deprecate it."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_after_utc
    return certificate.not_valid_after.replace(tzinfo=UTC)


def new_request(key: Key) -> str:
    """Return a PEM signing request that only proves possession of the key; it requests no content."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, _hash_for(key))
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _hash_for(key: Key) -> Any:
    if isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        return None
    return hashes.SHA256()
