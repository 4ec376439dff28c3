# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboards: their files, and the question to a real Prometheus."""

from __future__ import annotations

import json
import re

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from scripts.dashboards import check as sut
from scripts.dashboards import generate
from scripts.dashboards.model import ROOT, TARGETS, Panel, Query, dashboards, parse_panel

FILES = sorted(TARGETS.glob("*.json"))
RECORDED = [ROOT / "tests/unit/roles/prometheus" / name for name in ("metrics.txt", "own_metrics.txt")]
NOT_RECORDED = {
    "ALERTS",
    "holdfast_archive_queue_files",
    "holdfast_job_success_timestamp_seconds",
    "holdfast_packages_waiting",
    "node_disk_io_time_seconds_total",
    "node_disk_read_bytes_total",
    "node_disk_written_bytes_total",
    "node_network_receive_bytes_total",
    "node_network_transmit_bytes_total",
    "pg_stat_replication_pg_wal_lsn_diff",
    "up",
}
"""Metrics that a host without disks of its own, a network and a standby does not show."""
SELECTOR = re.compile(r"\b([A-Za-z_][A-Za-z0-9_]*)\{([^}]*)\}")
BARE = re.compile(r"\b(?:[a-z]+_[a-z0-9_]+|up|ALERTS)\b(?!\{|\s*\(|\s*=)")
LABELS = {"application_name", "backup_type", "job_name", "repo_key", "slot_name"}
EVERY_QUERY = [
    pytest.param(query, id=f"{dashboard.name}: {panel.title}")
    for dashboard in dashboards()
    for panel in dashboard.panels
    for query in panel.queries
]


def panels(path):
    return [panel for panel in json.loads(path.read_text())["panels"] if panel["type"] != "row"]


def test_the_files_are_current(capsys):
    assert generate.main(["--check"]) == 0, capsys.readouterr().out
    assert {path.stem for path in FILES} == {dashboard.name for dashboard in dashboards()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_grafana_s_model_has_all_that_is_in_a_file(path):
    document = json.loads(path.read_text())
    assert json.loads(JSONEncoder().encode(Dashboard.from_json(document))) == document


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_panels_lie_side_by_side(path):
    document = json.loads(path.read_text())
    cells = [
        (x, y)
        for panel in document["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _y in cells) < 24
    numbers = [panel["id"] for panel in panels(path)]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_query_goes_to_the_chosen_prometheus(path):
    for panel in panels(path):
        assert panel["targets"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


@pytest.mark.parametrize("query", EVERY_QUERY)
def test_every_metric_is_of_the_chosen_cluster(query):
    selectors = SELECTOR.findall(query.expr)
    assert selectors
    assert all('cluster="$cluster"' in labels for _name, labels in selectors)
    without = re.sub(r"\{[^}]*\}|\[[^]]*\]", "{", query.expr)
    assert set(BARE.findall(without)) <= LABELS
    assert "$" not in query.on("lab")


@pytest.mark.parametrize("query", EVERY_QUERY)
def test_every_metric_is_one_that_is_recorded(query):
    lines = [line.split() for path in RECORDED for line in path.read_text().splitlines() if not line.startswith("#")]
    known = {words[-1] for words in lines if words} | NOT_RECORDED
    assert {name for name, _labels in SELECTOR.findall(query.expr)} <= known


def test_a_description_must_not_have_other_keys():
    with pytest.raises(TypeError, match="colour"):
        parse_panel({"title": "x", "queries": [{"expr": "up"}], "colour": "red"})


QUERY = Query('up{cluster="$cluster", host=~"$host"}')


@pytest.mark.parametrize(
    ("answer", "empty", "lines"),
    [
        ({"series": {"a": [{"samples": [[1, 0]]}]}, "errors": {}}, "", []),
        ({"series": {"a": []}, "errors": {}}, "", ['x T: no data: up{cluster="lab", host=~".+"}']),
        ({"series": {"a": [{"samples": []}]}, "errors": {}}, "", ['x T: no data: up{cluster="lab", host=~".+"}']),
        ({"series": {"a": []}, "errors": {}}, "a healthy cluster has none", []),
        ({"series": {}, "errors": {"a": "refused"}}, "any", ['x T: refused: up{cluster="lab", host=~".+"}']),
    ],
)
def test_what_a_panel_lacks(answer, empty, lines):
    panel = Panel("T", (QUERY,), empty=empty)
    assert list(sut.complaints(sut.Asked("x", panel, {"a": QUERY.on("lab")}), answer)) == lines


def test_the_question_has_every_query_once(monkeypatch, capsys):
    names = [name for item in sut.question("lab") for name in item.queries]
    assert len(names) == len(set(names)) == len(EVERY_QUERY)
    monkeypatch.setattr(sut, "ask_url", lambda url, queries: {"series": {}, "errors": {}})
    assert sut.main(["http://127.0.0.1:9"]) == 1
    assert "no data" in capsys.readouterr().out


def test_the_series_of_each_host():
    series = [{"labels": {"host": "db2"}, "samples": [[1.0, 7.0]]}, {"labels": {}, "samples": [[1.0, 18.0]]}]
    series.append({"labels": {"host": "db1"}, "samples": [[1.0, 6.0], [2.0, 2694.0]]})
    answer = {"series": {sut.CARDINALITY: series}, "errors": {}}
    assert sut.cardinality(answer) == ["db1 2694", "db2 7", "no host 18"]
    assert sut.cardinality({"series": {}, "errors": {}}) == []
