# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status without hosts that are meant to be out, and what of it tells whether the next host may be taken out."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.judge import judge, rolling_problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.observe import observe

from tests.unit.plugins.plugin_utils.rolling.clusters import LAB, SINGLE, THREE, VIP, reports
from tests.unit.plugins.plugin_utils.test_status import CASES, DAY, LIMITS, job, lab, set_at

ROLLING = [
    "balancer dead",
    "etcd member dead",
    "etcd without leader",
    "two etcd leaders",
    "an undeclared etcd member",
    "undeclared etcd members, one not started yet",
    "an undeclared member of Patroni",
    "no standby streams",
    "Patroni's own doubt",
    "paused",
    "lag",
    "no PostgreSQL",
    "haproxy dead",
    "keepalived dead",
    "two holders",
    "wrong primary in the pool",
    "standby in maintenance",
    "archiving broken",
    "archive check failed",
    "an archive queue that does not move",
]
"""Those cases of the status that also close the gate. A member to spare is not asked for: see QUORUM."""
QUORUM = "one more fault stops writes: "


@pytest.mark.parametrize(
    ("changes", "expected", "closes"),
    [pytest.param(*case.values, case.id in ROLLING, id=case.id) for case in CASES if case.values[1]],
)
def test_the_gate_judges_what_tells_whether_the_next_host_may_go(changes, expected, closes):
    found = lab()
    for path, value in changes:
        set_at(found, path, value)
    (cluster,) = observe(found)
    told = [(problem.subject, problem.text) for problem in rolling_problems(cluster, LIMITS)]
    kept = [item for item in expected if item[0] != "etcd" or not item[1].startswith(QUORUM)]
    assert told == (kept if closes else [])


def test_the_gate_lets_what_is_no_business_of_its_pass():
    found = lab()
    found["backup1"]["probes"]["jobs"] = {"jobs": [job("exit-code")]}
    found["backup1"]["probes"]["verification"] = {"failed": True, "msg": "boom"}
    found["db1"]["probes"]["certificates"] = {
        "certificates": [{"name": "host.crt", "remaining": -3 * DAY, "error": ""}]
    }
    (cluster,) = observe(found)
    assert len(judge(cluster, LIMITS)) == 3
    assert rolling_problems(cluster, LIMITS) == []


def off(found, host):
    """Turn a host off, as the others see it."""
    found[host] |= {"unreachable": "timed out", "probes": None}
    for probes in (report["probes"] for report in found.values() if report["probes"]):
        for endpoint in probes.get("etcd", {}).get("endpoints", ()):
            if endpoint["endpoint"].partition("//")[2].startswith(f"{found[host]['ha']['address']}:"):
                endpoint |= {"healthy": False, "error": "timed out", "leader": False}
        for member in probes.get("postgresql", {}).get("cluster", {}).get("members", ()):
            if member["name"] == host:
                member |= {"state": "stopped", "answers": False, "role": "replica"}
                probes["postgresql"]["problems"] = [f"{host} does not answer at its URL"]
        for pool in probes.get("haproxy", {}).get("pools", ()):
            for server in pool["servers"]:
                server["state"] = "down" if server["name"] == host else server["state"]
    return found


def told(found, without, purpose=rolling_problems):
    (cluster,) = observe(found)
    return [(problem.subject, problem.text) for problem in purpose(cluster, LIMITS, without)]


@pytest.mark.parametrize("purpose", [rolling_problems, judge])
@pytest.mark.parametrize(
    ("parts", "roles", "host"),
    [
        pytest.param(LAB, {}, "db3", id="standby"),
        pytest.param(LAB, {}, "lb2", id="balancer"),
        pytest.param(LAB, {}, "backup1", id="repository host"),
        pytest.param(THREE, {"primary": "n1", "etcd_leader": "n1", "holder": "n1"}, "n2", id="all in one"),
        pytest.param(THREE, {"primary": "n1", "etcd_leader": "n1", "holder": "n1"}, "n3", id="with the repository"),
        pytest.param(SINGLE, {"etcd_leader": "db1"}, "db2", id="the only standby"),
    ],
)
def test_what_follows_from_an_absence_that_is_meant_is_no_problem(purpose, parts, roles, host):
    found = off(reports(parts, **roles), host)
    assert told(found, [], purpose) != []
    assert told(found, [host], purpose) == []


