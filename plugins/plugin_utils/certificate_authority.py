# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificate authority on the controller. It sets a certificate's contents; a host sends its public key only."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Wanted

# ansible-core requires it, so it is installed wherever this runs; ansible-test imports without it.
try:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
except ImportError:
    pass
else:
    SIGNATURE_ONLY = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    SERVER_AND_CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])

LARGEST_REQUEST = 16384
LEAST_RSA_BITS = 2048


class RefusedError(Exception):
    """The authority refuses a host's request, or can't issue certificates."""


@dataclass(frozen=True)
class Authority:
    """The issuing certificate and its private key."""

    certificate: x509.Certificate
    key: Any

    @classmethod
    def load(cls, certificates: bytes, key: bytes, passphrase: str) -> Authority:
        """Return the authority of the first certificate in a PEM text; raise RefusedError."""
        try:
            certificate = x509.load_pem_x509_certificates(certificates)[0]
            private = serialization.load_pem_private_key(key, passphrase.encode() or None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise RefusedError(f"the authority's files can't be read: {error}") from error
        if spki(private.public_key()) != spki(certificate.public_key()):
            raise RefusedError("the authority's key is not that of the first certificate in its ca.crt")
        return cls(certificate, private)

    def issue(self, public_key: Any, wanted: Wanted, now: datetime, days: int) -> str:
        """Return a certificate, as PEM, with the requested contents only."""
        names = [x509.DNSName(name) for name in wanted.dns]
        addresses = [x509.IPAddress(ip_address(address)) for address in wanted.ip]
        builder = x509.CertificateBuilder(
            issuer_name=self.certificate.subject,
            subject_name=subject(wanted),
            public_key=public_key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(days=1),
            not_valid_after=now + timedelta(days=days),
        )
        for extension, critical in (
            (x509.SubjectAlternativeName([*names, *addresses]), False),
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (SIGNATURE_ONLY, True),
            (SERVER_AND_CLIENT if wanted.client else SERVER, False),
            (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
            (self._key_identifier(), False),
        ):
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hash_for(self.key)).public_bytes(serialization.Encoding.PEM).decode()

    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        try:
            own = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        except x509.ExtensionNotFound:
            return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def public_key_of(request: str) -> Any:
    """Return the public key of a request that is signed with its private key; raise RefusedError for any other."""
    if len(request) > LARGEST_REQUEST:
        raise RefusedError("its signing request is too long to be one")
    try:
        parsed = x509.load_pem_x509_csr(request.encode())
        key = parsed.public_key()
        is_proven = parsed.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise RefusedError(f"its signing request can't be read: {error}") from error
    if not is_proven:
        raise RefusedError("its signing request is not signed with the private key of the public one in it")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < LEAST_RSA_BITS:
        raise RefusedError(f"its RSA key has fewer than {LEAST_RSA_BITS} bits")
    if not isinstance(
        key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)
    ):
        raise RefusedError("its key is neither RSA, ECDSA nor EdDSA")
    return key


def claim(directory: Path, public_key: Any, host: str) -> None:
    """Record the owner of this key with the authority; raise RefusedError when it is another host's."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    record = directory / hashlib.sha256(spki(public_key)).hexdigest()
    with tempfile.NamedTemporaryFile("w", dir=directory, encoding="utf-8") as staged:
        staged.write(f"{host}\n")
        staged.flush()
        try:
            os.link(staged.name, record)
        except FileExistsError:
            owner = record.read_text(encoding="utf-8").strip()
            if owner != host:
                raise RefusedError(
                    f"its private key is already that of {owner}, as on a copied disk: remove the key on the host, and"
                    f" the next run makes one; if {owner} was only renamed, remove {record}"
                ) from None


def foreign_facts(facts: Iterable[str]) -> list[str]:
    """Return the names of facts by which a host would override its identity in the inventory."""
    return sorted(name for name in facts if name in OWN_NAMES or name.startswith(OWN_PREFIXES))


OWN_NAMES = frozenset({"ha", "groups", "group_names", "hostvars", "inventory_dir", "inventory_file"})
OWN_PREFIXES = ("ha_", "certificates_", "inventory_hostname")


def subject(wanted: Wanted) -> x509.Name:
    """Return the subject: the common name, or only an organizational unit."""
    oid, name = (
        (NameOID.ORGANIZATIONAL_UNIT_NAME, wanted.unit_name)
        if wanted.common_name is None
        else (NameOID.COMMON_NAME, wanted.common_name)
    )
    return x509.Name([x509.NameAttribute(oid, name)])


def spki(public_key: Any) -> bytes:
    """Return a public key in the encoding from which its fingerprint is computed."""
    return bytes(public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def hash_for(key: Any) -> hashes.SHA256 | None:
    """Return the digest to sign with; EdDSA has its own."""
    return None if isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)) else hashes.SHA256()
