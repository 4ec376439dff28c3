# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A recorder for hours: of samples that tell the same, it keeps two per second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes import recorder

KEEP_SECONDS = 0.5


class Recorder(recorder.Recorder):
    """All rows of the clients, and what changed on the hosts."""

    most = 4_000_000

    def _member(self, host: str, row: Sequence[Any], at: Callable[[float], float]) -> None:
        super()._member(host, row, at)
        new = self.members.pop()
        told = (new.in_recovery, new.claims_primary, new.timeline)
        if self._is_news(f"member {host}", new.at, told):
            self.members.append(new)

    def _balancer(self, host: str, row: Sequence[Any], at: Callable[[float], float]) -> None:
        super()._balancer(host, row, at)
        new = self.balancers.pop()
        if self._is_news(f"balancer {host}", new.at, (new.holds, new.up)):
            self.balancers.append(new)

    def reset(self, client: Any) -> None:
        """Drop all records, as the recorder of a drill does."""
        self._told: dict[str, tuple[float, Any]] = {}
        super().reset(client)

    def _is_news(self, source: str, at: float, told: Any) -> bool:
        last = self._told.get(source)
        if last and last[1] == told and at - last[0] < KEEP_SECONDS:
            return False
        self._told[source] = (at, told)
        return True
