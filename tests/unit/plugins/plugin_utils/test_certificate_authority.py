# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ipaddress
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import certificate_x509
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Found, Wanted
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_proof import prove
from ansible_collections.holdfast.ha.plugins.plugin_utils import certificate_authority as authority
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import NameOID

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
LB1 = Wanted("/tls/host.crt", "lb1", "holdfast", ("lb1", "localhost"), ("198.51.100.21", "::1"))
LB1_CLIENT = Wanted("/tls/client.crt", None, "lb1", ("lb1",), ())


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def pem(item: Any) -> bytes:
    return bytes(item.public_bytes(serialization.Encoding.PEM))


def private_pem(key: Any, passphrase: str = "") -> bytes:
    cipher: Any = serialization.NoEncryption()
    if passphrase:
        cipher = serialization.BestAvailableEncryption(passphrase.encode())
    return bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher))


def ca_certificate(key: Any, *extensions: x509.ExtensionType) -> x509.Certificate:
    builder = x509.CertificateBuilder(name("CA"), name("CA"), key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(NOW - timedelta(days=9)).not_valid_after(NOW + timedelta(days=999))
    for extension in (x509.BasicConstraints(ca=True, path_length=0), *extensions):
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, authority.hash_for(key))


@pytest.fixture(scope="module")
def ca() -> authority.Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    return authority.Authority.load(pem(ca_certificate(key)), private_pem(key), "")


def greedy_request(key: Any) -> str:
    """What a host that wants to be another one asks for: everything."""
    addresses = [x509.IPAddress(ipaddress.ip_address(f"198.51.100.{last}")) for last in (11, 12, 13, 100)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(name("backup1"))
    for extension in (
        x509.SubjectAlternativeName([x509.DNSName("db1"), x509.DNSName("*"), *addresses]),
        x509.BasicConstraints(ca=True, path_length=None),
        x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CODE_SIGNING]),
    ):
        builder = builder.add_extension(extension, critical=True)
    return pem(builder.sign(key, hashes.SHA256())).decode()


@pytest.mark.parametrize(
    ("wanted", "subject", "names"),
    [
        (LB1, "CN=lb1", ["lb1", "localhost", "198.51.100.21", "::1"]),
        (LB1_CLIENT, "OU=lb1", ["lb1"]),
    ],
)
def test_a_certificate_says_what_the_controller_wants(
    ca: authority.Authority, wanted: Wanted, subject: str, names: list[str]
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issued = ca.issue(authority.public_key_of(greedy_request(key)), wanted, NOW, 730)
    found = x509.load_pem_x509_certificate(issued.encode())
    found.verify_directly_issued_by(ca.certificate)
    alternative = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.subject.rfc4514_string() == subject
    assert [str(entry.value) for entry in alternative] == names
    assert found.public_key() == key.public_key()
    assert (found.not_valid_before_utc, found.not_valid_after_utc) == (
        NOW - timedelta(days=1),
        NOW + timedelta(days=730),
    )
    constraints = found.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.value.ca, constraints.critical) == (False, True)
    assert found.extensions.get_extension_for_class(x509.KeyUsage).value == authority.SIGNATURE_ONLY
    assert found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value == authority.SERVER_AND_CLIENT
    assert len(found.extensions) == 6


def test_a_server_only(ca: authority.Authority) -> None:
    wanted = replace(LB1, client=False)
    key = ec.generate_private_key(ec.SECP256R1())
    found = x509.load_pem_x509_certificate(ca.issue(key.public_key(), wanted, NOW, 9).encode())
    assert found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value == authority.SERVER


def stolen() -> str:
    """A request with a public key whose private one the sender has not: one bit of its signature is another."""
    lines = greedy_request(ec.generate_private_key(ec.SECP256R1())).splitlines()
    body = bytearray(x509.load_pem_x509_csr("\n".join(lines).encode()).public_bytes(serialization.Encoding.DER))
    body[-1] ^= 1
    return pem(x509.load_der_x509_csr(bytes(body))).decode()


