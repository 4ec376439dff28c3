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

from ansible_collections.holdfast.ha.plugins.module_utils.certificate import BACKDATED, Wanted

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
    NO_USE = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    SIGNATURE_ONLY = x509.KeyUsage(**NO_USE | {"digital_signature": True})
    SIGNS_CERTIFICATES = x509.KeyUsage(**NO_USE | {"key_cert_sign": True, "crl_sign": True})
    SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    SERVER_AND_CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])

LARGEST_REQUEST = 16384
LEAST_RSA_BITS = 2048
SPREAD = 10
"""The part of its days, one of so many, over which the ends of hosts' certificates are spread."""


class RefusedError(Exception):
    """The authority refuses a host's request, or can't issue certificates."""


@dataclass(frozen=True)
class Authority:
    """The issuing certificate and its private key."""

    certificate: x509.Certificate
    key: Any

    @classmethod
    def load(cls, certificates: bytes, key: bytes, passphrase: str) -> Authority:
        """Return the authority whose certificate in a PEM text belongs to a key; raise RefusedError."""
        private = load_key(key, passphrase)
        certificate = owner_of(private, load_certificates(certificates))
        if certificate is None:
            raise RefusedError("the authority's key is not that of a certificate in its ca.crt")
        return cls(certificate, private)

    @classmethod
    def create(cls, key: Any, common_name: str, now: datetime, days: int) -> Authority:
        """Return a new authority, which issues certificates of hosts only."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        public = key.public_key()
        builder = x509.CertificateBuilder(
            issuer_name=name,
            subject_name=name,
            public_key=public,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - BACKDATED,
            not_valid_after=now + timedelta(days=days),
        )
        for extension, critical in (
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (SIGNS_CERTIFICATES, True),
            (x509.SubjectKeyIdentifier.from_public_key(public), False),
        ):
            builder = builder.add_extension(extension, critical)
        return cls(builder.sign(key, hash_for(key)), key)

    def issue(self, public_key: Any, wanted: Wanted, now: datetime, days: float) -> str:
        """Return a certificate, as PEM, with the requested contents only."""
        names = [x509.DNSName(name) for name in wanted.dns]
        addresses = [x509.IPAddress(ip_address(address)) for address in wanted.ip]
        builder = x509.CertificateBuilder(
            issuer_name=self.certificate.subject,
            subject_name=subject(wanted),
            public_key=public_key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - BACKDATED,
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


def lifetime(days: int, name: str) -> int:
    """Return the days that a host's certificates are valid: some less than given, by its name, always the same.

    So the certificates of hosts that were set up on one day don't end on one day.
    """
    spread = days // SPREAD
    return days - int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % (spread + 1)


def load_certificates(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates in a PEM text; raise RefusedError."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise RefusedError(f"the authority's files can't be read: {error}") from error


def load_key(pem: bytes, passphrase: str) -> Any:
    """Return a private key; raise RefusedError."""
    try:
        return serialization.load_pem_private_key(pem, passphrase.encode() or None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise RefusedError(f"the authority's files can't be read: {error}") from error


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new private key for an authority."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Any, passphrase: str) -> bytes:
    """Return a private key as PKCS#8, encrypted if there is a passphrase."""
    cipher: Any = serialization.NoEncryption()
    if passphrase:
        cipher = serialization.BestAvailableEncryption(passphrase.encode())
    return bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher))


def pem_of(certificates: Iterable[x509.Certificate]) -> bytes:
    """Return certificates as one PEM text."""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def owner_of(key: Any, certificates: Iterable[x509.Certificate]) -> x509.Certificate | None:
    """Return the certificate that a private key belongs to, None for none."""
    public = spki(key.public_key())
    return next((one for one in certificates if spki(one.public_key()) == public), None)


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
