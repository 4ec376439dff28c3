# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module holdfast.ha.firewall."""

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall
short_description: Try, confirm and compare a host's firewall
version_added: 1.0.0
description:
  - Loads the table C(inet holdfast_firewall) of nftables, which says from where TCP connections may be opened. Other
    protocols, established connections and other tables are not touched.
  - O(state=planned) compares, and looks which of O(reach) can be reached. O(state=tried) loads the table, and sets a
    timer that loads the former one after O(seconds). O(state=probed) looks again. O(state=confirmed) stops the timer,
    O(state=undone) loads the former table at once.
  - O(state=absent) stops the timer and removes the table. It changes nothing on a host that has neither.
  - The loaded rules are compared with those that the table would have, so a table that others changed or emptied is
    loaded again. For this, the module loads the table in a network namespace of its own.
  - A table that would end the way by which this module was called is refused.
  - The table does not outlive a boot. The role P(holdfast.ha.firewall#role) lays down the RV(content) for that.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: Compares, and reaches out, but loads nothing.
  diff_mode:
    support: full
    description: Shows the table.
options:
  state:
    description:
      - Step to take.
      - V(probed) opens a new connection to the host first, and so shows that the host can still be reached. It fails
        when the timer has loaded the former table meanwhile.
    type: str
    choices: [planned, tried, probed, confirmed, undone, absent]
    required: true
  rules:
    description: Ports that are open from somewhere.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: TCP port.
        type: int
        required: true
      sources:
        description: Addresses and networks from which it is open; none of them closes it.
        type: list
        elements: str
        default: []
      about:
        description: What listens there.
        type: str
  ssh_ports:
    description: Ports of SSH.
    type: list
    elements: int
    default: [22]
  ssh_sources:
    description: Addresses and networks that may use SSH; all by default.
    type: list
    elements: str
    default: []
  others:
    description: Whether connections to ports without a rule are let in.
    type: str
    choices: [accept, drop]
    default: drop
  reach:
    description: Services of other hosts.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description: IP address.
        type: str
        required: true
      port:
        description: TCP port.
        type: int
        required: true
  seconds:
    description: Time after which the former table comes back.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Compare
  holdfast.ha.firewall:
    state: planned
    rules: "{{ my_rules }}" # such as {port: 5432, sources: [192.0.2.0/24], about: PostgreSQL}
    reach:
      - {address: 192.0.2.12, port: 5432}
  register: planned

- name: Load the table for two minutes
  holdfast.ha.firewall:
    rules: "{{ my_rules }}"
    state: tried
  when: planned.pending

- name: Check that what could be reached still can
  holdfast.ha.firewall:
    rules: "{{ my_rules }}"
    state: probed
    reach: "{{ planned.open }}"
  register: probed

- name: Keep the table, or go back
  holdfast.ha.firewall:
    rules: "{{ my_rules }}"
    state: "{{ 'undone' if probed.closed else 'confirmed' }}"

- name: Remove the table, whoever loaded it
  holdfast.ha.firewall:
    state: absent
"""

RETURN = r"""
pending:
  description: Whether the table is not loaded, or not confirmed; never with O(state=absent).
  returned: success
  type: bool
content:
  description: The commands of nft that load the table.
  returned: success
  type: str
open:
  description: Those of O(reach) that accept connections. Only with O(state=planned) and O(state=probed).
  returned: success
  type: list
  elements: dict
closed:
  description: Those that don't.
  returned: success
  type: list
  elements: dict
"""

import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils import firewall, safe_path
from ansible_collections.holdfast.ha.plugins.module_utils.firewall_kernel import FirewallError, Kernel

CONNECT_SECONDS = 3.0
MOST_PROBES = 16
STATES = ["planned", "tried", "probed", "confirmed", "undone", "absent"]
SHOWN = ("tried", "absent")
"""The steps whose change is a table."""

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": STATES, "required": True},
    "rules": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "port": {"type": "int", "required": True},
            "sources": {"type": "list", "elements": "str", "default": []},
            "about": {"type": "str"},
        },
    },
    "ssh_ports": {"type": "list", "elements": "int", "default": [22]},
    "ssh_sources": {"type": "list", "elements": "str", "default": []},
    "others": {"type": "str", "choices": ["accept", "drop"], "default": "drop"},
    "reach": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"address": {"type": "str", "required": True}, "port": {"type": "int", "required": True}},
    },
    "seconds": {"type": "int", "default": 120},
}


@dataclass(frozen=True)
class Host(Kernel):
    """This host, and the table that it shall have."""

    wanted: firewall.Wanted

    @property
    def content(self) -> str:
        """The commands that load the desired table."""
        return firewall.render(self.wanted)

    def differs(self) -> bool:
        """Whether another table is loaded, or none."""
        return not self.has(self.content)

    def after(self) -> str:
        """What listed() is once the table is loaded; its commands before nft is installed."""
        return self.listing_of(self.content) if self.nft() else self.content

    def armed(self) -> bool:
        """Whether the timer runs, of this run or of one that was killed."""
        return self.run("systemctl", "is-active", f"{firewall.UNDO}.timer")[0] == 0

    def pending(self) -> bool:
        """Whether the table is not loaded, or not confirmed."""
        return self.differs() or self.armed()

    def attempt(self) -> bool:
        """Load the table, which a timer takes back; returns whether that is a change."""
        session = own_session()
        reason = firewall.lockout(self.wanted, session) if session else None
        if reason:
            raise FirewallError(reason)
        if not self.pending():
            return False
        if not self.module.check_mode:
            self.must("nft", "-c", "-f", "-", stdin=self.content)
            self.arm()
            self.must("nft", "-f", "-", stdin=self.content)
        return True

    def arm(self) -> None:
        """Set the timer; what a killed run would go back to stays."""
        if not self.armed():
            former = firewall.restoring(self.listed()).encode()
            safe_path.replace(firewall.PREVIOUS, former, safe_path.Access(0, 0, 0o600))
        self.disarm()
        self.must(*firewall.undo_later(self.module.params["seconds"]))

    def confirm(self) -> bool:
        """Stop the timer; returns whether it ran."""
        if self.module.check_mode:
            return False
        self.must_be_loaded()
        armed = self.disarm()
        self.must_be_loaded()  # The timer may have ended before it was stopped.
        return armed

    def must_be_loaded(self) -> None:
        """Refuse to go on when the timer has loaded the former table."""
        if self.differs():
            raise FirewallError("the table is not loaded any more: the timer was faster, so run this again")

    def undo(self) -> bool:
        """Load the former table now; returns whether the timer had not done so."""
        if self.module.check_mode or not self.disarm():
            return False
        self.must("nft", "-f", firewall.PREVIOUS)
        return True

    def remove(self) -> bool:
        """Stop the timer, and remove the table and what the timer would load; returns whether there was any of it."""
        found = self.armed() or self.listed() is not None or safe_path.look(firewall.PREVIOUS) is not None
        if found and not self.module.check_mode:
            self.disarm()  # First of all, as it would load the former table again.
            if self.listed() is not None:
                self.must("nft", "-f", "-", stdin=firewall.REMOVAL)
            safe_path.remove(firewall.PREVIOUS)
        return found

    def disarm(self) -> bool:
        """Stop the timer, if there is one, and what it may have started; returns whether there was one."""
        armed = self.armed()
        self.run("systemctl", "stop", f"{firewall.UNDO}.timer", f"{firewall.UNDO}.service")
        self.run("systemctl", "reset-failed", f"{firewall.UNDO}.service")
        return armed


def own_session() -> firewall.Session | None:
    """The SSH session in which this process runs, None without one; sudo leaves it to the processes before."""
    process = Path("/proc/self")
    while True:
        try:
            session = firewall.parse_session((process / "environ").read_bytes())
            parent = firewall.parse_parent((process / "status").read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return None
        if session or parent < 2:
            return session
        process = Path(f"/proc/{parent}")


def accepts(target: dict[str, Any]) -> bool:
    """Whether a service accepts a connection."""
    try:
        with socket.create_connection((target["address"], target["port"]), CONNECT_SECONDS):
            return True
    except OSError:
        return False


def reached(targets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that accept connections."""
    with ThreadPoolExecutor(MOST_PROBES) as pool:
        return [target for target, is_open in zip(targets, pool.map(accepts, targets), strict=True) if is_open]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    state, targets = module.params["state"], module.params["reach"]
    steps = {"tried": Host.attempt, "confirmed": Host.confirm, "undone": Host.undo, "absent": Host.remove}
    try:
        host = Host(module, firewall.parse(module.params))
        before = host.listed() or ""
        found = [] if state in steps else reached(targets)
        if state == "probed" and not module.check_mode:
            host.must_be_loaded()
        changed = steps[state](host) if state in steps else False
        pending = state != "absent" and host.pending()
        shown = {"diff": difference(host, before)} if changed and state in SHOWN else {}
    except (FirewallError, ValueError, OSError, safe_path.UnsafePathError) as error:
        module.fail_json(msg=str(error))
    closed = [] if state in steps else [target for target in targets if target not in found]
    module.exit_json(changed=changed, pending=pending, content=host.content, open=found, closed=closed, **shown)


def difference(host: Host, before: str) -> dict[str, str]:
    """Return what differs between a table before and the desired one, as nft shows both."""
    after = host.after() if host.module.params["state"] == "tried" else ""
    return {"before": before, "after": after, "before_header": firewall.TABLE, "after_header": firewall.TABLE}


if __name__ == "__main__":
    main()
