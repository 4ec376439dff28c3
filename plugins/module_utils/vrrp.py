# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's part in VRRP, read from what ``ip -json address``, ``systemctl show`` and ``nft -j list table`` print."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible.module_utils.basic import AnsibleModule


FILTER = ("nft", "-j", "list", "table", "inet", "holdfast_keepalived")
"""What shows the table of the role keepalived."""


def plain(address: str) -> str:
    """The address in its canonical spelling, without a prefix length; ValueError when it is none."""
    return str(ipaddress.ip_interface(address).ip)


def parse_addresses(text: str) -> dict[str, str]:
    """Map every address in the output of ``ip -json address`` to its interface; ValueError when it is not JSON.

    An IPv6 address that failed duplicate address detection is not usable and left out, as is a virtual IP that was
    handed over (module_utils/vip_handover.py): it is kept on lo.
    """
    found = {}
    for link in json.loads(text or "[]"):
        for entry in link.get("addr_info", ()):
            if "local" in entry and not entry.get("dadfailed") and not _is_kept(link["ifname"], entry["local"]):
                found[plain(entry["local"])] = link["ifname"]
    return found


def _is_kept(interface: str, address: str) -> bool:
    return interface == "lo" and not ipaddress.ip_address(address).is_loopback


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


def parse_strangers(text: str) -> list[str]:
    """Return the addresses in the sets of the output of ``nft -j list table``; ValueError when it is not JSON."""
    sets = (item.get("set") or {} for item in json.loads(text or "{}").get("nftables", ()))
    elements = (element for item in sets for element in item.get("elem", ()))
    return sorted(plain(element["elem"]["val"] if isinstance(element, dict) else element) for element in elements)


def parse_peers(configuration: str) -> list[str]:
    """Return the addresses of the peers in a keepalived.conf of ours."""
    blocks = re.findall(r"^\s*unicast_peer \{$(.*?)^\s*\}$", configuration, re.MULTILINE | re.DOTALL)
    return sorted({line.split()[0] for block in blocks for line in block.splitlines() if line.strip()})


def has_rules(text: str) -> bool:
    """Whether the output of ``nft -j list table`` has any rule; ValueError when it is not JSON."""
    return any("rule" in item for item in json.loads(text or "{}").get("nftables", ()))


def listed_filter(module: AnsibleModule) -> str:
    """Return the table as JSON; empty where it is not loaded."""
    if not module.get_bin_path(FILTER[0], opt_dirs=["/usr/sbin", "/sbin"]):
        return ""
    code, output, _error = module.run_command(list(FILTER))
    return output if code == 0 else ""


def strangers(module: AnsibleModule) -> list[str]:
    """Return senders of adverts to this host within the last minute that are not peers; empty without the filter."""
    return parse_strangers(listed_filter(module))
