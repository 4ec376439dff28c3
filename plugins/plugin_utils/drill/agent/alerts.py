# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alerts that fire, asked from this host's Alertmanager every second."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.sample import Ticker
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.wire import Wire

INTERVAL = 1.0
FIRING = "/api/v2/alerts"
QUIET = "suppressed"


def firing(told: Iterable[Mapping[str, Any]], cluster: str) -> list[list[Any]]:
    """Return the alerts of a cluster, or of none, in Alertmanager's answer: [name, severity, host, quiet].

    Of alerts that differ in other labels only, one that is loud counts.
    """
    found: dict[tuple[str, str, str], bool] = {}
    for alert in told:
        labels, quiet = alert["labels"], alert["status"]["state"] == QUIET
        if labels.get("cluster", cluster) == cluster:
            key = (labels["alertname"], labels.get("severity", ""), labels.get("host", ""))
            found[key] = quiet and found.get(key, True)
    return [[*key, quiet] for key, quiet in sorted(found.items())]


class AlertSampler:
    """Rows [at, alerts that fire or None]."""

    def __init__(self, wire: Wire, alertmanager: HttpJsonClient, cluster: str) -> None:
        self._wire = wire
        self._alertmanager = alertmanager
        self._cluster = cluster
        self._ticker = Ticker(self._sample, INTERVAL)

    def stop(self) -> None:
        """Take no more samples."""
        self._ticker.stop()

    def _sample(self) -> None:
        at = time.monotonic()
        try:
            seen = firing(self._alertmanager.request("GET", FIRING), self._cluster)
        except (EndpointError, KeyError, TypeError, AttributeError):  # no answer, or not Alertmanager's
            seen = None
        self._wire.record("alerts", [at, seen])
        self._wire.flush_when_due()
