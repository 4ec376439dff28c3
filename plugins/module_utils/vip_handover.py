# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the connections to a virtual IP stay on the host that it leaves. Nothing here does I/O.

The new holder remembers the connections that begin there, and leads the packets of all others to the old holder by
``dup``. The old holder keeps the address on ``lo``, where its sockets need it, without answering ARP for it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

TABLE = "holdfast_handover"
FAMILIES = {4: "ip", 6: "ip6"}
UNIT = "holdfast-handover"
"""The timer that removes everything when nobody else does."""
LABEL = "lo:handover-"
"""Begins the label of an IPv4 address on lo; the interface's own arp_ignore and arp_announce follow, a digit each."""
ARP = ("arp_ignore", "arp_announce")
ARP_MEANWHILE = (1, 2)
MOST_CONNECTIONS = 262144
QUIET_MS = 8
IDLE_MS = 500
CLOSING_MS = 25
"""How long it takes to close connections that have been looked at."""

_ERRORS = {
    4: "icmp type destination-unreachable",
    6: "icmpv6 type { destination-unreachable, packet-too-big }",
}

Arp = tuple[int, ...]
"""The values of ARP for one interface."""


class UnsupportedError(Exception):
    """This host can't take part; the message says why."""


@dataclass(frozen=True)
class Held:
    """An address on an interface."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    interface: str
    label: str = ""


@dataclass(frozen=True)
class Virtual:
    """A virtual IP on this host: ``held`` on its interface, ``kept`` on lo by an earlier handover.

    ``name`` is as it was given. ``own`` is this host's own address in the same network. ``label`` is that of the kept
    address.
    """

    name: str
    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    interface: str
    held: bool
    kept: bool
    own: str | None = None
    label: str = ""

    @property
    def on_lo(self) -> str:
        """The address with the prefix it has on lo."""
        return f"{self.address}/{self.address.max_prefixlen}"


@dataclass(frozen=True)
class Lead:
    """Packets to an address that are led to a peer through an interface."""

    address: str
    peer: str
    interface: str


@dataclass(frozen=True)
class Connection:
    """An established connection, with the milliseconds since data was last sent to the client, and received."""

    local: str
    client: str
    sent_ms: int
    received_ms: int
    queued: bool

    @property
    def answered(self) -> bool:
        """Whether the last data went to the client, so that no statement is under way."""
        return not self.queued and self.sent_ms <= self.received_ms


def parse_addresses(text: str) -> tuple[Held, ...]:
    """Return what ``ip -json address`` prints; ValueError when it is not JSON."""
    return tuple(
        Held(ipaddress.ip_address(entry["local"]), link["ifname"], entry.get("label", ""))
        for link in json.loads(text or "[]")
        for entry in link.get("addr_info", ())
        if "local" in entry
    )


def locate(wanted: Iterable[str], found: Collection[Held], interface: str | None) -> tuple[Virtual, ...]:
    """Return the virtual IPs as they are on this host.

    Raises ValueError for a non-address, UnsupportedError for one without an interface.
    """
    parsed = {name: _interface(name) for name in wanted}
    virtual = {one.ip for one in parsed.values()}
    return tuple(_virtual(name, one, virtual, found, interface) for name, one in parsed.items())


def _interface(name: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    try:
        return ipaddress.ip_interface(name)
    except ValueError:
        raise ValueError(f"addresses: {name!r} is no IP address with a prefix length, as 198.51.100.100/24") from None


def _peer(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        raise ValueError(f"peers: {name!r} is no IP address, as 198.51.100.21") from None


def _virtual(
    name: str,
    wanted: ipaddress.IPv4Interface | ipaddress.IPv6Interface,
    virtual: Collection[ipaddress.IPv4Address | ipaddress.IPv6Address],
    found: Collection[Held],
    interface: str | None,
) -> Virtual:
    links = [held for held in found if held.interface != "lo"]
    holding = [held.interface for held in links if held.address == wanted.ip]
    near = [held for held in links if held.address in wanted.network]
    place = interface or next(iter([*holding, *(held.interface for held in near)]), None)
    if place is None:
        raise UnsupportedError(f"no interface of this host is in {wanted.network}, the network of {name}")
    kept = [held for held in found if held.interface == "lo" and held.address == wanted.ip]
    if wanted.version == 4:
        kept = [held for held in kept if held.label.startswith(LABEL)]
    return Virtual(
        name=name,
        address=wanted.ip,
        network=wanted.network,
        interface=place,
        held=bool(holding),
        kept=bool(kept),
        own=next((str(held.address) for held in near if held.interface == place and held.address not in virtual), None),
        label=kept[0].label if kept else "",
    )


def leads(virtuals: Iterable[Virtual], peers: Iterable[str]) -> tuple[Lead, ...]:
    """Return where packets to the virtual IPs are led: to the peer in the same network; those without one are left out.

    ValueError for a peer that is no address.
    """
    parsed = [_peer(peer) for peer in peers]
    return tuple(
        Lead(str(one.address), str(peer), one.interface)
        for one in virtuals
        for peer in [next((peer for peer in parsed if peer in one.network), None)]
        if peer is not None
    )


def of_version(found: Iterable[Lead], version: int) -> tuple[Lead, ...]:
    """Return those of an IP version."""
    return tuple(lead for lead in found if ipaddress.ip_address(lead.address).version == version)


def mark(found: Iterable[Lead]) -> str:
    """Return the comment of the table that leads so."""
    text = json.dumps(sorted((lead.address, lead.peer, lead.interface) for lead in found))
    return f"holdfast {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def parse_mark(text: str) -> str | None:
    """Return the comment in what ``nft list table`` prints."""
    match = re.search(r'^\s*comment "(holdfast [0-9a-f]+)"$', text, re.MULTILINE)
    return match[1] if match else None


def removal(version: int) -> str:
    """Return the commands of nft that remove the table of an IP version whether it exists or not."""
    return f"table {FAMILIES[version]} {TABLE}\ndelete table {FAMILIES[version]} {TABLE}\n"


def render(found: Collection[Lead], version: int) -> str:
    """Return the commands of nft that load the table of an IP version anew.

    The own connections are those whose SYN has been seen here.
    It works without conntrack: most hosts have none, and it would begin to count every packet.
    """
    family = FAMILIES[version]
    key = f"{family} saddr . tcp sport . {family} daddr . tcp dport"
    to = [(f"{family} daddr {lead.address}", f'dup to {lead.peer} device "{lead.interface}"') for lead in found]
    rules = [
        "iif lo accept",
        f"{family} daddr != {{ {', '.join(lead.address for lead in found)} }} accept",
        *(f"{match} {_ERRORS[version]} {dup}" for match, dup in to),
        "meta l4proto != tcp accept",
        f"tcp flags & (syn | ack) == syn update @own {{ {key} }} accept",
        f"{key} @own accept",
        *(f"{match} counter {dup} drop" for match, dup in to),
    ]
    lines = [
        f"table {family} {TABLE} {{",
        f'    comment "{mark(found)}"',
        f"    set own {{ typeof {key}; flags dynamic; size {MOST_CONNECTIONS}; }}",
        "    chain lead {",
        "        type filter hook prerouting priority raw - 10; policy accept;",
        *(f"        {rule}" for rule in rules),
        "    }",
        "}",
    ]
    return removal(version) + "\n".join(lines) + "\n"


def label(own: Arp) -> str:
    """Return the label that keeps an interface's own ARP settings until they are set again."""
    return LABEL + "".join(map(str, own))


