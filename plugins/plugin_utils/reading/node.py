# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of plain data whose errors name the place.

A reader returns the value that it read, or None after it noted a problem; it never raises.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.addresses import Address, Interface, Network
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import HIDDEN, IN_INI, Problems

NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


def suggestion(word: str, known: Collection[str]) -> str:
    """A fix that suggests the closest known word, or lists all of them when none is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}"
    return f"use one of {', '.join(sorted(known))}" if known else "remove it"


@dataclass(frozen=True)
class Node:
    """A value, its dotted path, and the collector of problems."""

    path: str
    value: Any
    problems: Problems

    def fail(self, what: str, fix: str) -> None:
        """Note a problem with this value."""
        self.problems.add(self.path, self.value, what, fix)

    def at(self, key: str | int, value: Any) -> Node:
        """The value at a key or a list's index."""
        step = f"[{key}]" if isinstance(key, int) else f".{key}"
        return Node(f"{self.path}{step}".lstrip("."), value, self.problems)

    def pairs(self, by: str = "name") -> list[tuple[str, Node]]:
        """A mapping of any names to any values."""
        if isinstance(self.value, dict):
            return [(str(key), self.at(str(key), value)) for key, value in self.value.items()]
        self.fail("is not a mapping", f"write it as '{by}: value' lines, indented below the key")
        return []

    def named(self) -> list[tuple[str, Node]]:
        """A mapping of the user's names to any values; only valid names are kept."""
        pairs = self.pairs()
        for name, node in pairs:
            if not NAME.fullmatch(name):
                fix = "use lower-case letters, digits and _, a letter first, at most 31"
                node.problems.add(node.path, name, "is not a valid name", fix)
        return [(name, node) for name, node in pairs if NAME.fullmatch(name)]

    def fields(self, known: Collection[str], required: Mapping[str, str]) -> dict[str, Node]:
        """A mapping with a fixed set of keys; keys that are null count as not given.

        :arg required: what to write, by key that must be given.
        """
        if not isinstance(self.value, dict):
            self.fail("is not a mapping", f"write it with the keys {', '.join(sorted(known))}")
            return {}
        fields = {}
        for key, value in self.value.items():
            node = self.at(str(key), value)
            if key not in known:
                node.problems.add(node.path, HIDDEN, "is an unknown key", suggestion(str(key), known))
            elif value is not None:
                fields[key] = node
        for key, wanted in required.items():
            if key not in fields and key in self.value:
                self.at(key, None).fail("has no value", f"write {wanted} there")
            elif key not in fields:
                self.at(key, None).fail("is missing", f"add '{key}:' with {wanted} there")
        return fields

    def items(self) -> list[Node]:
        """A list; a single value is not one."""
        if not isinstance(self.value, list):
            in_ini = f"; {IN_INI}" if isinstance(self.value, str) else ""
            self.fail("is not a list", f"write it as '- value' lines or in [brackets]{in_ini}")
            return []
        return [self.at(index, value) for index, value in enumerate(self.value)]

    def one_or_more(self) -> list[Node]:
        """A list, or a single value as a list of one."""
        return self.items() if isinstance(self.value, list) else [self]

    def text(self) -> str | None:
        """A non-empty string."""
        if isinstance(self.value, str) and self.value.strip():
            return self.value
        self.fail("is not a text", "write a non-empty word, in quotes when YAML takes it for a number")
        return None

    def matching(self, pattern: str, meaning: str) -> str | None:
        """A string that a pattern matches as a whole."""
        text = self.text()
        if text is None or re.fullmatch(pattern, text):
            return text
        self.fail(f"is not {meaning}", f"write {meaning}")
        return None

    def integer(self, low: int, high: int) -> int | None:
        """A whole number from low to high."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            self.fail("is not a whole number", f"write a number from {low} to {high}, without quotes")
            return None
        if low <= self.value <= high:
            return self.value
        self.fail("is out of range", f"write a number from {low} to {high}")
        return None

    def port(self) -> int | None:
        """A TCP port."""
        return self.integer(1, 65535)

    def boolean(self) -> bool | None:
        """true or false."""
        if isinstance(self.value, bool):
            return self.value
        self.fail("is neither true nor false", "write true or false, without quotes")
        return None

    def choice(self, options: Collection[str]) -> str | None:
        """One of a few words."""
        if isinstance(self.value, str) and self.value in options:
            return self.value
        self.fail("is not one of its values", suggestion(str(self.value), options))
        return None

    def address(self) -> Address | None:
        """An IP address that other hosts can reach."""
        try:
            address = ip_address(self.value if isinstance(self.value, str) else "")
        except ValueError:
            self.fail("is not an IP address", "write one like 192.0.2.11 or 2001:db8::11, without a prefix length")
            return None
        if address.is_loopback or address.is_multicast or address.is_unspecified or address.is_link_local:
            self.fail(
                "is not an address that other hosts can reach",
                "use the host's unicast address in the cluster's network",
            )
            return None
        return address

    def interface(self) -> Interface | None:
        """An IP address with its network's prefix length."""
        if isinstance(self.value, str) and "/" in self.value:
            try:
                return ip_interface(self.value)
            except ValueError:
                pass
        self.fail("is not an IP address with a prefix length", "write it like 192.0.2.100/24 or 2001:db8::100/64")
        return None

    def network(self) -> Network | None:
        """A network in CIDR notation, without host bits."""
        text = self.value if isinstance(self.value, str) else ""
        try:
            return ip_network(text)
        except ValueError:
            pass
        try:
            self.fail("is an address inside a network", f"write the network, {ip_network(text, strict=False)}")
        except ValueError:
            self.fail("is not a network in CIDR notation", "write it like 192.0.2.0/24 or 2001:db8::/64")
        return None
