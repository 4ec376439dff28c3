# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import yaml

DATA = Path(__file__).resolve().parents[3] / "data"
BASE = yaml.safe_load((DATA / "topology_base.yml").read_text(encoding="utf-8"))
CASES = yaml.safe_load((DATA / "topology_good_input.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_derives(case, build_case):
    topology = build_case(case)
    for host, expected in case["expect"].items():
        assert part(topology.hosts[host], expected) == expected
    assert part(topology.groups, case.get("groups_expected", {})) == case.get("groups_expected", {})
    if "admitted" in case:
        balancer = case.get("admitted_on", "lb1")
        assert {pool["name"]: pool.get("clients") for pool in topology.hosts[balancer]["pools"]} == case["admitted"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_is_plain_data_without_secrets(case, build_case):
    assert "never-show-me" not in json.dumps(build_case(case).hosts)


def test_does_not_depend_on_the_order_of_anything(build_case):
    case = next(case for case in CASES if case["name"] == "two clusters")
    expected = build_case(case).hosts
    for seed in range(5):
        assert build_case({**case, "groups": shuffled({**BASE["groups"], **case["groups"]}, seed)}).hosts == expected


def test_client_outside_the_cluster_gets_nothing(build_case):
    assert "client1" not in build_case({}).hosts


def shuffled(groups, seed):
    mixed = random.Random(seed)
    names = mixed.sample(sorted(groups), len(groups))
    return {name: mixed.sample(groups[name], len(groups[name])) for name in names}


def part(actual, expected):
    """The part of the actual data that the expected mappings ask for."""
    if isinstance(actual, dict) and isinstance(expected, dict):
        return {key: part(actual[key], value) for key, value in expected.items() if key in actual}
    return actual


WEB = {"port": 80, "service": "web", "servers": {"group": "client", "port": 8080}}


@pytest.mark.parametrize(
    ("pools", "expected"),
    [
        ({"web": WEB}, {"primary": 5000, "standby": 5001, "web": 80}),
        ({"primary": {"port": 5002, "role": "primary"}}, {"primary": 5002, "standby": 5001}),
        ({"standby": False, "web": WEB}, {"primary": 5000, "web": 80}),
        ({}, {"primary": 5000, "standby": 5001}),
    ],
)
def test_own_pools_come_beside_the_default_ones(build_case, pools, expected):
    nothing = {"primary": None, "standby": None}
    pools = build_case({"cluster": {"pools": {**nothing, **pools}}}).hosts["lb1"]["pools"]
    assert {pool["name"]: pool["port"] for pool in pools} == expected
