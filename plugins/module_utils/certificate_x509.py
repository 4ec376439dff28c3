# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, requests and certificates through python3-cryptography (38 and later)."""

from __future__ import annotations

import ipaddress
import traceback
import typing as t
from datetime import UTC, datetime

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    CRYPTOGRAPHY_ERROR: str | None = None
except ImportError:
    CRYPTOGRAPHY_ERROR = traceback.format_exc()

from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Found, Wanted, dns_name, ip_name

Key = t.Any
Certificate = t.Any


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


def load_certificate(pem: bytes | None) -> Certificate | None:
    """Return the first certificate of a PEM text, or None when there is none."""
    try:
        return x509.load_pem_x509_certificate(pem or b"")
    except ValueError:
        return None


def describe(certificate: Certificate, key: Key, ca: Certificate) -> Found:
    """Return what the certificate says, judged against the private key and the authority."""
    not_before, not_after = validity(certificate)
    return Found(
        matches_key=_public_bytes(certificate.public_key()) == _public_bytes(key.public_key()),
        issued_by_ca=_is_issued_by(certificate, ca),
        common_name=_common_name(certificate),
        names=_names(certificate),
        usages=_usages(certificate),
        not_before=not_before,
        not_after=not_after,
    )


def validity(certificate: Certificate) -> tuple[datetime, datetime]:
    """Return the first and the last moment of validity, in UTC."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (
        certificate.not_valid_before.replace(tzinfo=UTC),
        certificate.not_valid_after.replace(tzinfo=UTC),
    )


def new_request(key: Key, wanted: Wanted) -> str:
    """Return a PEM certificate signing request for a server and client certificate."""
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    names = [x509.DNSName(name) for name in wanted.dns]
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in wanted.ip]
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_subject(wanted))
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_signature_only(), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .sign(key, _hash_for(key))
    )
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _subject(wanted: Wanted) -> t.Any:
    if wanted.common_name is None:
        return x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, wanted.unit_name)])
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wanted.common_name)])


def _signature_only() -> t.Any:
    return x509.KeyUsage(
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


def _hash_for(key: Key) -> t.Any:
    if isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        return None
    return hashes.SHA256()


def _public_bytes(public_key: t.Any) -> bytes:
    return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _is_issued_by(certificate: Certificate, ca: Certificate) -> bool:
    if certificate.issuer != ca.subject:
        return False
    arguments: list[t.Any] = [certificate.signature, certificate.tbs_certificate_bytes]
    public_key = ca.public_key()
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        arguments.append(ec.ECDSA(certificate.signature_hash_algorithm))
    elif isinstance(public_key, rsa.RSAPublicKey):
        arguments += [padding.PKCS1v15(), certificate.signature_hash_algorithm]
    try:
        public_key.verify(*arguments)
    except InvalidSignature:
        return False
    return True


def _common_name(certificate: Certificate) -> str | None:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else None


def _names(certificate: Certificate) -> frozenset[str]:
    names = _extension(certificate, x509.SubjectAlternativeName)
    if names is None:
        return frozenset()
    dns = names.get_values_for_type(x509.DNSName)
    ip = names.get_values_for_type(x509.IPAddress)
    return frozenset([*map(dns_name, dns), *(ip_name(str(address)) for address in ip)])


def _usages(certificate: Certificate) -> frozenset[str]:
    known = {ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth", ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth"}
    found = _extension(certificate, x509.ExtendedKeyUsage)
    return frozenset(known.get(usage, usage.dotted_string) for usage in found or ())


def _extension(certificate: Certificate, kind: t.Any) -> t.Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
