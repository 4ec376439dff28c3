# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private keys, signing requests and chains of certificates through python3-cryptography (38 and later)."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
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
Certificate = Any

AUTHORITIES = "ca.crt"
"""The name of the file with the authorities, and of the host's own certificate, which one of them issued."""
HOST = "host.crt"


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


def certificates_of(pem: bytes) -> list[Certificate]:
    """Return each certificate in a PEM text; raise ValueError on a malformed one."""
    return [x509.load_pem_x509_certificate(text.encode()) for text in all_certificates(pem.decode("utf-8", "replace"))]


def end_of(path: Path, read: Callable[[Path], bytes | None]) -> int:
    """Return when a file's certificates are of no more use, in seconds since the epoch.

    That is when the first of them ends. Of AUTHORITIES it is when the one ends that issued HOST beside it, or one above
    that; where none of them did, when the last one ends. Raises ValueError for a malformed file, or one without
    certificates.
    """
    found = certificates_of(read(path) or b"")
    if not found:
        raise ValueError("holds no certificate")
    if path.name != AUTHORITIES:
        return _timestamp(min(map(end, found)))
    leaf = certificates_of(read(path.with_name(HOST)) or b"")[:1]
    chain = [one for issued in leaf for one in chain_of(issued, found)]
    return _timestamp(min(map(end, chain)) if chain else max(map(end, found)))


def chain_of(certificate: Certificate, known: Sequence[Certificate]) -> list[Certificate]:
    """Return the issuer of a certificate, the issuer's, and so on, as far as they are among the known ones.

    They are found by name and key identifier; whether the signatures are right, a handshake proves.
    """
    chain: list[Certificate] = []
    while certificate.issuer != certificate.subject:
        issuer = next((one for one in known if one not in chain and has_issued(one, certificate)), None)
        if issuer is None:
            break
        chain.append(issuer)
        certificate = issuer
    return chain


def has_issued(issuer: Certificate, certificate: Certificate) -> bool:
    """Return whether a certificate names an issuer: its subject, and the identifier of its key where both have one."""
    if issuer.subject != certificate.issuer:
        return False
    own = _identifier(issuer, x509.SubjectKeyIdentifier, "digest")
    named = _identifier(certificate, x509.AuthorityKeyIdentifier, "key_identifier")
    return own is None or named is None or own == named


def _identifier(certificate: Certificate, kind: Any, attribute: str) -> bytes | None:
    try:
        found: bytes | None = getattr(certificate.extensions.get_extension_for_class(kind).value, attribute)
    except x509.ExtensionNotFound:
        return None
    return found


def end(certificate: Certificate) -> datetime:
    """Return the last moment of validity. cryptography before 42 knows the naive form only, later ones deprecate it."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_after_utc
    return certificate.not_valid_after.replace(tzinfo=UTC)


def begin(certificate: Certificate) -> datetime:
    """Return the first moment of validity."""
    if hasattr(certificate, "not_valid_before_utc"):
        return certificate.not_valid_before_utc
    return certificate.not_valid_before.replace(tzinfo=UTC)


def _timestamp(moment: datetime) -> int:
    return int(moment.timestamp())


def new_request(key: Key) -> str:
    """Return a PEM signing request that only proves possession of the key; it requests no content."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, _hash_for(key))
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _hash_for(key: Key) -> Any:
    if isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        return None
    return hashes.SHA256()
