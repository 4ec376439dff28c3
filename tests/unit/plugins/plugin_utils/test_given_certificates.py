# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of a corporate authority: which ones are refused, and that OpenSSL agrees."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")

from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Found, Wanted
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_proof import prove
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_authority import (
    Authority,
    RefusedError,
    key_pem,
    new_key,
    pem_of,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.given_certificates import (
    Given,
    problems,
    read_given,
    wanted_of,
)
from cryptography import x509

from tests.unit.plugins.plugin_utils.rolling.clusters import LAB, topology
from tests.unit.plugins.plugin_utils.test_authority_files import below, root_of
from tests.unit.roles.render import evaluate

NOW = datetime.now(UTC)
HOST = Wanted("/tls/host.crt", "db1", "holdfast", ("db1", "localhost"), ("198.51.100.11",))
CLIENT = Wanted("/tls/client.crt", None, "db1", ("db1",), ())


@dataclass
class Corporation:
    """A root, an intermediate authority below it, and a host's key."""

    root: Authority = field(default_factory=lambda: root_of("Root", now=NOW))
    key: Any = field(default_factory=new_key)
    lacks: type[x509.ExtensionType] | None = None

    def __post_init__(self) -> None:
        self.between = below(self.root, "Issuing CA", now=NOW, lacks=self.lacks)

    @property
    def trusted(self) -> str:
        return pem_of([self.root.certificate]).decode()

    def given(self, host: Wanted = HOST, client: Wanted = CLIENT, days: int = 90) -> Given:
        chain = pem_of([self.between.certificate]).decode()
        issued = [self.between.issue(self.key.public_key(), one, NOW, days) + chain for one in (host, client)]
        return Given(issued[0], key_pem(self.key, "").decode(), issued[1])


@pytest.fixture(scope="module")
def corporation() -> Corporation:
    return Corporation()


def test_good_ones(corporation: Corporation, tmp_path: Path) -> None:
    given = corporation.given(host=replace(HOST, dns=(*HOST.dns, "db1.example")))
    assert problems(given, [HOST, CLIENT], corporation.trusted, NOW) == []
    (tmp_path / "host.crt").write_text(given.certificate)
    (tmp_path / "host.key").write_text(given.key)
    assert isinstance(prove(str(tmp_path / "host.crt"), str(tmp_path / "host.key"), corporation.trusted), Found)


def test_a_balancer_needs_none_for_clients(corporation: Corporation) -> None:
    server = replace(HOST, client=False)
    given = replace(corporation.given(host=server), client_certificate="")
    assert problems(given, [server], corporation.trusted, NOW) == []
    assert problems(given, [HOST], corporation.trusted, NOW) == [
        "certificates_given.certificate: it is not for clientAuth (extendedKeyUsage)"
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"host": replace(HOST, common_name="db2")}, "certificate: its common name is db2; it must be db1"),
        (
            {"client": replace(CLIENT, common_name="db1")},
            "client_certificate: its common name is db1; it must be left out",
        ),
        ({"host": replace(HOST, dns=("db1",))}, "certificate: it lacks the names DNS:localhost"),
        ({"host": replace(HOST, ip=())}, "certificate: it lacks the names IP:198.51.100.11"),
        ({"days": -0.5}, "is valid from"),
    ],
)
def test_content_that_does_not_fit(corporation: Corporation, change: dict[str, Any], message: str) -> None:
    found = problems(corporation.given(**change), [HOST, CLIENT], corporation.trusted, NOW)
    assert any(message in text for text in found), found


def test_files_that_do_not_belong_together(corporation: Corporation) -> None:
    given, other = corporation.given(), Corporation()
    wanted = [HOST, CLIENT]
    cases = {
        "its key is not certificates_given.key": (replace(given, key=other.given().key), corporation.trusted),
        "leads to CN=Root, which": (given, pem_of([Authority.create(new_key(), "Other", NOW, 9).certificate]).decode()),
        "client_certificate is missing": (replace(given, client_certificate=""), corporation.trusted),
        "can't be read": (replace(given, key="no key"), corporation.trusted),
    }
    for message, (files, trusted) in cases.items():
        found = problems(files, wanted, trusted, NOW)
        assert any(message in text for text in found), (message, found)


def test_what_only_some_programs_accept() -> None:
    """A TLS client with Python 3.13 refuses it, PostgreSQL does not."""
    corporation = Corporation(lacks=x509.KeyUsage)
    found = problems(corporation.given(), [HOST, CLIENT], corporation.trusted, NOW)
    assert [text.partition(":")[0] for text in found] == [
        "certificates_given.certificate",
        "certificates_given.client_certificate",
    ]
    assert all("RFC 5280" in text for text in found)


def test_an_intermediate_one_is_missing(corporation: Corporation) -> None:
    given = corporation.given()
    leaf = given.certificate.split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    found = problems(replace(given, certificate=leaf), [HOST], corporation.trusted, NOW)
    assert found
    assert "leads to CN=Issuing CA" in found[0]


def test_files_are_read_and_decrypted(corporation: Corporation, tmp_path: Path) -> None:
    given = corporation.given()
    secret = VaultSecret(b"password")
    encrypted = VaultLib([("default", secret)]).encrypt(given.key.encode(), secret)
    (tmp_path / "db1.crt").write_text(given.certificate)
    (tmp_path / "db1.key").write_bytes(encrypted)
    loader = DataLoader()
    loader.set_vault_secrets([("default", secret)])
    files = {"certificate": str(tmp_path / "db1.crt"), "key": str(tmp_path / "db1.key")}
    assert read_given(files, loader) == replace(given, client_certificate="")
    for broken, message in (
        ({"certificate": files["certificate"]}, "key is missing"),
        ({**files, "key": "/no"}, "no file"),
    ):
        with pytest.raises(RefusedError, match=message):
            read_given(broken, loader)


@pytest.mark.parametrize("host", ["db1", "lb1"])
def test_they_must_be_what_the_role_would_have_issued(host: str) -> None:
    ha = topology(LAB)[host]
    named = {f"certificates_{key}": ha["certificate"][key] for key in ("common_name", "client", "dns", "ip")}
    entries = evaluate("certificates", "{{ certificates__wanted }}", named)
    issued = [Wanted.from_entry(entry) for entry in entries]
    assert [replace(one, unit_name="") for one in wanted_of(ha)] == [replace(one, unit_name="") for one in issued]
