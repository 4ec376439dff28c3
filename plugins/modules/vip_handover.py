#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vip_handover
short_description: Keep the connections to a virtual IP while it moves to another host
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Prepares a planned move of virtual IPs. Connections stay on the host that holds the address until they end. New ones
    reach the new holder.
  - Prepare the old holder, then all hosts that may become the new one, and then move the address, for instance by
    stopping keepalived. When the connections are gone, end the handover with V(absent) on all of them.
  - The new holder remembers which connections begin there. It passes the packets of all others on to the old holder,
    with rules of nftables in tables called C(holdfast_handover).
  - The old holder keeps the address on the interface C(lo), but does not answer ARP or neighbour solicitations for it.
    It answers clients directly. C(arp_ignore) and C(arp_announce) of the address's interface are changed meanwhile.
  - A host that lacks what is needed, such as C(nft) or its C(dup) in the kernel, gets RV(supported=false), and nothing
    is changed there.
  - Nothing outlasts O(lifetime) or a reboot, even when nobody ends the handover.
attributes:
  check_mode:
    support: full
    description: Predicts the change; whether the kernel supports it is not tried.
  diff_mode:
    support: none
    description: There is nothing to compare.
options:
  role:
    description:
      - V(old) is the host that holds the addresses and is to lose them.
      - V(new) is a host that may hold them next.
    type: str
    choices: [old, new]
    required: true
  state:
    description: V(present) prepares the move, V(absent) ends the handover.
    type: str
    choices: [present, absent]
    default: present
  addresses:
    description:
      - The virtual IPs, IPv4 or IPv6, each with the prefix length of its network.
      - With O(state=present), O(role=old) leaves out those that the host does not hold, and O(role=new) those that it
        holds already.
    type: list
    elements: str
    required: true
  interface:
    description: Interface of the addresses. Without it, the one that is in the address's network.
    type: str
  peers:
    description:
      - Addresses of the old holder, one in the network of each virtual IP, as its RV(addresses) tells. Virtual IPs
        without one are left out. For O(role=new) with O(state=present).
    type: list
    elements: str
    default: []
  lifetime:
    description: Seconds after which a timer ends the handover on this host.
    type: int
    default: 600
  patience:
    description: Seconds to wait for connections to end. For O(role=old) with O(state=absent).
    type: float
    default: 0
  timeout:
    description:
      - Seconds in which connections that are left are closed while they wait for their clients, so that no statement is
        under way. Those that are still busy afterwards are closed, too. V(0) closes none.
      - For O(role=old) with O(state=absent).
    type: float
    default: 5
notes:
  - The hosts must be in one network; the old holder's firewall must accept the packets for the virtual IP, and the new
    holder's must let them out.
  - Connections that a host of the two has with the virtual IP itself are not kept.
  - At most 262144 connections that begin at the new holder during a handover are remembered. Others would break.
seealso:
  - module: holdfast.ha.vrrp_info
"""

EXAMPLES = r"""
- name: Prepare the holder
  holdfast.ha.vip_handover:
    role: old
    addresses: [198.51.100.100/24]
  register: old

- name: Prepare the other balancer
  holdfast.ha.vip_handover:
    role: new
    addresses: "{{ old.addresses | map(attribute='address') }}"
    peers: "{{ old.addresses | map(attribute='own') }}"
  delegate_to: lb2

- name: Move the virtual IP
  ansible.builtin.systemd_service:
    name: keepalived.service
    state: stopped

- name: Let the connections end
  holdfast.ha.vip_handover:
    role: old
    state: absent
    addresses: [198.51.100.100/24]
    patience: 60
"""

RETURN = r"""
supported:
  description: Whether this host can take part.
  returned: success
  type: bool
reason:
  description: Why it can't; empty when it can.
  returned: success
  type: str
addresses:
  description: The virtual IPs that take part on this host, or did until now.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The virtual IP as it was given.
      type: str
      sample: 198.51.100.100/24
    interface:
      description: Its interface.
      type: str
      sample: eth0
    own:
      description: This host's own address in the same network; null when it has none.
      type: str
      sample: 198.51.100.21
waited:
  description: Seconds waited for connections to end.
  returned: success
  type: float
closed:
  description: Number of connections that were closed while they waited for their clients.
  returned: success
  type: int
broken:
  description: Number of connections that were closed, or left, while they may have been busy.
  returned: success
  type: int
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils import vip_handover as handover
from ansible_collections.holdfast.ha.plugins.module_utils.vip_handover import (
    Arp,
    Connection,
    UnsupportedError,
    Virtual,
)

