# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall's table as the kernel of this host has it, through nft."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.holdfast.ha.plugins.module_utils import firewall

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

PATHS = ["/usr/sbin", "/sbin"]


class FirewallError(Exception):
    """A step that can't be taken; the message is for the user."""


@dataclass(frozen=True)
class Kernel:
    """The table, and the programs of the host."""

    module: AnsibleModule

    def run(self, *command: str, stdin: str | None = None) -> tuple[int, str]:
        """Run a program and return its exit code and what it printed, or its complaint."""
        path = self.module.get_bin_path(command[0], required=True, opt_dirs=PATHS)
        code, output, error = self.module.run_command([path, *command[1:]], data=stdin)
        return code, (output if code == 0 else (error or output).strip())

    def must(self, *command: str, stdin: str | None = None) -> str:
        """Run a program that must succeed."""
        code, text = self.run(*command, stdin=stdin)
        if code:
            raise FirewallError(f"{' '.join(command[:3])}: {text}")
        return text

    def nft(self) -> str | None:
        """The path of nft, None before it is installed."""
        path: str | None = self.module.get_bin_path("nft", opt_dirs=PATHS)
        return path

    def listed(self) -> str | None:
        """The table that is loaded, None without one, or before nft is installed."""
        code, text = self.run(*firewall.LISTING) if self.nft() else (1, "")
        return text if code == 0 else None

    def listing_of(self, content: str) -> str:
        """Return what listed() is once commands are loaded; this loads them where no packet passes."""
        return self.must(*firewall.elsewhere(self.nft() or "nft"), stdin=content)

    def has(self, content: str) -> bool:
        """Whether what is loaded is what these commands load, rule for rule."""
        listed = self.listed()
        if listed is None or firewall.mark(listed) != firewall.mark(content):
            return False
        return self._reloaded(listed) == self._reloaded(self.listing_of(content))

    def _reloaded(self, listed: str) -> str:
        """Return what listed() is after a return to it: addresses that became one range lose their braces then."""
        return self.listing_of(firewall.restoring(listed))
