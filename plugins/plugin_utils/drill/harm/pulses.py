# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short harms whose times the node keeps itself: pauses, links that flap, disks that stall."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.harm import TABLE, UNCUT
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import View
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.action import Action
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.isolation import NFT, Isolate, ruleset_at
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError

if TYPE_CHECKING:
    from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.tools import Tools

GRACE_SECONDS = 20.0
"""Seconds beyond its own in which a node answers."""
SHARED = ("/", "/run", "/tmp", "/usr", "/etc", "/var/log", "/var/lib/systemd")  # noqa: S108 - to be left alone
"""What a volume must not hold that is to be frozen."""
ETCD_DATA = "/var/lib/etcd"
UNITS = {"postgresql": "patroni.service", "etcd": "etcd.service", "haproxy": "haproxy.service"}
"""keepalived is none of them: frozen, it keeps an address that another balancer takes."""
LISTED = ("nft", "list", "table", "inet", TABLE)
FROZEN = "systemctl freezes the units with all their processes, and thaws them afterwards"
STALLED = "fsfreeze suspends all writes to the volume, and resumes them afterwards"


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A harm for some seconds, so many times, with pauses between."""

    on: float
    off: float = 0.0
    times: int = 1

    @property
    def seconds(self) -> float:
        """The time from the first begin to the last end."""
        return self.times * (self.on + self.off) - self.off

    def __str__(self) -> str:
        return f"{self.on:g} s" if self.times == 1 else f"{self.times} times {self.on:g} s, {self.off:g} s apart"


@dataclass(frozen=True, slots=True)
class Blow:
    """The commands of a harm on a node: name: of its timer; look: shows that the harm is in effect."""

    name: str
    harm: Sequence[str]
    undo: Sequence[str]
    look: Sequence[str]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Pulses(Action):
    """A harm in a rhythm; inject() returns after its end."""

    rhythm: Rhythm

    @abstractmethod
    def blow(self, tools: Tools, host: str) -> Blow:
        """Return the harm's commands on a host; raises NotProvenError where it is not available."""

    @abstractmethod
    def proven(self, code: int, shown: str) -> bool:
        """Return whether the result of look proves the harm."""

    def inject(self, tools: Tools, targets: Sequence[str], view: View) -> str:  # noqa: ARG002
        """Do the harm in its rhythm, and check that it was in effect."""
        (host,) = targets
        blow = self.blow(tools, host)
        tools.undo_later(blow.name, lambda: tools.crew.call(host, "undo", name=blow.name))
        arguments: dict[str, Any] = {
            "name": blow.name,
            "seconds": tools.plan.dead_man,
            "harm": list(blow.harm),
            "undo": list(blow.undo),
            "look": list(blow.look),
            "text": blow.text,
            "rhythm": [self.rhythm.on, self.rhythm.off, self.rhythm.times],
        }
        done = tools.crew.call(host, "pulses", self.rhythm.seconds * 2 + GRACE_SECONDS, **arguments)
        if len(done) < self.rhythm.times or not any(self.proven(code, shown) for _begin, _end, code, shown in done):
            raise NotProvenError(f"{host}: {' '.join(blow.harm)}: no effect, {len(done)} of {self.rhythm}")
        lasted = ", ".join(f"{end - begin:.2f}" for begin, end, _code, _shown in done)
        return f"{host}: {' '.join(blow.harm)}: {lasted} s"

    def lasts(self, tools: Tools) -> bool:  # noqa: ARG002
        """The node ends it."""
        return False


@dataclass(frozen=True, slots=True)
class Pause(Pulses):
    """Units are frozen by their control groups, by default those of the host's part; other processes continue."""

    on_hosts = FROZEN
    in_containers = FROZEN
    units: tuple[str, ...] = ()

    def blow(self, tools: Tools, host: str) -> Blow:
        """Freeze and thaw."""
        node = tools.plan.node(host)
        units = self.units or [unit for part, unit in UNITS.items() if node.has(part)]
        look = ["systemctl", "show", "--property=FreezerState", *units]
        return Blow("pause", ["systemctl", "freeze", *units], ["systemctl", "thaw", *units], look)

    def proven(self, code: int, shown: str) -> bool:
        """Every unit must be frozen."""
        states = set(shown.split())
        return not code and states == {"FreezerState=frozen"}


@dataclass(frozen=True, slots=True)
class Flap(Pulses):
    """A host's links are cut and restored in a rhythm, by the same rules as an isolation's."""

    on_hosts = NFT
    in_containers = NFT
    cut: Isolate

    def blow(self, tools: Tools, host: str) -> Blow:
        """Load and delete the rules."""
        rules = ruleset_at(tools, host, self.cut.cut(host, tools.expected, tools.plan))
        return Blow("isolation", ["nft", "-f", "-"], UNCUT, LISTED, rules)

    def proven(self, code: int, shown: str) -> bool:
        """At least one packet must have been dropped."""
        return not code and any(int(count) for count in re.findall(r"packets (\d+)", shown))


class Disk(StrEnum):
    """The folder whose volume stalls."""

    WAL = "the WAL"
    ETCD = "etcd's data"


@dataclass(frozen=True, slots=True)
class StallDisk(Pulses):
    """No write to a volume ends; a volume that holds anything else is left alone."""

    on_hosts = STALLED
    in_containers = STALLED
    disk: Disk

    def blow(self, tools: Tools, host: str) -> Blow:
        """Freeze and thaw the volume."""
        volume = self.volume(tools, host)
        if not volume:
            raise NotProvenError(f"{host}: {self.disk} has no volume of its own")
        freeze = ["fsfreeze", "--freeze", volume]
        return Blow("stall", freeze, ["fsfreeze", "--unfreeze", volume], freeze)

    def proven(self, code: int, shown: str) -> bool:  # noqa: ARG002
        """A frozen volume can't be frozen again."""
        return bool(code)

    def hindrance(self, tools: Tools) -> str:
        """Require a volume of its own on each host."""
        hosts = tools.expected.databases if self.disk is Disk.WAL else tools.expected.etcd
        try:
            shared = [host for host in hosts if not self.volume(tools, host)]
        except NotProvenError as error:
            return str(error)
        return f"{self.disk} has no volume of its own on {', '.join(shared)}" if shared else ""

    def volume(self, tools: Tools, host: str) -> str:
        """Return the mount point of the folder's volume, "" if the volume holds anything else."""
        data = tools.plan.topology["postgresql"]["data_directory"]
        folder = f"{data}/pg_wal" if self.disk is Disk.WAL else ETCD_DATA
        asked = ("findmnt", "--noheadings", "--raw", "--output=TARGET,SOURCE,FSROOT", "--target", folder)
        target, source, root = (*tools.must(host, *asked).split(), "", "", "")[:3]
        own, *others = tools.must(host, "stat", "-Lc", "%d", folder, *SHARED).split()
        # A container sees a directory of the machine's volume as a mount of its own, whose root is not the volume's. A
        # link of the database's user must not lead to another volume.
        whole = root == "/" and own not in others and folder.startswith(target)
        return target if whole and (source.startswith("/dev/loop") or not tools.plan.containers) else ""