def own_arp(virtuals: Iterable[Virtual], read: Callable[[str], Arp]) -> dict[str, Arp]:
    """By interface with an IPv4 address among them, its own ARP settings: as labelled, or as read now."""
    known: dict[str, Arp] = {}
    for one in sorted(virtuals, key=lambda one: not one.label):
        if one.address.version == 4 and one.interface not in known:
            digits = one.label.removeprefix(LABEL)
            labelled = len(digits) == len(ARP) and digits.isdigit()
            known[one.interface] = tuple(map(int, digits)) if labelled else read(one.interface)
    return known


def arp_meanwhile(own: Arp) -> Arp:
    """Return the ARP settings with which a host is silent about addresses on lo."""
    return tuple(max(pair) for pair in zip(own, ARP_MEANWHILE, strict=True))


def keep(virtual: Virtual, own: Mapping[str, Arp]) -> list[str]:
    """Return the command that keeps an address on lo. It never becomes the source of a new connection there."""
    command = ["ip", "address", "add", virtual.on_lo, "dev", "lo"]
    if virtual.address.version == 4:
        return [*command, "scope", "host", "label", label(own[virtual.interface])]
    return [*command, "preferred_lft", "0", "nodad"]


def undo_old(virtuals: Iterable[Virtual], own: Mapping[str, Arp]) -> str:
    """Return the shell script that lets the addresses go and sets ARP as it was."""
    lines = [f"ip address delete {one.on_lo} dev lo" for one in virtuals]
    for interface, values in own.items():
        lines += [f"echo {value} >{arp_path(interface, key)}" for key, value in zip(ARP, values, strict=True)]
    return "; ".join(lines)


