# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster's Prometheus and Alertmanager know: the last day, and the alerts that fire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.status.model import Host

PROBE = "prometheus"
"""The probe that asked them, a result of holdfast.ha.prometheus_info."""
NONE = "This cluster has no Prometheus. The group monitoring of the topology adds one."
EXTERNAL = "This cluster's metrics are in a Prometheus of your own, which this page does not ask."
NOT_ASKED = "Prometheus was not asked."
SEVERITIES = ("page", "ticket")
"""From the worst on; others come after these."""
TELLS_NOBODY = "info"
"""The severity of alerts that only inhibit others, or prove that alerts arrive."""
Sample = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """A metric over time: pairs of seconds since 1970 and value."""

    name: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that fires; muted says why nobody is notified, "" when somebody is. since is None when unknown."""

    name: str
    severity: str
    host: str
    summary: str
    runbook: str
    since: datetime | None
    muted: str

    @property
    def alarming(self) -> bool:
        """Whether it wakes somebody."""
        return self.severity == SEVERITIES[0] and not self.muted


@dataclass(frozen=True, slots=True)
class Watch:
    """Reasons are "" where the data is known.

    now: when Prometheus was asked, in seconds since 1970. writes: the share of
    each step in which the cluster had a primary; lag: the greatest lag in bytes of each standby within each step.
    """

    now: float = 0.0
    writes: Series | None = None
    writes_reason: str = ""
    lag: tuple[Series, ...] = ()
    lag_reason: str = ""
    alerts: tuple[Alert, ...] | None = None
    alerts_reason: str = ""


def watched(cluster: str, hosts: Iterable[Host]) -> Watch:
    """Return what is known about a cluster.

    :arg hosts: those of all clusters, because one host may watch several.
    """
    hosts = tuple(hosts)
    monitoring = next((host.ha.get("monitoring") for host in hosts if host.ha["cluster"] == cluster), None)
    server = (monitoring or {}).get("server")
    if not server:
        return unknown(EXTERNAL if monitoring else NONE)
    host = next((host for host in hosts if host.name == server["name"]), None)
    if host is None or host.unreachable is not None:
        return unknown(f"The host of Prometheus, {server['name']}, gave no answer.")
    answer = host.answer(PROBE)
    if answer is None:
        return unknown(f"{server['name']}: {host.failure(PROBE)}" if host.failure(PROBE) else NOT_ASKED)
    return read(cluster, answer)


def unknown(reason: str) -> Watch:
    """Return what is known when nothing can be asked."""
    return Watch(writes_reason=reason, lag_reason=reason, alerts_reason=reason)


def read(cluster: str, answer: Mapping[str, Any]) -> Watch:
    """Return a cluster's part of an answer."""
    writes = series_of(cluster, answer, "writes")
    lag = series_of(cluster, answer, "lag", "application_name")
    alerts = answer["alerts"]
    mine = [
        parse_alert(item)
        for item in alerts or ()
        if item["labels"].get("cluster", cluster) == cluster and item["labels"].get("severity") != TELLS_NOBODY
    ]
    return Watch(
        now=answer["now"],
        writes=writes[0] if writes else None,
        writes_reason="" if writes else reason(answer, "writes"),
        lag=tuple(sorted(lag, key=lambda item: item.name)),
        lag_reason="" if lag else reason(answer, "lag"),
        alerts=None if alerts is None else tuple(sorted(mine, key=urgency)),
        alerts_reason=f"Alertmanager: {answer['alerts_error'] or 'not asked'}" if alerts is None else "",
    )


def series_of(cluster: str, answer: Mapping[str, Any], query: str, label: str = "cluster") -> list[Series]:
    """Return a cluster's series of a query that have samples, each named by a label."""
    return [
        Series(str(item["labels"].get(label, "")), tuple((at, value) for at, value in item["samples"]))
        for item in answer["series"].get(query, ())
        if item["labels"].get("cluster") == cluster and item["samples"]
    ]


def reason(answer: Mapping[str, Any], query: str) -> str:
    """Return why a query has no series."""
    error = answer["errors"].get(query)
    return f"Prometheus: {error}" if error else "Prometheus has no samples of this cluster yet."


def parse_alert(item: Mapping[str, Any]) -> Alert:
    """Return an alert of holdfast.ha.prometheus_info."""
    labels, annotations = item["labels"], item["annotations"]
    return Alert(
        name=str(labels.get("alertname", "?")),
        severity=str(labels.get("severity", "")),
        host=str(labels.get("host") or labels.get("instance") or ""),
        summary=str(annotations.get("summary") or annotations.get("description") or ""),
        runbook=str(annotations.get("runbook_url") or ""),
        since=moment(item["since"]),
        muted="silenced" if item["silenced"] else "inhibited" if item["inhibited"] else "",
    )


def moment(text: str) -> datetime | None:
    """Return a time in ISO 8601, None for other texts."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def urgency(alert: Alert) -> tuple[bool, int, str, str]:
    """Return what alerts are sorted by: those that notify first, then the severe ones."""
    rank = SEVERITIES.index(alert.severity) if alert.severity in SEVERITIES else len(SEVERITIES)
    return bool(alert.muted), rank, alert.name, alert.host