def test_without_half_of_the_members_a_majority_can_not_agree():
    found = off(reports(SINGLE, etcd_leader="db1"), "db2")
    probe = found["db1"]["probes"]["postgresql"]
    probe["cluster"]["agreed"] = False
    probe["problems"] = [
        "a majority of the members does not agree on the leader",
        "db2 does not answer at its URL",
        "no standby is synchronous",
    ]
    assert told(found, ["db2"]) == []
    assert ("postgresql", "no standby is synchronous") in told(found, [])


@pytest.mark.parametrize(
    ("harm", "without", "expected"),
    [
        pytest.param(
            lambda found: off(off(found, "db3"), "db2"),
            ["db3", "db2"],
            [
                ("etcd", "no leader"),
            ],
            id="no majority",
        ),
        pytest.param(
            lambda found: found,
            ["db1", "db3"],
            [("etcd", "writes stop without db1, db3: 1 of 3 members are known to be healthy, 2 are needed")],
            id="a majority may not be taken out",
        ),
        pytest.param(
            lambda found: off(found, "db3"),
            ["lb1"],
            [
                ("db3", "unreachable: timed out"),
                ("etcd db3", "timed out"),
                ("postgresql", "db3 does not answer at its URL"),
                ("pool standby on lb2", "db3 is down but should serve"),
            ],
            id="another host is down",
        ),
        pytest.param(
            lambda found: off(found, "lb1"),
            ["lb1"],
            [("virtual IP 198.51.100.100", "no balancer holds it")],
            id="nobody took the address over",
        ),
        pytest.param(
            lambda found: found["lb2"]["probes"]["vrrp"].update(held=[VIP]) or found,
            ["lb2"],
            [("virtual IP 198.51.100.100", "held by lb1 and lb2")],
            id="a host that is out still holds the address",
        ),
        pytest.param(lambda found: found, ["db3"], [], id="still there"),
        pytest.param(lambda found: found, ["db1"], [], id="about to be led away"),
        pytest.param(
            lambda found: (
                [
                    server.update(state="up")
                    for server in found["lb1"]["probes"]["haproxy"]["pools"][0]["servers"]
                    if server["name"] == "db3"
                ]
                and found
            ),
            ["db3"],
            [("pool primary on lb1", "db3 is up but should not serve")],
            id="a host that is out and serves as primary",
        ),
    ],
)
def test_an_absence_does_not_excuse_more_than_follows_from_it(harm, without, expected):
    found = harm(reports(LAB, etcd_leader="db2"))
    assert told(found, without) == expected


@pytest.mark.parametrize("purpose", [rolling_problems, judge])
def test_pgbackrest_s_check_does_not_count_while_a_host_is_out(purpose):
    found = off(reports(LAB), "db3")
    found["backup1"]["probes"]["archive"] = {"check": "unable to find db3", "silent": ["198.51.100.14"]}
    assert told(found, ["db3"], purpose) == []
    found = reports(LAB)
    found["backup1"]["probes"]["archive"] = {"check": "WAL was not archived"}
    assert told(found, [], purpose) == [("archiving", "WAL was not archived")]


def test_with_all_balancers_out_no_holder_is_needed():
    found = off(reports(SINGLE, etcd_leader="db1"), "lb1")
    assert told(found, ["lb1"]) == []


def test_an_undeclared_member_that_is_meant_to_go_is_no_problem():
    found = reports(LAB)
    for report in found.values():
        if "etcd" in report["probes"]:
            report["probes"]["etcd"]["members"] = [{"name": "old", "peer_urls": ["https://198.51.100.99:2380"]}]
    assert told(found, []) == [("etcd old", "is a member that the inventory lacks, and counts for the quorum")]
    assert told(found, ["old"]) == []
