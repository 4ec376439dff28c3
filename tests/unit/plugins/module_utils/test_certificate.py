# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import (
    SERVER_AND_CLIENT,
    Found,
    Wanted,
    dns_name,
    ip_name,
    reasons_to_renew,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)
WANTED = Wanted("/tls/host.crt", "db1", "holdfast", ("db1", "localhost"), ("198.51.100.11", "::1"))
GOOD = Found(
    matches_key=True,
    issued_by_ca=True,
    common_name="db1",
    names=frozenset({"DNS:db1", "DNS:localhost", "IP:198.51.100.11", "IP:::1"}),
    usages=SERVER_AND_CLIENT,
    not_before=NOW - timedelta(days=1),
    not_after=NOW + timedelta(days=31),
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"usages": SERVER_AND_CLIENT | {"1.2.3"}}, None),
        ({"matches_key": False}, "private key"),
        ({"issued_by_ca": False}, "authority"),
        ({"common_name": "db2"}, "common name db2 should be db1"),
        ({"common_name": None}, "common name None"),
        ({"names": GOOD.names - {"IP:::1"}}, "names"),
        ({"names": GOOD.names | {"DNS:old"}}, "names"),
        ({"usages": frozenset({"serverAuth"})}, "servers and clients"),
        ({"not_before": NOW + timedelta(minutes=1)}, "only valid from 2026-06-01"),
        ({"not_after": NOW + timedelta(days=30)}, "ends on 2026-07-01"),
        ({"not_after": NOW - timedelta(days=1)}, "ends on 2026-05-31"),
    ],
)
def test_reasons_to_renew(changes: dict[str, object], expected: str | None) -> None:
    reasons = reasons_to_renew(replace(GOOD, **changes), WANTED, NOW, timedelta(days=30))  # type: ignore[arg-type]
    if expected is None:
        assert reasons == ()
    else:
        assert len(reasons) == 1
        assert expected in reasons[0]


def test_missing_certificate() -> None:
    assert reasons_to_renew(None, WANTED, NOW, timedelta()) == ("there is no readable certificate",)


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
