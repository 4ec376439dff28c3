# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each port of a host is open to those who need it, as docs/firewall.md and docs/security.md say."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.firewall import EVERYWHERE, firewall_plan
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import COMPONENTS

CLUSTER = {
    "clients": "203.0.113.0/24",
    "pooler": True,
    "pools": None,
    "groups": {"monitoring": "monitoring"},
    "firewall": {"allow": [{"port": [9200, 9201], "sources": "198.51.100.7"}, {"port": 8080}]},
}
CASE = {"cluster": CLUSTER, "hosts": {"watch": {"ansible_host": "198.51.100.51"}}, "groups": {"monitoring": ["watch"]}}
CLIENTS = ["203.0.113.0/24", "198.51.100.21", "198.51.100.22"]
"""PostgreSQL sees the balancers' addresses."""
DB, LB = ["db1", "db2", "db3"], ["lb1", "lb2"]
EXPECTED: dict[str, dict[int, list[str]]] = {
    "db1": {
        2379: [*DB, "watch"],
        2380: DB,
        5432: [*DB, *LB, "clients"],
        6432: [*DB, *LB, "clients"],
        8008: [*DB, *LB, "watch"],
        8432: [*DB, "backup1"],
        9100: ["watch"],
        9127: ["watch"],
        9187: ["watch"],
    },
    "lb1": {
        5000: [*DB, "clients", "watch"],
        5001: ["clients", "watch"],
        6432: ["clients", "watch"],
        8406: ["watch"],
        9100: ["watch"],
    },
    "backup1": {8432: [*DB, "backup1"], 9100: ["watch"], 9854: ["watch"]},
    "watch": {9090: ["watch"], 9093: ["watch"], 9100: ["watch"], 9115: ["watch"]},
}


@pytest.fixture
def ha(build_case) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = build_case(CASE).hosts
    return found


def addresses(ha: dict[str, Any], names: list[str]) -> set[str]:
    """The addresses and networks that names stand for."""
    own = {member["name"]: member["address"] for member in ha["members"]}
    return {text for name in names for text in (CLIENTS if name == "clients" else [own[name]])}


@pytest.mark.parametrize("host", EXPECTED)
def test_each_port_is_open_for_those_who_need_it(ha, host: str) -> None:
    found = {rule["port"]: rule["sources"] for rule in firewall_plan(ha[host])["rules"] if rule["about"] != "declared"}
    assert {port: {text.removesuffix("/32") for text in sources} for port, sources in found.items()} == {
        port: addresses(ha[host], names) for port, names in EXPECTED[host].items()
    }


def test_declared_ports_are_open_on_every_host(ha) -> None:
    for host in EXPECTED:
        rules = firewall_plan(ha[host])["rules"]
        declared = {rule["port"]: rule["sources"] for rule in rules if rule["about"] == "declared"}
        assert declared == {9200: ["198.51.100.7/32"], 9201: ["198.51.100.7/32"], 8080: EVERYWHERE}


def test_a_role_s_port_is_the_host_s_variable(ha) -> None:
    ports = {rule["port"] for rule in firewall_plan(ha["backup1"], {"pgbackrest_tls_port": 9999})["rules"]}
    assert 9999 in ports
    assert 8432 not in ports


def test_a_host_that_serves_until_another_has_joined_is_let_in(ha) -> None:
    for rule in firewall_plan(ha["db1"], leaving=["198.51.100.99/32"])["rules"]:
        assert rule["about"] == "declared" or "198.51.100.99/32" in rule["sources"]


def test_what_a_host_reaches_is_open_for_it(ha) -> None:
    found = {(item["address"], item["port"]) for item in firewall_plan(ha["lb1"])["reach"]}
    assert ("198.51.100.11", 8008) in found
    assert ("198.51.100.11", 5432) in found
    assert ("198.51.100.11", 2379) not in found
    assert not [item for item in found if item[0] == "198.51.100.21"]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (None, None),
        (False, None),
        (True, {"ssh": [], "others": "drop", "allow": []}),
        ({"ssh": "192.0.2.5", "others": "accept"}, {"ssh": ["192.0.2.5/32"], "others": "accept", "allow": []}),
    ],
)
def test_it_is_there_where_it_is_declared(build_case, declared: Any, expected: Any) -> None:
    found = build_case({"cluster": {"firewall": declared}}).hosts["db1"]
    assert found["firewall"] == expected
    assert ("nftables" in found["packages"]) is (expected is not None)


def test_every_port_of_the_registry_has_users_or_is_the_host_s_own() -> None:
    without = {port.name for component in COMPONENTS for port in component.ports if not port.users}
    assert without == {"haproxy_stats_port", "haproxy_monitor_port"}
