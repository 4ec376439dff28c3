# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packet filter rules that cut a node off, in a table of the drill's own."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.harm import TABLE

BEFORE_ALL_OTHERS = -400


@dataclass(frozen=True, slots=True)
class Cut:
    """A cut: the peers (all hosts if empty), the TCP ports (all traffic if empty), and the directions."""

    peers: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    incoming: bool = True
    outgoing: bool = True

    @property
    def total(self) -> bool:
        """Whether no packet passes except those of the controller's SSH session."""
        return not self.peers and not self.ports and self.incoming and self.outgoing


@dataclass(frozen=True, slots=True)
class Way:
    """nft's terms for incoming or outgoing packets."""

    hook: str
    interface: str
    other_side: str
    own_port: str


INPUT = Way("input", "iifname", "saddr", "tcp dport")
OUTPUT = Way("output", "oifname", "daddr", "tcp sport")


def ruleset(cut: Cut, controller: str, ssh_port: int) -> str:
    """Return the nft rules; loopback and the controller's SSH session always stay open."""
    chains = [
        *(chain(INPUT, cut, controller, ssh_port) if cut.incoming else ()),
        *(chain(OUTPUT, cut, controller, ssh_port) if cut.outgoing else ()),
    ]
    return "\n".join([f"table inet {TABLE} {{", *(f"  {line}" for line in chains), "}", ""])


def chain(way: Way, cut: Cut, controller: str, ssh_port: int) -> Iterable[str]:
    """Yield the lines of one chain."""
    side = way.other_side
    yield f"chain {way.hook} {{"
    yield f"  type filter hook {way.hook} priority {BEFORE_ALL_OTHERS}; policy accept;"
    yield f'  {way.interface} "lo" accept'
    yield f"  {family(controller)} {side} {controller} {way.own_port} {ssh_port} accept"
    for peers in by_family(cut.peers) or [""]:
        for ports in port_matches(cut.ports):
            yield "  " + " ".join(filter(None, [matched(peers, side), ports, "counter drop"]))
    yield "}"


def port_matches(ports: Sequence[int]) -> list[str]:
    """Return the matches for the ports of either side, a match for all traffic without ports."""
    listed = ", ".join(map(str, ports))
    return [f"tcp dport {{ {listed} }}", f"tcp sport {{ {listed} }}"] if ports else [""]


def matched(peers: Sequence[str], side: str) -> str:
    """Return the match for addresses of one family, "" for all hosts."""
    return f"{family(peers[0])} {side} {{ {', '.join(peers)} }}" if peers else ""


def by_family(addresses: Iterable[str]) -> list[Sequence[str]]:
    """Return the addresses grouped by family."""
    groups: dict[str, list[str]] = {}
    for address in addresses:
        groups.setdefault(family(address), []).append(address)
    return list(groups.values())


def family(address: str) -> str:
    """Return nft's term for an address's family."""
    return "ip6" if ipaddress.ip_address(address).version == 6 else "ip"
