# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes without a free block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import View
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.action import Action
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.processes import AS_POSTGRES
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan

if TYPE_CHECKING:
    from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.tools import Tools

FILL = 'fallocate -l "$1" "$0" || true; cat /dev/zero >>"$0" 2>/dev/null || true'
FILLED = "a file takes every free block of the volume, and is removed afterwards"


@dataclass(frozen=True, slots=True)
class FillDisk(Action):
    """The volume of the data directory, or of its WAL, has no free block left."""

    on_hosts = FILLED
    in_containers = FILLED
    wal: bool

    def inject(self, tools: Tools, targets: Sequence[str], view: View) -> str:  # noqa: ARG002
        """Fill the volume, and check that no block is left."""
        (host,) = targets
        folder = self._folder(tools.plan)
        free, block = map(int, tools.must(host, "stat", "-Lfc", "%a %S", folder).split())
        filler = f"{folder}/holdfast-drill-filler"
        tools.arm(host, "filler", [*AS_POSTGRES, "rm", "-f", filler])
        tools.must(host, *AS_POSTGRES, "sh", "-c", FILL, filler, str(free * block))
        left = int(tools.must(host, "stat", "-Lfc", "%a", folder).strip())
        if left:
            raise NotProvenError(f"{host}: {left} blocks are left on the volume of {folder}")
        return f"{host}: no block left on the volume of {folder}"

    def hindrance(self, tools: Tools) -> str:
        """Refuse the root volume, which holds more than the database's files."""
        folder = self._folder(tools.plan)
        for host in tools.expected.databases:
            if len(set(tools.must(host, "stat", "-Lc", "%d", folder, "/").split())) == 1:
                return f"{folder} lies on {host}'s root volume, which is not to be filled"
        return ""

    def _folder(self, plan: Plan) -> str:
        data = str(plan.topology["postgresql"]["data_directory"])
        return f"{data}/pg_wal" if self.wal else data
