# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a host's certificate has to be renewed: pure rules on plain data."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

BACKDATED = timedelta(days=1)
"""How long before its issue a certificate is valid, for hosts whose clocks are behind."""

_PEM_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\s*", re.DOTALL)


@dataclass(frozen=True)
class Wanted:
    """The desired content of a certificate. Without a common name the subject only has an OU."""

    path: str
    common_name: str | None
    unit_name: str
    dns: tuple[str, ...]
    ip: tuple[str, ...]
    client: bool = True
    """Whether it also serves a client; without that, only a server."""

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Wanted:
        """Return one entry of the module's option ``certificates``."""
        unit_name = entry.get("unit_name") or "holdfast"
        dns, ip = (tuple(map(str, entry.get(kind) or ())) for kind in ("dns", "ip"))
        return cls(entry["path"], entry.get("common_name"), unit_name, dns, ip, entry.get("client", True) is not False)

    @property
    def names(self) -> frozenset[str]:
        """Every subject alternative name, as written by dns_name and ip_name."""
        return frozenset([*map(dns_name, self.dns), *map(ip_name, self.ip)])


@dataclass(frozen=True)
class Found:
    """The content of a usable certificate; issued is None where that is unknown."""

    common_name: str | None
    names: frozenset[str]
    not_after: datetime
    client: bool = True
    issued: datetime | None = field(default=None, compare=False)


def dns_name(name: str) -> str:
    """Return a DNS name in canonical form."""
    return f"DNS:{name.lower().rstrip('.')}"


def ip_name(address: str) -> str:
    """Return an address in canonical form; raise ValueError for a non-address."""
    return f"IP:{ipaddress.ip_address(address)}"


def first_certificate(pem: str) -> str | None:
    """Return the first certificate of a PEM text, or None when there is none."""
    return next(iter(all_certificates(pem)), None)


def all_certificates(pem: str) -> list[str]:
    """Return every certificate of a PEM text, as text."""
    return _PEM_CERTIFICATE.findall(pem)


def parse_peer_certificate(data: Mapping[str, Any]) -> Found:
    """Return a certificate's content from the result of ``ssl.SSLObject.getpeercert``."""
    subject = dict(pair for rdn in data.get("subject", ()) for pair in rdn)
    names = [
        ip_name(value.strip()) if kind == "IP Address" else dns_name(value)
        for kind, value in data.get("subjectAltName", ())
    ]
    begin = moment(data["notBefore"]) if "notBefore" in data else None
    return Found(subject.get("commonName"), frozenset(names), end_of(data), issued=begin and begin + BACKDATED)


def end_of(data: Mapping[str, Any]) -> datetime:
    """Return the last moment of validity of a certificate as ``ssl`` describes it."""
    return moment(data["notAfter"])


def moment(text: str) -> datetime:
    """Return a moment that ``ssl`` describes."""
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


def reasons_to_renew(
    found: Found | str, wanted: Wanted, now: datetime, renew_before: timedelta, issued_since: datetime | None = None
) -> tuple[str, ...]:
    """Return why a certificate must be issued again; empty if it may stay. ``found`` may itself be a reason.

    issued_since: certificates that were issued before this moment must be issued again.
    """
    if isinstance(found, str):
        return (found,)
    rules = (
        (is_older(found, issued_since), f"it was issued before {issued_since}"),
        (found.common_name != wanted.common_name, _difference("common name", found.common_name, wanted.common_name)),
        (found.names != wanted.names, _difference("names", sorted(found.names), sorted(wanted.names))),
        (found.client != wanted.client, _difference("use by clients", found.client, wanted.client)),
        (found.not_after - renew_before <= now, f"it ends on {found.not_after:%Y-%m-%d}"),
    )
    return tuple(reason for applies, reason in rules if applies)


def is_older(found: Found | str, moment: datetime | None) -> bool:
    """Return whether a usable certificate was issued before a moment."""
    return not isinstance(found, str) and moment is not None and (found.issued is None or found.issued < moment)


def _difference(what: str, found: object, wanted: object) -> str:
    return f"its {what} {found} should be {wanted}"
