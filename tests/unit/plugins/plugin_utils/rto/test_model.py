# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE, COURSES
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.model import HANDOVERS, predict, unpredicted
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.settings import Settings, Watcher

from tests.unit.plugins.plugin_utils.rto.cluster import FLOOR

LEASE_FAULTS = ("primary_power_loss", "primary_etcd_leader_power_loss", "primary_hang", "primary_isolated",
                "primary_cut_from_peers", "primary_cut_one_way")  # fmt: skip


def watched(seconds: float, settings: Settings = FLOOR, race_poll: float = 0.0) -> Settings:
    return replace(settings, watcher=Watcher(seconds), race_poll=race_poll)


def patroni(settings: Settings = FLOOR, **changes) -> Settings:
    return replace(settings, patroni=replace(settings.patroni, **changes))


def ends(settings: Settings, fault: str) -> list[float]:
    found = predict(COURSES, settings)[fault]
    return [round(value, 2) for value in (found.best, found.median, found.worst)]


@pytest.mark.parametrize(
    ("settings", "fault", "expected"),
    [
        (FLOOR, "primary_power_loss", [21.31, 22.73, 26.4]),
        (watched(8), "primary_power_loss", [7.31, 8.58, 14.0]),
        (watched(4), "primary_power_loss", [3.31, 4.58, 10.0]),
        (replace(watched(8), watcher=Watcher(8, fencing_after=2)), "primary_power_loss", [3.25, 8.58, 14.0]),
        (watched(4, race_poll=2.0), "primary_power_loss", [5.31, 6.58, 10.0]),
        (FLOOR, "primary_etcd_leader_power_loss", [24.31, 25.73, 31.5]),
        (watched(8), "primary_etcd_leader_power_loss", [10.31, 11.58, 19.1]),
        (watched(4), "primary_etcd_leader_power_loss", [6.31, 7.58, 15.1]),
        (FLOOR, "primary_cut_from_etcd", [12.31, 17.23, 24.6]),
        (FLOOR, "primary_cut_from_standbys", [10.0, 10.6, 13.1]),
        (patroni(synchronous_mode=False), "primary_cut_from_standbys", [0.0, 0.1, 1.0]),
        (FLOOR, "standby_lost", [0.0, 0.1, 1.0]),
        (replace(FLOOR, standbys=1), "standby_lost", [10.0, 10.6, 13.1]),
        (patroni(synchronous_mode=True), "standby_lost", [10.0, 10.6, 13.1]),
        (FLOOR, "postmaster_killed", [0.31, 1.48, 4.2]),
        (replace(FLOOR, amended=True), "postmaster_killed", [0.31, 1.03, 4.2]),
        (patroni(primary_start_timeout=300.0), "postmaster_killed", [1.31, 4.48, 304.2]),
        (FLOOR, "switchover", [0.71, 2.48, 6.0]),
        (replace(FLOOR, amended=True), "switchover", [0.51, 1.48, 6.0]),
        (FLOOR, "balancer_power_loss", [0.53, 0.95, 2.41]),
        (FLOOR, "haproxy_killed", [0.15, 0.5, 2.2]),
    ],
)
def test_what_follows_from_settings(settings: Settings, fault: str, expected: list[float]) -> None:
    assert ends(settings, fault) == pytest.approx(expected, abs=0.011)


# Measured by the drill on the lab, with a watcher of so many seconds, which set nobody aside yet: least and most.
MEASURED = {
    None: {
        "primary_power_loss": (22.4, 22.8),
        "primary_etcd_leader_power_loss": (24.9,),
        "primary_hang": (22.5, 23.0),
        "primary_isolated": (22.3, 24.4),
        "primary_cut_from_peers": (22.5, 24.0),
        "primary_cut_from_etcd": (16.9,),
        "primary_cut_from_standbys": (10.25, 10.6),
        "primary_cut_one_way": (22.6, 23.1),
        "postmaster_killed": (0.5, 1.9),
        "patroni_killed": (3.03, 3.14),
        "backend_segfault": (0.3, 1.0),
        "switchover": (2.1, 3.4),
        "standby_lost": (0.09, 0.35),
        "balancer_power_loss": (0.54, 1.3),
        "haproxy_killed": (0.2, 1.1),
        "keepalived_killed": (0.31, 0.49),
        "balancer_isolated": (0.9, 1.06),
    },
    8: {"primary_power_loss": (10.1, 10.6), "primary_etcd_leader_power_loss": (13.0, 13.6)},
    4: {"primary_power_loss": (5.8, 6.3), "primary_etcd_leader_power_loss": (8.9, 9.1)},
}
CASES = [(seconds, fault, times) for seconds, faults in MEASURED.items() for fault, times in faults.items()]


@pytest.mark.parametrize(("seconds", "fault", "times"), CASES)
def test_what_was_measured_lies_between_best_and_worst(seconds: int | None, fault: str, times: tuple[float, ...]):
    found = predict(COURSES, watched(seconds, race_poll=2.0) if seconds else FLOOR)[fault]
    assert found.best <= min(times)
    assert max(times) <= found.worst


