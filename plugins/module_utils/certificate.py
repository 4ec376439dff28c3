# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a host's certificate has to be renewed: pure rules on plain data."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta

SERVER_AND_CLIENT = frozenset({"serverAuth", "clientAuth"})


@dataclass(frozen=True)
class Wanted:
    """What a certificate shall say. Without a common name the subject only has an OU."""

    path: str
    common_name: str | None
    unit_name: str
    dns: tuple[str, ...]
    ip: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        """Every subject alternative name, as written by dns_name and ip_name."""
        return frozenset([*map(dns_name, self.dns), *map(ip_name, self.ip)])


@dataclass(frozen=True)
class Found:
    """What a certificate says, and whether it belongs to the key and to the authority."""

    matches_key: bool
    issued_by_ca: bool
    common_name: str | None
    names: frozenset[str]
    usages: frozenset[str]
    not_before: datetime
    not_after: datetime


def dns_name(name: str) -> str:
    """Return a DNS name in comparable form."""
    return f"DNS:{name.lower().rstrip('.')}"


def ip_name(address: str) -> str:
    """Return an address in comparable form; raise ValueError when it is none."""
    return f"IP:{ipaddress.ip_address(address)}"


def reasons_to_renew(found: Found | None, wanted: Wanted, now: datetime, renew_before: timedelta) -> tuple[str, ...]:
    """Return why a certificate has to be issued anew; nothing when it may stay."""
    if found is None:
        return ("there is no readable certificate",)
    rules = (
        (not found.matches_key, "it doesn't belong to the private key"),
        (not found.issued_by_ca, "it isn't issued by the present certificate authority"),
        (found.common_name != wanted.common_name, _difference("common name", found.common_name, wanted.common_name)),
        (found.names != wanted.names, _difference("names", sorted(found.names), sorted(wanted.names))),
        (not found.usages >= SERVER_AND_CLIENT, "it isn't for servers and clients both"),
        (found.not_before > now, f"it is only valid from {found.not_before:%Y-%m-%d %H:%M} UTC"),
        (found.not_after - renew_before <= now, f"it ends on {found.not_after:%Y-%m-%d}"),
    )
    return tuple(reason for applies, reason in rules if applies)


def _difference(what: str, found: object, wanted: object) -> str:
    return f"its {what} {found} should be {wanted}"
