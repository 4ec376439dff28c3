# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page: a pure function from what the status knows to an HTML document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import HEADLINES
from ansible_collections.holdfast.ha.plugins.plugin_utils.pages.template import environment
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto import outlook
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.model import Cluster, Problem, Redundancy
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.page.history import (
    KINDS,
    Plot,
    Strip,
    hours,
    plot,
    strip,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.page.picture import MOST, Tier, picture
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.page.watch import Watch, watched
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.render import ALARM, Row, parts
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.units import duration, size
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.updates import counted

TEMPLATES = Path(__file__).parent / "templates"
PRIMARY_LOST = "primary_power_loss"
"""The fault whose predicted cost stands at the top."""
TITLES = {
    "redundancy": "Redundancy",
    "postgresql": "PostgreSQL",
    "etcd": "etcd",
    "virtual IP": "Virtual IPs",
    "pool": "Pools",
    "backup": "Backups",
    "job": "Jobs",
    "certificate": "Certificates",
}


class Judged(NamedTuple):
    """A cluster with its problems and notices."""

    cluster: Cluster
    problems: Sequence[Problem]
    notices: Sequence[Problem]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number at the top; alarm says whether it is a problem."""

    name: str
    value: str
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A cluster as the page shows it. writes and lag are None where watch says why."""

    judged: Judged
    watch: Watch
    tiers: Sequence[Tier]
    figures: Sequence[Figure]
    parts: Sequence[tuple[str, Sequence[Row]]]
    predictions: Sequence[Row]
    writes: Strip | None
    lag: Plot | None

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self.judged.cluster.name

    @property
    def state(self) -> str:
        """Its state in words."""
        return counted(len(self.judged.problems), "problem") if self.judged.problems else "healthy"


def as_page(found: Sequence[Judged], lag: int, now: datetime) -> str:
    """Return the HTML document.

    :arg lag: the greatest lag in bytes of a standby that is no problem.
    :arg now: with the time zone in which the page tells times.
    """
    templates = environment(TEMPLATES)
    templates.filters.update(duration=duration, age=lambda since: duration(int((now - since).total_seconds())))
    templates.globals.update(
        alarming=lambda text: bool(ALARM.search(text)),
        hours=partial(hours, zone=now.tzinfo),
        counted=counted,
        most=MOST,
    )
    hosts = [host for judged in found for host in judged.cluster.hosts]
    clusters = [shown(judged, watched(judged.cluster.name, hosts), lag, now) for judged in found]
    return templates.get_template("status.html.j2").render(
        clusters=clusters,
        now=now,
        healthy=bool(clusters) and not any(judged.problems for judged in found),
        head=outlook.HEAD,
        kinds=KINDS,
    )


def shown(judged: Judged, watch: Watch, limit: int, now: datetime) -> Shown:
    """Return a cluster as the page shows it."""
    cluster = judged.cluster
    writes = strip(watch.writes, watch.now, now.tzinfo) if watch.writes else None
    return Shown(
        judged=judged,
        watch=watch,
        tiers=picture(cluster, judged.problems),
        figures=[*figures(cluster), *watch_figures(watch, writes)],
        parts=[(TITLES[title], rows) for title, rows in parts(cluster) if rows],
        predictions=list(prediction_rows(cluster)),
        writes=writes,
        lag=plot(watch.lag, watch.now, limit) if watch.lag else None,
    )


def figures(cluster: Cluster) -> Iterator[Figure]:
    """Yield the numbers of the present."""
    if cluster.postgresql:
        leader = cluster.postgresql.leader
        standbys = [member for member in cluster.postgresql.members if member.role != "leader"]
        lags = [member.lag for member in standbys if member.lag is not None]
        yield Figure("leader", leader or "none", not leader)
        yield Figure("synchronous standbys", str(sum(member.synchronous for member in standbys)))
        yield Figure("greatest lag", size(max(lags, default=None)))
    weakest = min(cluster.redundancy, key=lambda part: part.spare, default=None)
    if weakest is not None:
        yield bearing(weakest)
    yield from backup_figures(cluster)
    prediction = cluster.outlook.predictions.get(PRIMARY_LOST) if cluster.outlook else None
    if prediction:
        yield Figure("without writes if the primary dies, predicted", f"≤ {prediction.worst:.1f} s")


def bearing(weakest: Redundancy) -> Figure:
    """Return how many more faults the cluster bears."""
    lacking = weakest.spare < 1 and weakest.total > 1
    return Figure(f"more faults borne by {weakest.name}", str(max(weakest.spare, 0)), lacking)


def backup_figures(cluster: Cluster) -> Iterator[Figure]:
    """Yield the ages of the newest backup and of the last verified restore, and the loss measured there."""
    if cluster.repository is None:
        return
    ages = [backup.age for store in cluster.repository.stores for backup in store.backups]
    yield Figure("since the newest backup", duration(min(ages)) if ages else "none", not ages)
    seen = cluster.repository.verification
    if seen is not None:
        yield Figure("since a restore passed", "never" if seen.passed_age is None else duration(seen.passed_age))
    if seen is not None and seen.canary_age is not None:
        yield Figure("RPO measured by it", duration(seen.canary_age))


def watch_figures(watch: Watch, writes: Strip | None) -> Iterator[Figure]:
    """Yield the numbers that Prometheus and Alertmanager know."""
    if writes and writes.share is not None:
        yield Figure("of the last day with a primary", percent(writes.share))
    if watch.alerts is not None:
        loud = [alert for alert in watch.alerts if not alert.muted]
        yield Figure("alerts firing", str(len(loud)), bool(loud))


def percent(share: float) -> str:
    """Return a share in percent; only all of it is 100 %."""
    return "100 %" if share >= 1 else f"{min(100 * share, 99.999):.3f}".rstrip("0").rstrip(".") + " %"


def prediction_rows(cluster: Cluster) -> Iterator[Row]:
    """Yield the rows of the predictions that the table shows."""
    for fault in HEADLINES if cluster.outlook else ():
        if cluster.outlook and fault in cluster.outlook.predictions:
            yield outlook.row(cluster.outlook.predictions[fault])
        elif cluster.outlook and fault in cluster.outlook.endless:
            yield [fault, "WITHOUT END", cluster.outlook.endless[fault]]