def test_a_prompt_switchover_lies_there_too() -> None:
    found = predict(COURSES, replace(FLOOR, amended=True))["switchover"]
    assert found.best <= 1.05 <= found.median <= 2.47 <= found.worst


@pytest.mark.parametrize("fault", LEASE_FAULTS)
@pytest.mark.parametrize(
    ("settings", "factor"), [(FLOOR, 1.25), (watched(8, FLOOR, 2.0), 1.5), (watched(8), 1.7), (watched(4), 2.2)]
)
def test_the_worst_case_after_a_lost_lease_is_no_wild_guess(settings: Settings, factor: float, fault: str) -> None:
    found = predict(COURSES, settings)[fault]
    assert found.worst <= factor * found.median


# Properties

VARIANTS = [FLOOR, watched(2), watched(8), replace(FLOOR, checks=None), patroni(loop_wait=10.0, retry_timeout=10.0),
            patroni(synchronous_mode=True, primary_start_timeout=300.0)]  # fmt: skip


@pytest.mark.parametrize("settings", VARIANTS)
def test_best_median_and_worst_are_in_order(settings: Settings) -> None:
    for found in predict(COURSES, settings).values():
        assert 0 <= found.best <= found.median <= found.worst


LARGER = [
    *((watched(seconds), watched(seconds + 1)) for seconds in range(2, 19)),
    (watched(19), FLOOR),
    (FLOOR, patroni(ttl=30.0)),
    (FLOOR, patroni(primary_start_timeout=10.0)),
    (FLOOR, patroni(wal_sender_timeout=60.0)),
    (replace(FLOOR, race_poll=0.0), FLOOR),
    (replace(FLOOR, etcd=replace(FLOOR.etcd, beside_databases=False)), FLOOR),
    (FLOOR, replace(FLOOR, etcd=replace(FLOOR.etcd, election_timeout=3.0))),
    *((FLOOR, replace(FLOOR, checks=replace(FLOOR.checks, **{name: value}))) for name, value in
      {"inter": 3.0, "fastinter": 3.0, "downinter": 3.0, "timeout": 9.0, "fall": 5, "rise": 5}.items()),
    (FLOOR, replace(FLOOR, vrrp=replace(FLOOR.vrrp, advert_int=1.0))),
    (FLOOR, replace(FLOOR, vrrp=replace(FLOOR.vrrp, least_priority=1))),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), LARGER)
def test_a_slower_setting_never_predicts_less_at_worst(one: Settings, other: Settings) -> None:
    before, after = predict(COURSES, one), predict(COURSES, other)
    assert all(before[fault].worst <= after[fault].worst + 1e-9 for fault in before if fault != "patroni_killed")


@pytest.mark.parametrize("fault", LEASE_FAULTS)
def test_more_patience_of_the_watcher_costs_as_much(fault: str) -> None:
    one, other = predict(COURSES, watched(9))[fault], predict(COURSES, watched(12))[fault]
    assert [getattr(other, end) - getattr(one, end) for end in ("best", "median", "worst")] == pytest.approx([3, 3, 3])


def test_a_slow_check_holds_the_old_primary_longer_than_the_lease() -> None:
    slow = replace(watched(2), checks=replace(FLOOR.checks, inter=3.0, fastinter=3.0, fall=3))
    assert predict(COURSES, slow)["primary_power_loss"].worst == pytest.approx(13.5 + 0.5 + 0.5)


@pytest.mark.parametrize(
    ("settings", "fault", "reason"),
    [
        (replace(FLOOR, vrrp=None), "balancer_power_loss", "the cluster has no virtual IP"),
        (patroni(paused=True), "primary_power_loss", "Patroni is paused: no failover"),
        (replace(FLOOR, standbys=0), "switchover", "the cluster has no standby"),
        (FLOOR, "etcd_quorum_lost", "only healing ends it"),
    ],
)
def test_what_can_not_be_predicted_says_why(settings: Settings, fault: str, reason: str) -> None:
    assert unpredicted(COURSES, settings)[fault] == reason
    assert fault not in predict(COURSES, settings)
    assert set(predict(COURSES, settings)) | set(unpredicted(COURSES, settings)) == set(CATALOGUE)


def test_where_the_seconds_go() -> None:
    found = predict(COURSES, watched(8))["primary_power_loss"]
    assert [stage.name for stage in found.stages] == [
        "lease", "notice", "race", "promotion", "routing", "client", "slack",
    ]  # fmt: skip
    assert (found.largest.name, found.largest.median) == ("lease", pytest.approx(7.6))


def test_an_address_that_is_handed_over_moves_sooner_than_one_that_is_lost() -> None:
    (moved,) = predict(HANDOVERS, FLOOR).values()
    assert [round(value, 2) for value in (moved.best, moved.median, moved.worst)] == [0.13, 0.25, 1.81]
    assert moved.worst < ends(FLOOR, "balancer_power_loss")[2]
    assert unpredicted(HANDOVERS, replace(FLOOR, vrrp=None)) == {
        "virtual_ip_handed_over": "the cluster has no virtual IP"
    }
