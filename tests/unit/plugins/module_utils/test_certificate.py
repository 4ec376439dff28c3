# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import (
    Found,
    Wanted,
    dns_name,
    first_certificate,
    ip_name,
    parse_peer_certificate,
    reasons_to_renew,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)
WANTED = Wanted("/tls/host.crt", "db1", "holdfast", ("db1", "localhost"), ("198.51.100.11", "::1"))
GOOD = Found("db1", frozenset({"DNS:db1", "DNS:localhost", "IP:198.51.100.11", "IP:::1"}), NOW + timedelta(days=31))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"common_name": "db2"}, "common name db2 should be db1"),
        ({"common_name": None}, "common name None"),
        ({"names": GOOD.names - {"IP:::1"}}, "names"),
        ({"names": GOOD.names | {"DNS:old"}}, "names"),
        ({"not_after": NOW + timedelta(days=30)}, "ends on 2026-07-01"),
        ({"not_after": NOW - timedelta(days=1)}, "ends on 2026-05-31"),
    ],
)
def test_reasons_to_renew(changes: dict[str, Any], expected: str | None) -> None:
    reasons = reasons_to_renew(replace(GOOD, **changes), WANTED, NOW, timedelta(days=30))
    if expected is None:
        assert reasons == ()
    else:
        assert len(reasons) == 1
        assert expected in reasons[0]


def test_unusable_certificate() -> None:
    assert reasons_to_renew("it isn't accepted", WANTED, NOW, timedelta()) == ("it isn't accepted",)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            {
                "subject": ((("organizationName", "x"),), (("commonName", "db1"),)),
                "notAfter": "Jul  2 00:00:00 2026 GMT",
                "subjectAltName": (
                    ("DNS", "DB1"),
                    ("DNS", "localhost"),
                    ("IP Address", "198.51.100.11"),
                    ("IP Address", "0:0:0:0:0:0:0:1"),
                ),
            },
            GOOD,
        ),
        (
            {"subject": ((("organizationalUnitName", "db1"),),), "notAfter": "Jul  2 00:00:00 2026 GMT"},
            Found(None, frozenset(), NOW + timedelta(days=31)),
        ),
    ],
)
def test_parse_peer_certificate(data: dict[str, Any], expected: Found) -> None:
    assert parse_peer_certificate(data) == expected


ONE = "-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n"
TWO = ONE.replace("QQ", "Qg")


@pytest.mark.parametrize(
    ("pem", "expected"),
    [("", None), ("garbage", None), (ONE, ONE), (ONE + TWO, ONE), (f"# mine\n{TWO}{ONE}", TWO)],
)
def test_first_certificate(pem: str, expected: str | None) -> None:
    assert first_certificate(pem) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (dns_name("DB1.Example."), dns_name("db1.example")),
        (ip_name("2001:DB8:0:0::1"), ip_name("2001:db8::1")),
    ],
)
def test_names_are_comparable(one: str, other: str) -> None:
    assert one == other


def test_no_address() -> None:
    with pytest.raises(ValueError, match="db1"):
        ip_name("db1")
