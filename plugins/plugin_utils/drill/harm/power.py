# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that lose power, freeze, or reboot; the provider does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import View
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.action import Action

if TYPE_CHECKING:
    from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.tools import Tools


@dataclass(frozen=True, slots=True)
class PowerOff(Action):
    """The host's links are cut, then it is powered off."""

    on_hosts = "nft drops every packet, then the kernel resets the host (sysrq b), which boots again by itself"
    in_containers = "the links of the container go down, then it is killed; afterwards it is started"

    def inject(self, tools: Tools, targets: Sequence[str], view: View) -> str:  # noqa: ARG002
        """Power off all targets."""
        tools.undo_later("power", lambda: tools.provider.power_on(targets))
        return tools.provider.power_off(targets)

    def still(self, tools: Tools, targets: Sequence[str]) -> str:
        """Check that the hosts are still off."""
        tools.provider.still_down(targets)
        return ""

    def darkens(self, tools: Tools) -> bool:  # noqa: ARG002
        """No process runs on a host without power."""
        return True

    def lasts(self, tools: Tools) -> bool:
        """Whether the hosts stay off."""
        return tools.provider.stays_off


@dataclass(frozen=True, slots=True)
class Freeze(Action):
    """The host's processes are frozen; its kernel runs on."""

    on_hosts = "systemctl freezes Patroni and etcd with all their processes, and thaws them afterwards"
    in_containers = "the container is paused, and unpaused afterwards"

    def inject(self, tools: Tools, targets: Sequence[str], view: View) -> str:  # noqa: ARG002
        """Freeze the target."""
        tools.undo_later("freeze", lambda: tools.provider.thaw(targets[0]))
        return tools.provider.freeze(targets[0], tools.plan.dead_man)

    def still(self, tools: Tools, targets: Sequence[str]) -> str:
        """Check that it is still frozen."""
        tools.provider.still_down(targets)
        return ""

    def darkens(self, tools: Tools) -> bool:
        """Whether the agent freezes too."""
        return tools.provider.frozen_is_dark


@dataclass(frozen=True, slots=True)
class Reboot(Action):
    """A host is shut down in an orderly way and started; it runs again when this returns."""

    on_hosts = "systemctl reboots a host; the next one follows when the cluster is healthy again"
    in_containers = "a container is stopped and started; the next one follows when the cluster is healthy again"

    def inject(self, tools: Tools, targets: Sequence[str], view: View) -> str:  # noqa: ARG002
        """Reboot the target."""
        return tools.provider.reboot(targets[0])