REFUSED = {
    "not a request": (lambda: "x", "can't be read"),
    "empty": (lambda: "", "can't be read"),
    "endless": (lambda: "x" * 10**6, "too long"),
    "a key of somebody else": (stolen, "not signed with"),
    "a short RSA key": (lambda: certificate_x509.new_request(rsa.generate_private_key(65537, 1024)), "fewer than 2048"),
    "DSA": (lambda: certificate_x509.new_request(dsa.generate_private_key(2048)), "neither RSA"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_requests_that_are_refused(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(authority.RefusedError, match=message):
        authority.public_key_of(make())


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()], ids=["RSA", "Ed25519"]
)
def test_other_keys_of_hosts_and_authorities(key: Any) -> None:
    identified = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    ca = authority.Authority.load(pem(ca_certificate(key, identified)), private_pem(key, "secret"), "secret")
    issued = ca.issue(authority.public_key_of(certificate_x509.new_request(key)), LB1, NOW, 9)
    x509.load_pem_x509_certificate(issued.encode()).verify_directly_issued_by(ca.certificate)


def test_of_several_authorities_that_of_the_key_issues() -> None:
    keys = [ec.generate_private_key(ec.SECP256R1()) for _number in range(3)]
    both = b"".join(pem(ca_certificate(key)) for key in keys[:2])
    for key in keys[:2]:
        assert authority.Authority.load(both, private_pem(key), "").certificate.public_key() == key.public_key()
    with pytest.raises(authority.RefusedError, match="not that of a certificate"):
        authority.Authority.load(both, private_pem(keys[2]), "")


def test_a_new_authority_issues_what_openssl_accepts(tmp_path: Path) -> None:
    made = authority.Authority.create(authority.new_key(), "Holdfast CA", NOW, 3650)
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "host.key").write_bytes(private_pem(key))
    (tmp_path / "host.crt").write_text(made.issue(key.public_key(), LB1, datetime.now(UTC), 30))
    found = prove(str(tmp_path / "host.crt"), str(tmp_path / "host.key"), pem(made.certificate).decode())
    assert isinstance(found, Found)
    assert made.certificate.not_valid_after_utc - made.certificate.not_valid_before_utc == timedelta(days=3651)
    assert authority.owner_of(authority.load_key(authority.key_pem(made.key, "secret"), "secret"), [made.certificate])


def test_certificates_of_one_day_end_on_several() -> None:
    ends = {name: authority.lifetime(730, name) for name in map("db{}".format, range(50))}
    assert ends == {name: authority.lifetime(730, name) for name in ends}
    assert 657 <= min(ends.values()) < 670
    assert 720 < max(ends.values()) <= 730
    assert authority.lifetime(5, "db1") == 5


@pytest.mark.parametrize(("passphrase", "given"), [("secret", ""), ("secret", "other"), ("", "superfluous")])
def test_a_wrong_passphrase(passphrase: str, given: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(authority.RefusedError, match="can't be read"):
        authority.Authority.load(pem(ca_certificate(key)), private_pem(key, passphrase), given)


def test_a_key_belongs_to_one_host(tmp_path: Path) -> None:
    records = tmp_path / "issued"
    mine, other = (ec.generate_private_key(ec.SECP256R1()).public_key() for _number in range(2))
    for _again in range(2):
        authority.claim(records, mine, "db1")
    authority.claim(records, other, "db1")
    with pytest.raises(authority.RefusedError, match="already that of db1"):
        authority.claim(records, mine, "lb1")
    assert (records.stat().st_mode & 0o777, len(list(records.iterdir()))) == (0o700, 2)


def test_two_hosts_with_one_key_at_once(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()

    def claims(host: str) -> bool:
        try:
            authority.claim(tmp_path, key, host)
        except authority.RefusedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claims, [f"db{number}" for number in range(8)])) == 1


@pytest.mark.parametrize(
    ("facts", "foreign"),
    [
        (["distribution", "memtotal_mb", "hostname", "has_ha"], []),
        (["ha", "distribution", "certificates_dns"], ["certificates_dns", "ha"]),
        (
            ["inventory_hostname", "inventory_dir", "groups", "ha_address"],
            ["groups", "ha_address", "inventory_dir", "inventory_hostname"],
        ),
    ],
)
def test_facts_that_are_the_inventorys_to_say(facts: list[str], foreign: list[str]) -> None:
    assert authority.foreign_facts(facts) == foreign
