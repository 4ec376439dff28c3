# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of some addresses a host holds, read from what ``ip -json address`` and ``systemctl show`` print."""

from __future__ import annotations

import ipaddress
import json
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def plain(address: str) -> str:
    """The address in its canonical spelling, without a prefix length; ValueError when it is none."""
    return str(ipaddress.ip_interface(address).ip)


def parse_addresses(text: str) -> dict[str, str]:
    """Map every address in the output of ``ip -json address`` to its interface; ValueError when it is not JSON.

    An IPv6 address that failed duplicate address detection is not usable and left out.
    """
    found = {}
    for link in json.loads(text or "[]"):
        for entry in link.get("addr_info", ()):
            if "local" in entry and not entry.get("dadfailed"):
                found[plain(entry["local"])] = link["ifname"]
    return found


def locate(addresses: Iterable[str], interfaces: Mapping[str, str]) -> dict[str, str | None]:
    """Map each of the addresses, as given, to the interface that holds it, or to None; ValueError for a non-address."""
    return {address: interfaces.get(plain(address)) for address in addresses}


def parse_unit(text: str) -> dict[str, bool]:
    """``running`` and ``enabled`` from the output of ``systemctl show``; both are False for a unit that is unknown."""
    properties = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {
        "running": properties.get("ActiveState") in ("active", "reloading"),
        "enabled": properties.get("UnitFileState") == "enabled",
    }
