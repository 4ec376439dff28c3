# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for the alerts of a fault; does nothing in a cluster without monitoring."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import Fault
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.tools import Tools
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.recorder import Recorder
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import Patience
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.alerts import Alerts, calls, recovered

CALM_SECONDS = 300.0


class Alerting:
    """The cluster's alerts, as the recorder hears them."""

    def __init__(self, plan: Plan, recorder: Recorder, tools: Tools, patience: Patience) -> None:
        self._plan = plan
        self._recorder = recorder
        self._tools = tools
        self._patience = patience

    def wanted(self, fault: Fault) -> Alerts | None:
        """Return the alerts that a fault must and may raise in this cluster, None without monitoring."""
        if not self._plan.monitor:
            return None
        found = fault.alerts.scraped(self._plan.scrape_interval, self._plan.slack)
        return found if fault.action.lasts(self._tools) else found.permitted()

    def await_calm(self, fault: Fault) -> None:
        """Wait until no alert fires that calls somebody or that the fault must raise; raises GateError."""
        if wanted := self.wanted(fault):
            names = wanted.ending.intersection(name for due in wanted.must for name in due.names)
            self._patience.until(lambda: self._calm(names), CALM_SECONDS, "alerts to end, and Alertmanager to answer")

    def _calm(self, names: Collection[str]) -> bool:
        firing = self._recorder.firing()
        return firing is not None and not any(alert.name in names or calls(alert) for alert in firing)

    def await_fired(self, fault: Fault, targets: Sequence[str], injected: float) -> None:
        """Let the fault last until its alerts fire, or until the last one is late."""
        wanted = self.wanted(fault)
        if wanted is None or self._plan.monitor in targets:
            return
        while self._recorder.now() - injected <= wanted.latest:
            late = wanted.missing(self._recorder.firing() or ())
            if not late:
                return
            self._patience.progress(f"waiting for the alert {late[0]}")
            self._patience.pause()

    def await_settled(self, fault: Fault, healed: float, recovery: Mapping[str, Any]) -> None:
        """Wait until no alert of the fault fires, or until the last one is late."""
        wanted = self.wanted(fault)
        if wanted is None:
            return
        while self._recorder.now() - recovered(healed, recovery) <= wanted.settled:
            firing = self._recorder.firing()
            if firing is not None and wanted.ending.isdisjoint(alert.name for alert in firing):
                return
            self._patience.progress("waiting for the alerts to end")
            self._patience.pause()
