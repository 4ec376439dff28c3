# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus and Alertmanager tell, and what the page says where they don't."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.observe import observe
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.page.history import hours, plot, strip
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.page.watch import (
    EXTERNAL,
    NONE,
    NOT_ASKED,
    Series,
    Watch,
    watched,
)

from tests.unit.plugins.plugin_utils.status_page import labs
from tests.unit.plugins.plugin_utils.status_page.labs import DAY, NOW, STEP


def watch(reports: labs.Reports) -> Watch:
    return watched("lab", [host for cluster in observe(reports) for host in cluster.hosts])


def answer(reports: labs.Reports) -> dict[str, Any]:
    found: dict[str, Any] = reports["backup1"]["probes"]["prometheus"]
    return found


def without_group(reports: labs.Reports) -> None:
    for report in reports.values():
        del report["ha"]["monitoring"]


def external(reports: labs.Reports) -> None:
    for report in reports.values():
        report["ha"]["monitoring"] = {"external": True, "server": None}


def broken(reports: labs.Reports) -> None:
    reports["backup1"]["probes"]["prometheus"] = {"failed": True, "msg": "no Python"}


def silent(reports: labs.Reports) -> None:
    error = "https://198.51.100.31:9090/api/v1/query_range: Connection refused"
    answer(reports).update(series={}, errors={"writes": error, "lag": error})


def empty(reports: labs.Reports) -> None:
    answer(reports)["series"] = {"writes": [], "lag": []}


def not_asked(reports: labs.Reports) -> None:
    del reports["backup1"]["probes"]["prometheus"]


def host_down(reports: labs.Reports) -> None:
    reports["backup1"] |= {"unreachable": "timed out", "probes": None}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(without_group, NONE, id="no Prometheus"),
        pytest.param(external, EXTERNAL, id="one of your own"),
        pytest.param(host_down, "The host of Prometheus, backup1, gave no answer.", id="its host is down"),
        pytest.param(broken, "backup1: no Python", id="the module failed"),
        pytest.param(
            silent, "Prometheus: https://198.51.100.31:9090/api/v1/query_range: Connection refused", id="it is down"
        ),
        pytest.param(empty, "Prometheus has no samples of this cluster yet.", id="it is new"),
        pytest.param(not_asked, NOT_ASKED, id="nobody asked"),
    ],
)
def test_the_page_says_why_it_knows_nothing(change: Any, reason: str) -> None:
    reports = labs.healthy()
    change(reports)
    seen = watch(reports)
    assert (seen.writes, seen.lag) == (None, ())
    assert (seen.writes_reason, seen.lag_reason) == (reason, reason)
    assert reason.replace("'", "&#39;") in labs.page(reports)


def test_alertmanager_may_be_down_alone() -> None:
    reports = labs.healthy()
    answer(reports).update(alerts=None, alerts_error="https://198.51.100.31:9093/api/v2/alerts: Connection refused")
    assert "Which alerts fire is unknown. Alertmanager: https://198.51.100.31:9093" in labs.page(reports)
    assert "Time with a primary is unknown" not in labs.page(reports)


def test_alerts_are_sorted_by_urgency() -> None:
    alerts = watch(labs.troubled()).alerts or ()
    assert [(alert.name, alert.alarming) for alert in alerts] == [
        ("HostDown", True),
        ("RestoreVerifyFailed", True),
        ("EtcdNoSpare", False),
        ("ExporterDown", False),
    ]
    assert alerts[0].since == datetime(2026, 11, 30, 11, 1, 30, 123456, UTC)


def test_another_cluster_s_data_is_not_shown() -> None:
    reports = labs.troubled()
    seen = answer(reports)
    for item in [*seen["alerts"], *seen["series"]["writes"], *seen["series"]["lag"]]:
        item["labels"]["cluster"] = "other"
    assert watch(reports).alerts == ()
    assert watch(reports).lag == ()


def samples(values: dict[int, float]) -> tuple[tuple[float, float], ...]:
    return tuple((NOW - DAY + (step + 1) * STEP, value) for step, value in values.items())


def test_the_strip_of_a_day() -> None:
    day = dict.fromkeys(range(10, 288), 1.0) | {100: 0.0, 101: 0.0, 102: 0.8, 103: 0.9}
    seen = strip(Series("lab", samples(day)), NOW, UTC)
    assert [(part.kind, part.text) for part in seen.bars] == [
        ("unknown", "12:00–12:50 not recorded"),
        ("up", "12:50–20:20 a primary all the time"),
        ("down", "20:20–20:30 no primary"),
        ("part", "20:30–20:35 80.0 % of the time a primary"),
        ("part", "20:35–20:40 90.0 % of the time a primary"),
        ("up", "20:40–12:00 a primary all the time"),
    ]
    assert sum(part.width for part in seen.bars) == pytest.approx(100)
    assert seen.missing == pytest.approx(2.3 * STEP)
    assert seen.share == pytest.approx(1 - 2.3 / 278)


def test_a_day_without_a_record() -> None:
    seen = strip(Series("lab", samples({900: 1.0})), NOW, UTC)
    assert (seen.share, [part.kind for part in seen.bars]) == (None, ["unknown"])


def test_the_plot_has_gaps_where_nothing_is_known() -> None:
    seen = plot([Series("db2", samples({0: 0, 1: 2**20, 5: 3 * 2**20}))], NOW, limit=4 * 2**20)
    assert seen.lines[0].paths == ("M0.35 100.00L0.69 75.00", "M2.08 25.00h0.2")
    assert seen.lines[0].greatest == "3.0 MiB"
    assert [tick.text for tick in seen.ticks] == ["4.0 MiB", "2.0 MiB", "0 B"]
    assert seen.limit == 0


def test_a_limit_far_above_is_not_drawn() -> None:
    assert plot([Series("db2", samples({0: 5}))], NOW, limit=2**24).limit is None


def test_hours_are_those_of_the_clock() -> None:
    assert [(round(tick.at, 2), tick.text) for tick in hours(NOW + 600, UTC)] == [
        (15.97, "16:00"),
        (32.64, "20:00"),
        (49.31, "00:00"),
        (65.97, "04:00"),
        (82.64, "08:00"),
        (99.31, "12:00"),
    ]