def undo_new() -> str:
    """Return the shell script that removes the tables."""
    return "; ".join(f"nft delete table {family} {TABLE}" for family in FAMILIES.values())


def arp_path(interface: str, key: str) -> str:
    """Return the file of a setting; ValueError for what can't be an interface's name."""
    if not re.fullmatch(r"[A-Za-z0-9_.@:-]{1,15}", interface) or interface in (".", ".."):
        raise ValueError(f"interface: {interface!r} is no interface's name")
    return f"/proc/sys/net/ipv4/conf/{interface}/{key}"


def dead_man(seconds: int, script: str) -> list[str]:
    """Return the command that sets the timer."""
    timer = ["--timer-property=AccuracySec=1s", "--property=Type=oneshot", "--collect"]
    return ["systemd-run", f"--unit={UNIT}", f"--on-active={seconds}", *timer, "/bin/sh", "-c", script]


def to_addresses(virtuals: Iterable[Virtual]) -> list[str]:
    """Return the filter of ``ss`` for what is connected to the addresses."""
    return _any_of(f"src {_bracketed(str(one.address))}" for one in virtuals)


def these(connections: Iterable[Connection]) -> list[str]:
    """Return the filter of ``ss`` for exactly these connections; ValueError for none, which would mean all."""
    words = _any_of(f"( src {one.local} and dst {one.client} )" for one in connections)
    if not words:
        raise ValueError("there is no connection to close")
    return words


def _any_of(terms: Iterable[str]) -> list[str]:
    return " or ".join(terms).split()


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def parse_connections(text: str) -> tuple[Connection, ...]:
    """Return what ``ss -OHnti state established`` prints; ValueError when it is not that."""
    return tuple(_connections(line for line in text.splitlines() if line.strip()))


def _connections(lines: Iterable[str]) -> Iterator[Connection]:
    for line in lines:
        words = line.split()
        if len(words) < 4 or not (words[0].isdigit() and words[1].isdigit()):
            raise ValueError(f"ss printed {line[:80]!r} instead of a connection")
        ages = dict(re.findall(r"\b(lastsnd|lastrcv):(\d+)", line))
        yield Connection(
            local=words[2],
            client=words[3],
            sent_ms=int(ages.get("lastsnd", 0)),
            received_ms=int(ages.get("lastrcv", 0)),
            queued=words[0] != "0" or words[1] != "0",
        )


def quiet(connections: Iterable[Connection], pauses: Mapping[str, int]) -> tuple[Connection, ...]:
    """Return those that wait for their clients: nobody who loses one has to guess what became of a statement.

    ``pauses`` has the longest pause seen of each client. One in the middle of such a pause will not send within the
    next moment; neither will one that has been idle for long. A pause that has just begun may be one of an answer.
    Those that will send latest come first.
    """
    left = {one: pauses.get(one.client, 0) - one.sent_ms for one in connections if one.answered}
    found = [one for one in left if one.sent_ms >= IDLE_MS or (one.sent_ms >= QUIET_MS and left[one] >= CLOSING_MS)]
    return tuple(sorted(found, key=lambda one: max(one.sent_ms - IDLE_MS, left[one]), reverse=True))


def just_answered(connections: Collection[Connection]) -> tuple[Connection, ...]:
    """Return a few of those that were answered last: of clients with short pauses, they send latest."""
    answered = sorted((one for one in connections if one.answered), key=lambda one: one.sent_ms)
    return tuple(answered[: 1 + len(connections) // 10])


def longest_pauses(connections: Iterable[Connection], pauses: Mapping[str, int]) -> dict[str, int]:
    """Return the longest pause of each client, of those known and those seen now."""
    now = {one.client: one.sent_ms for one in connections if one.answered}
    return {**pauses, **{client: max(pause, pauses.get(client, 0)) for client, pause in now.items()}}
