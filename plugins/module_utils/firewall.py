# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of nftables that says who may open which TCP connections to a host. Nothing here does I/O.

It judges the first packet of a connection only, and tracks nothing. So it breaks no connection that is established when
it is loaded or replaced, and has no table that can overflow.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

TABLE = "holdfast_firewall"
RULES = "/etc/holdfast/firewall.nft"
UNDO = "holdfast-firewall-undo"
"""The timer that loads the former table when the new one is not confirmed."""
PREVIOUS = "/run/holdfast-firewall.nft"
"""What the timer loads."""
FAMILIES = {4: "ip", 6: "ip6"}
REMOVAL = f"table inet {TABLE}\ndelete table inet {TABLE}\n"
"""The commands that remove the table whether it exists or not."""
LISTING = ("nft", "-s", "list", "table", "inet", TABLE)
"""What shows the table, without what it counted."""

Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"
Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"


@dataclass(frozen=True)
class Rule:
    """A port, and the networks from which it is open."""

    port: int
    sources: tuple[Network, ...]
    about: str = ""


@dataclass(frozen=True)
class Wanted:
    """The desired table. SSH is open on its ports from its networks, or from everywhere without any."""

    rules: tuple[Rule, ...]
    ssh_ports: tuple[int, ...]
    ssh_sources: tuple[Network, ...] = ()
    others_accepted: bool = False
    """Whether connections to ports without a rule are let in."""


@dataclass(frozen=True)
class Session:
    """Where an SSH session comes from, and the port that it came to."""

    client: Address
    port: int


def parse(params: Mapping[str, Any]) -> Wanted:
    """Return the desired table of the module's parameters; ValueError for what is no network or no port."""
    rules = tuple(
        Rule(_port(rule["port"]), networks("rules", rule["sources"]), rule.get("about") or "")
        for rule in params["rules"]
    )
    ports = tuple(map(_port, params["ssh_ports"]))
    return Wanted(rules, ports, networks("ssh_sources", params["ssh_sources"]), params["others"] == "accept")


def networks(where: str, texts: Iterable[str]) -> tuple[Network, ...]:
    """Return addresses and networks; ValueError for anything else."""
    try:
        return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
    except ValueError as error:
        raise ValueError(f"{where}: {error}; write addresses or networks, such as 192.0.2.0/24") from error


def _port(number: int) -> int:
    if not 0 < number < 65536:
        raise ValueError(f"{number} is no TCP port; write one from 1 to 65535")
    return number


def render(wanted: Wanted) -> str:
    """Return the commands of nft that load the table in place of a former one."""
    body = [f"        {line}" for line in chain(wanted)]
    digest = hashlib.sha256("\n".join(body).encode()).hexdigest()[:16]
    lines = [
        "# Managed by Ansible (holdfast.ha.firewall)",
        REMOVAL.rstrip(),
        f"table inet {TABLE} {{",
        f'    comment "holdfast {digest}"',
        "    chain input {",
        "        type filter hook input priority filter; policy accept;",
        *body,
        "    }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def chain(wanted: Wanted) -> Iterator[str]:
    """Yield the rules: what is no first packet of a TCP connection from another host passes."""
    yield 'iifname "lo" accept'
    yield "meta l4proto != tcp accept"
    yield "tcp flags & (fin | syn | rst | ack) != syn accept"
    yield from accepting(", ".join(map(str, sorted(wanted.ssh_ports))), wanted.ssh_sources or EVERYWHERE, "SSH")
    for rule in merged(wanted.rules):
        yield from accepting(str(rule.port), rule.sources, rule.about)
    closed = ", ".join(str(rule.port) for rule in merged(wanted.rules))
    if not wanted.others_accepted:
        yield "counter drop"
    elif closed:
        yield f"tcp dport {{ {closed} }} counter drop"


EVERYWHERE = networks("", ("0.0.0.0/0", "::/0"))


def merged(rules: Iterable[Rule]) -> Iterator[Rule]:
    """Yield a rule for each port, sorted, with all that is said of it."""
    by_port: dict[int, list[Rule]] = {}
    for rule in rules:
        by_port.setdefault(rule.port, []).append(rule)
    for port, same in sorted(by_port.items()):
        about = ", ".join(dict.fromkeys(rule.about for rule in same if rule.about))
        yield Rule(port, tuple(network for rule in same for network in rule.sources), about)


def accepting(ports: str, sources: Iterable[Network], about: str) -> Iterator[str]:
    """Yield the rules that let sources reach ports; nft refuses networks that overlap."""
    match = f"tcp dport {{ {ports} }}"
    comment = f' comment "{re.sub(r"[^A-Za-z0-9 ,()-]", "", about)}"' if about else ""
    for version, family in FAMILIES.items():
        known = [network for network in sources if network.version == version]
        found = list(ipaddress.collapse_addresses(known))  # type: ignore[type-var]
        if any(network.prefixlen == 0 for network in found):
            yield f"meta nfproto ipv{version} {match} accept{comment}"
        elif found:
            yield f"{family} saddr {{ {', '.join(map(_short, found))} }} {match} accept{comment}"


def _short(network: Network) -> str:
    return str(network.network_address if network.prefixlen == network.max_prefixlen else network)


def mark(text: str) -> str | None:
    """Return the comment of the table in nft's commands, or in what ``nft list table`` prints; None without one.

    It tells which rules were loaded, and not whether they still are: see firewall_kernel.Kernel.has().
    """
    found = re.search(r'^\s*comment "(holdfast [0-9a-f]+)"$', text, re.MULTILINE)
    return found[1] if found else None


def elsewhere(nft: str) -> list[str]:
    """Return the command that shows what the commands on its input load, in a network namespace that ends with it.

    nft shows rules in words of its own, which differ between versions. Only what it shows of both can be compared.
    """
    return ["unshare", "--net", "sh", "-c", f'"$0" -f - && "$0" {" ".join(LISTING[1:])}', nft]


def lockout(wanted: Wanted, session: Session) -> str | None:
    """Return why the table would end a session's way to the host, or None."""
    if session.port not in wanted.ssh_ports:
        ports = ", ".join(map(str, wanted.ssh_ports))
        return f"this session came to the port {session.port}, and SSH would be open on {ports} only: set ansible_port"
    if wanted.ssh_sources and not any(session.client in network for network in wanted.ssh_sources):
        return f"this session comes from {session.client}, which is in none of SSH's networks: add it to them"
    return None


def parse_session(environment: bytes) -> Session | None:
    """Return the SSH session of a process from its environment as /proc has it, None without one."""
    found = re.search(rb"(?:^|\0)SSH_CONNECTION=(\S+) \d+ \S+ (\d+)(?:\0|$)", environment)
    if found is None:
        return None
    try:
        address = ipaddress.ip_address(found[1].decode("ascii").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return Session(mapped or address, int(found[2]))


def parse_parent(status: str) -> int:
    """Return the parent of a process from its /proc/PID/status, 0 without one."""
    found = re.search(r"^PPid:\s*(\d+)$", status, re.MULTILINE)
    return int(found[1]) if found else 0


def restoring(listed: str | None) -> str:
    """Return the commands that bring back what ``nft list table`` printed, None for no table."""
    return REMOVAL + (listed or "")


def undo_later(seconds: int) -> list[str]:
    """Return the command that has the former table come back."""
    timer = ["--timer-property=AccuracySec=1s", "--property=Type=oneshot", "--collect", "--quiet"]
    return ["systemd-run", f"--unit={UNDO}", f"--on-active={seconds}", *timer, "/usr/sbin/nft", "-f", PREVIOUS]
