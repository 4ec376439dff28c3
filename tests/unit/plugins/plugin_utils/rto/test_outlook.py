# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import COURSES, HEADLINES
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.model import Course
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.outlook import as_data, as_text, outlook, sentence

from tests.unit.plugins.plugin_utils.rto.cluster import CONFIGURATION, HA, reports

WATCHED = outlook(HA, reports(8), CONFIGURATION, COURSES)
UNKNOWN = outlook(HA, {}, None, COURSES)
PREDICTED = {fault for fault, course in COURSES.items() if isinstance(course, Course)}
TEXT = """\
Predicted time without writes
  fault                           best    median  worst   largest stage
  primary_power_loss              7.3 s   8.6 s   14.0 s  lease 7.6 s
  primary_etcd_leader_power_loss  10.3 s  11.6 s  19.1 s  lease 9.1 s
  primary_cut_from_standbys       10.0 s  10.6 s  13.1 s  walsender 10.0 s
  postmaster_killed               0.3 s   1.5 s   4.2 s   detection 0.5 s
  switchover                      0.7 s   2.5 s   6.0 s   shutdown 1.5 s
  balancer_power_loss             0.5 s   0.9 s   2.4 s   adverts 0.6 s
  haproxy_killed                  0.1 s   0.5 s   2.2 s   restart 0.4 s"""


def test_the_table_of_a_status() -> None:
    assert as_text(WATCHED, HEADLINES) == TEXT


def test_only_faults_with_a_prediction_are_shown() -> None:
    assert set(HEADLINES) <= PREDICTED
    without_balancers = outlook({**HA, "pools": [], "vrrp": None}, reports(), CONFIGURATION, COURSES)
    assert "balancer_power_loss" not in as_text(without_balancers, HEADLINES)


def test_the_document_has_all_and_adds_up() -> None:
    data = json.loads(json.dumps(as_data(WATCHED)))
    assert set(data["faults"]) == PREDICTED
    assert data["settings"]["watcher"] == {"seconds": 8.0, "fencing_after": None}
    for fault in data["faults"].values():
        assert round(sum(stage["worst"] for stage in fault["stages"]), 3) == fault["worst"]


def test_a_sentence_tells_where_the_seconds_go() -> None:
    assert sentence(WATCHED.predictions["primary_power_loss"]) == (
        "7.3 to 14.0 s, median 8.6 s: "
        "lease 7.6 s, notice 0.1 s, race 0.1 s, promotion 0.4 s, routing 0.3 s, client 0.1 s"
    )


def test_without_settings_nothing_is_predicted_and_everything_says_why() -> None:
    reason = "no Patroni member reports its configuration"
    assert (UNKNOWN.predictions, set(UNKNOWN.unpredicted.values())) == ({}, {reason})
    assert as_text(UNKNOWN, HEADLINES) == f"Predicted time without writes: unknown, {reason}"
    assert as_data(UNKNOWN)["settings"] is None