POLL_SECONDS = 0.1
CLOSE_POLL_SECONDS = 0.02
MOST_AT_ONCE = 20
PATHS = ["/usr/sbin", "/sbin"]

ARGUMENTS: dict[str, Any] = {
    "role": {"type": "str", "choices": ["old", "new"], "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "addresses": {"type": "list", "elements": "str", "required": True},
    "interface": {"type": "str"},
    "peers": {"type": "list", "elements": "str", "default": []},
    "lifetime": {"type": "int", "default": 600},
    "patience": {"type": "float", "default": 0},
    "timeout": {"type": "float", "default": 5},
}


@dataclass
class Host:
    """This host, through its programs. Methods raise UnsupportedError, or ValueError for what they can't read."""

    module: AnsibleModule
    closed: int = 0
    broken: int = 0
    waited: float = 0.0
    pauses: dict[str, int] = field(default_factory=dict)
    taking_part: list[Virtual] = field(default_factory=list)

    def run(self, *command: str, stdin: str | None = None) -> tuple[int, str]:
        """Run a program and return its exit code and what it printed, or its complaint."""
        path = self.module.get_bin_path(command[0], opt_dirs=PATHS)
        if path is None:
            raise UnsupportedError(f"{command[0]} is not installed")
        code, output, error = self.module.run_command([path, *command[1:]], data=stdin)
        return code, (output if code == 0 else (error or output).strip())

    def must(self, *command: str, stdin: str | None = None) -> str:
        """Run a program that must succeed and return what it printed."""
        code, text = self.run(*command, stdin=stdin)
        if code:
            raise UnsupportedError(f"{' '.join(command[:3])}: {text}")
        return text

    def virtuals(self) -> tuple[Virtual, ...]:
        """Return the virtual IPs as they are now."""
        params = self.module.params
        found = handover.parse_addresses(self.must("ip", "-json", "address"))
        return handover.locate(params["addresses"], found, params["interface"])

    def set_timer(self, script: str) -> None:
        """Have a script run unless the timer is stopped before."""
        self.stop_timer()
        self.must(*handover.dead_man(self.module.params["lifetime"], script))

    def stop_timer(self) -> None:
        """Stop the timer, if there is one."""
        self.run("systemctl", "stop", f"{handover.UNIT}.timer")
        self.run("systemctl", "reset-failed", f"{handover.UNIT}.service")

    def loaded(self) -> dict[int, str | None]:
        """By IP version of our tables that exist, their marks."""
        if self.module.get_bin_path("nft", opt_dirs=PATHS) is None:
            return {}
        answers = {
            version: self.run("nft", "-t", "list", "table", family, handover.TABLE)
            for version, family in handover.FAMILIES.items()
        }
        return {version: handover.parse_mark(text) for version, (code, text) in answers.items() if code == 0}

    def begin_new(self) -> bool:
        """Lead foreign connections to the old holder; return whether that is a change."""
        if self.module.get_bin_path("nft", opt_dirs=PATHS) is None:
            raise UnsupportedError("nft is not installed")
        everything = self.virtuals()
        found = handover.leads(everything, self.module.params["peers"])
        loaded = self.loaded()
        if not _is_loaded(found, loaded):
            everything = tuple(one for one in everything if not one.held)
            found = handover.leads(everything, self.module.params["peers"])
        led = {lead.address for lead in found}
        self.taking_part = [one for one in everything if str(one.address) in led]
        changed = bool(found) and not _is_loaded(found, loaded)
        if found and not self.module.check_mode:
            self.set_timer(handover.undo_new())
            if changed:
                self._load(found, loaded)
        return changed

    def _load(self, found: tuple[handover.Lead, ...], loaded: Collection[int]) -> None:
        by_version = {version: handover.of_version(found, version) for version in handover.FAMILIES}
        rules = [handover.render(some, version) for version, some in by_version.items() if some]
        rules += [handover.removal(version) for version in loaded if not by_version[version]]
        try:
            self.must("nft", "-f", "-", stdin="".join(rules))
        except UnsupportedError:
            self.stop_timer()
            raise

    def end_new(self) -> bool:
        """Remove the tables; return whether there were any."""
        loaded = self.loaded()
        self.taking_part = list(self.virtuals()) if loaded else []
        if not self.module.check_mode:
            for version in loaded:
                self.must("nft", "delete", "table", handover.FAMILIES[version], handover.TABLE)
            self.stop_timer()
        return bool(loaded)

    def begin_old(self) -> bool:
        """Keep the addresses that this host holds on lo; return whether that is a change."""
        self.taking_part = [one for one in self.virtuals() if one.held or one.kept]
        add = [one for one in self.taking_part if not one.kept]
        if self.module.check_mode or not self.taking_part:
            return bool(add)
        own = handover.own_arp(self.taking_part, read_arp)
        undo = handover.undo_old(self.taking_part, own)
        self.set_timer(undo)
        try:
            for interface, values in own.items():
                write_arp(interface, handover.arp_meanwhile(values))
            for one in add:
                self.must(*handover.keep(one, own))
        except (UnsupportedError, OSError) as error:
            self.run("sh", "-c", undo)
            self.stop_timer()
            raise UnsupportedError(str(error)) from error
        return bool(add)

    def end_old(self) -> bool:
        """Let the addresses on lo go when their connections have ended; return whether there were any."""
        self.taking_part = [one for one in self.virtuals() if one.kept]
        if self.module.check_mode:
            return bool(self.taking_part)
        if self.taking_part:
            self._drain()
        if kept := [one for one in self.virtuals() if one.kept]:
            self.run("sh", "-c", handover.undo_old(kept, handover.own_arp(kept, read_arp)))
            if still := [one.name for one in self.virtuals() if one.kept]:
                raise ValueError(f"addresses: {', '.join(still)} can't be removed from lo; remove them by hand")
        self.stop_timer()
        return bool(self.taking_part)

    def _drain(self) -> None:
        started = time.monotonic()
        params = self.module.params
        while (connected := self._connections()) and time.monotonic() - started < params["patience"]:
            time.sleep(POLL_SECONDS)
        self.waited = round(time.monotonic() - started, 3)
        ends = time.monotonic() + params["timeout"]
        while connected and time.monotonic() < ends:
            hurried = ends - time.monotonic() < params["timeout"] / 3
            self._close_some(connected, hurried)
            connected = self._connections()
        self.broken = len(connected)
        if params["timeout"]:
            self._close(connected)

    def _close_some(self, connected: tuple[Connection, ...], hurried: bool) -> None:
        # What has been looked at must be closed at once, so there are not many at a time.
        idle = handover.quiet(connected, self.pauses)
        if hurried and not idle:
            idle = handover.just_answered(connected)
        idle = idle[:MOST_AT_ONCE]
        self._close(idle)
        self.closed += len(idle)
        if not idle:
            time.sleep(CLOSE_POLL_SECONDS)

    def _connections(self) -> tuple[Connection, ...]:
        # An address that has come back meanwhile serves its clients as before.
        wanted = handover.to_addresses(one for one in self.virtuals() if one.kept and not one.held)
        if not wanted:
            return ()
        found = handover.parse_connections(self.must("ss", "-OHnti", "state", "established", *wanted))
        self.pauses = handover.longest_pauses(found, self.pauses)
        return found

    def _close(self, connections: tuple[Connection, ...]) -> None:
        for first in range(0, len(connections), MOST_AT_ONCE):
            chosen = handover.these(connections[first : first + MOST_AT_ONCE])
            self.run("ss", "-K", "-Hnt", "state", "established", *chosen)


def _is_loaded(found: tuple[handover.Lead, ...], loaded: dict[int, str | None]) -> bool:
    wanted = {version: handover.of_version(found, version) for version in handover.FAMILIES}
    return loaded == {version: handover.mark(some) for version, some in wanted.items() if some}


def read_arp(interface: str) -> Arp:
    """Return an interface's ARP settings; UnsupportedError where there are none."""
    try:
        return tuple(int(Path(handover.arp_path(interface, key)).read_text()) for key in handover.ARP)
    except OSError as error:
        raise UnsupportedError(str(error)) from error


def write_arp(interface: str, values: Arp) -> None:
    """Set an interface's ARP settings; raises OSError."""
    for key, value in zip(handover.ARP, values, strict=True):
        Path(handover.arp_path(interface, key)).write_text(f"{value}\n")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    host = Host(module)
    verb = f"{'begin' if module.params['state'] == 'present' else 'end'}_{module.params['role']}"
    changed, reason = False, ""
    try:
        changed = getattr(host, verb)()
    except UnsupportedError as error:
        reason, host.taking_part = str(error), []
    except ValueError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=changed,
        supported=not reason,
        reason=reason,
        addresses=[{"address": one.name, "interface": one.interface, "own": one.own} for one in host.taking_part],
        waited=host.waited,
        closed=host.closed,
        broken=host.broken,
    )


if __name__ == "__main__":
    main()
