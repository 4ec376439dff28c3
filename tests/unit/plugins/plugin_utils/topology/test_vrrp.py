# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ipaddress import ip_address, ip_interface
from itertools import permutations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import Problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Cluster, Host, SyncGroup, Vip
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.vrrp import priorities, router_id
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.vrrp_rules import check_vrrp


def cluster(balancers, vips=("main",), name="lab", **settings):
    hosts = tuple(Host(balancer, (ip_address("192.0.2.10") + index,)) for index, balancer in enumerate(balancers))
    addresses = tuple(Vip(vip, ip_interface(f"10.0.{index // 256}.{index % 256}/8")) for index, vip in enumerate(vips))
    return Cluster(name, {"haproxy": hosts}, vips=addresses, **settings)


def numbers(balancers, **settings):
    lab = cluster(balancers, **settings)
    return priorities(lab, lab.vips[0])


def test_derived_priorities_are_distinct_and_in_range():
    derived = numbers([f"lb{number}" for number in range(100)])
    assert len(set(derived.values())) == 100
    assert set(derived.values()) <= set(range(1, 255))


def test_derived_priorities_do_not_depend_on_order():
    expected = numbers(["lb1", "lb2", "lb3", "lb4"])
    assert all(numbers(order) == expected for order in permutations(["lb1", "lb2", "lb3", "lb4"]))


def test_a_new_balancer_leaves_the_others_alone():
    before, after = numbers(["lb1", "lb2"]), numbers(["lb0", "lb1", "lb2"])
    assert {name: after[name] for name in before} == before


def test_a_collision_is_resolved():
    names = [f"lb{number}" for number in range(254)]
    assert sorted(numbers(names).values()) == list(range(1, 255))


def test_sync_groups_share_their_order():
    lab = cluster(["lb1", "lb2", "lb3"], ("a", "b"), sync_groups=(SyncGroup("both", ("a", "b")),))
    assert priorities(lab, lab.vips[0]) == priorities(lab, lab.vips[1])


def test_router_ids_are_stable_and_in_range():
    ids = [router_id(lab, vip) for lab in [cluster([], [f"vip{n}" for n in range(500)])] for vip in lab.vips]
    assert min(ids) >= 1
    assert max(ids) <= 255
    assert ids[:3] == [router_id(lab, vip) for lab in [cluster([], ["vip0", "vip1", "vip2"])] for vip in lab.vips]


def test_a_collision_of_derived_ids_asks_for_an_explicit_one():
    names = [f"vip{number}" for number in range(60)]
    lab = cluster([], names)
    by_id = {}
    pair = next(
        (by_id[number], vip.name)
        for vip in lab.vips
        for number in [router_id(lab, vip)]
        if by_id.setdefault(number, vip.name) != vip.name
    )
    problems = Problems()
    check_vrrp((cluster([], pair),), problems)
    (problem,) = problems.found
    assert problem.where == f"clusters.lab.vips.{pair[1]}.virtual_router_id"
    assert "derived from the names" in str(problem)
    assert "set it to a number that is free" in str(problem)


@pytest.mark.parametrize(("network", "refused"), [("192.0.2.200/24", True), ("203.0.113.200/24", False)])
def test_ids_may_repeat_in_different_networks(network, refused):
    one = Cluster("one", {}, vips=(Vip("main", ip_interface("192.0.2.100/24"), virtual_router_id=7),))
    two = Cluster("two", {}, vips=(Vip("main", ip_interface(network), virtual_router_id=7),))
    problems = Problems()
    check_vrrp((one, two), problems)
    assert bool(problems.found) is refused
