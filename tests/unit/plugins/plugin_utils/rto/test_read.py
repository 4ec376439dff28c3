# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.read import (
    UnknownSettingsError,
    read_patroni,
    read_settings,
    seconds_of,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.settings import Patroni, Watcher

from tests.unit.plugins.plugin_utils.rto.cluster import CONFIGURATION, FLOOR, HA, balancer, database, reports


def test_the_roles_defaults() -> None:
    assert read_settings(HA, reports(), CONFIGURATION) == FLOOR


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ({"ttl": 30}, Patroni(30.0, 10.0, 10.0, 300.0, 60.0, False)),
        ({"ttl": "25", "loop_wait": 2}, Patroni(25.0, 2.0, 10.0, 300.0, 60.0, False)),
        ({"ttl": 5, "loop_wait": 0.5, "retry_timeout": 1}, Patroni(20.0, 1.0, 3.0, 300.0, 60.0, False)),
        ({"primary_start_timeout": 0}, Patroni(primary_start_timeout=0.0)),
        ({"master_start_timeout": 30}, Patroni(primary_start_timeout=30.0)),
        ({"synchronous_mode": "on"}, Patroni(synchronous_mode=True)),
        ({"synchronous_mode": "quorum"}, Patroni(synchronous_mode="quorum")),
        ({"synchronous_mode": "off"}, Patroni(synchronous_mode=False)),
        ({"pause": True}, Patroni(paused=True)),
        ({"postgresql": {"parameters": {"wal_sender_timeout": 5000}}}, Patroni(wal_sender_timeout=5.0)),
    ],
)
def test_patronis_timing_is_what_patroni_makes_of_it(configuration, expected) -> None:
    assert read_patroni(configuration) == expected


@pytest.mark.parametrize(
    ("setting", "seconds"),
    [("10s", 10.0), ("1500ms", 1.5), (60000, 60.0), ("60000", 60.0), ("1min", 60.0), ("0", 0.0)],
)
def test_postgresqls_times(setting, seconds) -> None:
    assert seconds_of(setting) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("seconds", "fencing_after", "changes", "expected"),
    [
        (None, None, {}, None),
        (8, None, {}, Watcher(8.0)),
        (8, 2, {}, Watcher(8.0, fencing_after=2.0)),
        (8, 2, {"loop_wait": 4}, Watcher(8.0, fencing_after=5.0)),
        (3, None, {"loop_wait": 5}, Watcher(6.0)),
        (8, None, {"synchronous_mode": False}, Watcher(14.0)),
        (15, None, {"synchronous_mode": False}, Watcher(15.0)),
        (8, None, {"synchronous_mode": False, "loop_wait": 10}, Watcher(17.0)),
        (8, None, {"synchronous_mode": False, "loop_wait": 10, "retry_timeout": 10}, None),
    ],
)
def test_the_watcher_as_it_acts(seconds, fencing_after, changes, expected) -> None:
    assert read_settings(HA, reports(seconds, fencing_after), CONFIGURATION | changes).watcher == expected


@pytest.mark.parametrize(("seconds", "wait"), [(None, 2.0), (8, 0.0)])
def test_a_watcher_spares_the_standbys_the_wait_for_the_silent(seconds, wait) -> None:
    assert read_settings(HA, reports(seconds), CONFIGURATION).race_poll == wait


def test_a_single_watcher_may_be_lost_with_the_primary() -> None:
    told = reports() | {"db1": database({"seconds": 8, "interval": 0.5, "fencing_after": None})}
    assert read_settings(HA, told, CONFIGURATION).watcher is None


def test_where_hosts_differ_the_slowest_counts() -> None:
    told = reports(8)
    told["db2"] = database({"seconds": 9, "interval": 0.5, "fencing_after": None})
    told["db3"]["etcd"] = {"heartbeat_interval": 0.1, "election_timeout": 2.0}
    told["lb2"] = copy.deepcopy(balancer(90))
    told["lb2"]["haproxy"]["rw"]["fall"] = 5
    told["lb2"]["keepalived"]["instances"]["main"]["advert_int"] = 1.0
    found = read_settings(HA, told, CONFIGURATION)
    assert (found.watcher, found.etcd.election_timeout, found.checks.fall) == (Watcher(9.0), 2.0, 5)
    assert (found.vrrp.advert_int, found.vrrp.least_priority, found.vrrp.most_priority) == (1.0, 90, 150)


def test_parts_that_the_cluster_does_not_have() -> None:
    apart = {**HA, "etcd": {"members": [{"name": "etcd1"}]}, "pools": [], "vrrp": {"instances": []}}
    found = read_settings(apart, reports(), CONFIGURATION)
    assert (found.checks, found.vrrp, found.etcd.beside_databases) == (None, None, False)


def test_a_check_without_a_timeout_of_its_own_has_its_interval() -> None:
    told = copy.deepcopy(reports())
    for name in ("lb1", "lb2"):
        told[name]["haproxy"]["rw"]["timeout_check"] = None
    assert read_settings(HA, told, CONFIGURATION).checks.timeout == FLOOR.checks.inter


@pytest.mark.parametrize(
    ("silent", "configuration", "message"),
    [
        ((), None, "no Patroni member"),
        (("db1", "db2", "db3"), CONFIGURATION, "no host reports etcd's timing"),
        (("lb1", "lb2"), CONFIGURATION, "no host reports HAProxy's checks of the pool rw"),
    ],
)
def test_what_nobody_tells_is_named(silent, configuration, message) -> None:
    told = {name: report for name, report in reports().items() if name not in silent}
    with pytest.raises(UnknownSettingsError, match=message):
        read_settings(HA, told, configuration)


def test_one_balancer_that_answers_is_enough() -> None:
    told = {name: report for name, report in reports().items() if name != "lb2"}
    assert read_settings(HA, told, CONFIGURATION).checks == FLOOR.checks


@pytest.mark.parametrize(
    ("told", "amended"),
    [([], False), ([True, True, True], True), ([True, True, False], False)],
    ids=["nobody tells", "all", "not all"],
)
def test_all_members_have_to_look_at_once(told, amended) -> None:
    with_patroni = {
        name: {**report, "patroni": {"amended": one}}
        for (name, report), one in zip(reports().items(), told, strict=False)
    }
    assert read_settings(HA, reports() | with_patroni, CONFIGURATION).amended is amended
