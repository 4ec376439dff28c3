# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that are cut off by packet filter rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import Expected, View
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.action import Action
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.rules import Cut, ruleset
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan

if TYPE_CHECKING:
    from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.tools import Tools

NFT = "nft drops the packets; loopback and SSH from the controller stay open"


class Scope(StrEnum):
    """The hosts that an isolated host no longer reaches."""

    EVERYBODY = "everybody"
    PEERS = "every host of the cluster but the balancers"
    ETCD = "etcd"
    STANDBYS = "the standbys' replication"


@dataclass(frozen=True, slots=True)
class Isolate(Action):
    """Packets are dropped; one way: the host still receives packets, but its own are dropped."""

    on_hosts = NFT
    in_containers = NFT
    scope: Scope
    one_way: bool = False

    def inject(self, tools: Tools, targets: Sequence[str], view: View) -> str:  # noqa: ARG002
        """Load the rules, and check that they drop packets."""
        (host,) = targets
        return isolate(tools, host, self.cut(host, tools.expected, tools.plan))

    def still(self, tools: Tools, targets: Sequence[str]) -> str:
        """Check that the rules are still loaded and dropped packets."""
        (host,) = targets
        return still_isolated(tools, host)

    def cut(self, host: str, expected: Expected, plan: Plan) -> Cut:
        """Return the cut at a host."""
        addresses, topology, incoming = plan.addresses, plan.topology, not self.one_way
        if self.scope is Scope.EVERYBODY:
            return Cut(incoming=incoming)
        if self.scope is Scope.ETCD:
            etcd = tuple(addresses[name] for name in expected.etcd if name != host)
            return Cut(etcd, (topology["etcd"]["client_port"], topology["etcd"]["peer_port"]), incoming)
        if self.scope is Scope.STANDBYS:
            databases = tuple(addresses[name] for name in expected.databases if name != host)
            return Cut(databases, (topology["postgresql"]["port"],), incoming)
        # The repository too: otherwise a standby would fetch the WAL that the primary archives while it demotes.
        spared = {host, *expected.balancers}
        return Cut(tuple(address for name, address in addresses.items() if name not in spared), (), incoming)


@dataclass(frozen=True, slots=True)
class CutPair(Action):
    """The first target drops the packets to and from the second one; one way: only those to it."""

    on_hosts = NFT
    in_containers = NFT
    one_way: bool = False

    def inject(self, tools: Tools, targets: Sequence[str], view: View) -> str:  # noqa: ARG002
        """Load the rules, and check that they drop packets."""
        host, other = targets
        return isolate(tools, host, Cut((tools.plan.addresses[other],), incoming=not self.one_way))

    def still(self, tools: Tools, targets: Sequence[str]) -> str:
        """Check that the rules are still loaded and dropped packets."""
        return still_isolated(tools, targets[0])


def isolate(tools: Tools, host: str, cut: Cut) -> str:
    """Load the rules of a cut on a host, and return the proof that they drop packets."""
    rules = ruleset_at(tools, host, cut)
    tools.undo_later("isolation", lambda: tools.crew.call(host, "undo", name="isolation"))
    mute = tools.plan.virtual_ips if cut.total and host in tools.expected.balancers else []
    unheard = tools.crew.call(host, "isolate", rules=rules, seconds=tools.plan.dead_man, mute=mute)
    if cut.total and unheard:
        tools.note_cut(host)
    return tools.await_proof(
        lambda: f"{host}: packets are being dropped" if tools.crew.call(host, "dropped")["packets"] else "",
        f"{host}: no packet was dropped",
    )


def ruleset_at(tools: Tools, host: str, cut: Cut) -> str:
    """Return the rules of a cut on a host, which spare the controller's session there."""
    controller, _port, _own, ssh_port = str(tools.crew.call(host, "address")).split()
    return ruleset(cut, controller, int(ssh_port))


def still_isolated(tools: Tools, host: str) -> str:
    """Return the number of dropped packets; raises NotProvenError when the rules were removed meanwhile."""
    seen = tools.crew.call(host, "dropped")
    if not seen["present"]:
        raise NotProvenError(f"{host}: the drill's rules are gone before their time")
    if not seen["packets"]:
        raise NotProvenError(f"{host}: the drill's rules dropped no packet")
    if tools.is_cut(host) and host in tools.expected.balancers and not seen["muted"]:
        raise NotProvenError(f"{host}: the drill's rules against ARP are gone before their time")
    return f"{seen['packets']} packets dropped"
