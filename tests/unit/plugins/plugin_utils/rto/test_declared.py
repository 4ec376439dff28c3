# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from functools import partial

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import LOSSES
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto import declared
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.timing import PROFILES, timing_dict

MEMBERS = [{"name": name} for name in ("db1", "db2", "db3")]

profile_seconds = partial(declared.profile_seconds, losses=LOSSES)


def topology(profile, **more):
    watch = PROFILES[profile].lease_watch
    return {
        "postgresql": {"members": MEMBERS},
        "etcd": {"members": MEMBERS},
        "pools": [{"name": "rw", "role": "primary"}],
        "vrrp": {"instances": [{"name": "main", "priority": None}]},
        "timing": timing_dict(profile, watch),
        "lease_watch": {"seconds": watch} if watch else None,
        **more,
    }


def variables(profile):
    timing = timing_dict(profile, None)
    given = {f"{role}_{key}": value for role in ("patroni", "etcd", "haproxy", "keepalived")
             for key, value in timing[role].items()}  # fmt: skip
    return {**given, "patroni_primary_start_timeout": 0, "patroni_synchronous_mode": "auto", "haproxy_check_rise": 1}


def test_the_balanced_profile():
    found = profile_seconds(topology("balanced"), variables("balanced"))
    outage = found.pop("write_outage")
    assert found == {"ttl": 20.0, "etcd_heartbeat": 0.1, "etcd_election": 0.7, "lease_watch": 8.0}
    assert 8 < outage < 20


def test_without_synchronous_replication_the_watcher_acts_later():
    usual = profile_seconds(topology("balanced"), variables("balanced"))
    later = profile_seconds(topology("balanced"), {**variables("balanced"), "patroni_synchronous_mode": "off"})
    assert later["lease_watch"] == 14.0
    assert later["write_outage"] == usual["write_outage"] + 6


def test_a_watcher_that_acts_after_etcd_is_none():
    given = {**variables("balanced"), "patroni_synchronous_mode": "off", "patroni_retry_timeout": 5}
    assert "lease_watch" not in profile_seconds(topology("balanced"), given)


def test_a_slower_profile_takes_longer():
    outages = [profile_seconds(topology(name), variables(name))["write_outage"] for name in ("fast", "balanced")]
    slow = profile_seconds(topology("conservative"), variables("conservative"))
    assert sorted([*outages, slow["write_outage"]]) == [*outages, slow["write_outage"]]
    assert "lease_watch" not in slow
    assert slow["write_outage"] > 30


def test_a_user_s_own_timing_counts():
    given = variables("conservative")
    usual = profile_seconds(topology("conservative"), given)["write_outage"]
    assert profile_seconds(topology("conservative"), {**given, "patroni_ttl": 60})["write_outage"] == usual + 30


@pytest.mark.parametrize("part", ["postgresql", "etcd"])
def test_a_cluster_without_databases_has_no_profile(part):
    assert profile_seconds(topology("balanced", **{part: None}), variables("balanced")) == {}


def test_nothing_can_take_over_from_a_single_server():
    single = {"members": MEMBERS[:1]}
    assert "write_outage" not in profile_seconds(topology("balanced", postgresql=single, vrrp={"instances": []}), {
        **variables("balanced")})  # fmt: skip
