# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.survey import parse_survey

from tests.unit.plugins.plugin_utils.rolling.clusters import (
    ALONE,
    APART,
    HAPROXY,
    LAB,
    LIBC,
    NEWER,
    PATRONI,
    SINGLE,
    THREE,
    VIP,
    all_new,
    hosts,
    needs,
    planned,
    refused,
    reports,
)

# (groups, who leads and holds) -> the order
ORDERS = [
    pytest.param(LAB, {}, ["db3", "db2", "db1", "lb2", "lb1", "backup1"], id="lab"),
    pytest.param(LAB, {"etcd_leader": "db1"}, ["db2", "db3", "db1", "lb2", "lb1", "backup1"], id="primary leads etcd"),
    pytest.param(LAB, {"primary": "db3", "holder": "lb2"}, ["db1", "db2", "db3", "lb1", "lb2", "backup1"], id="others"),
    pytest.param(
        APART,
        {"etcd_leader": "e1"},
        ["db2", "db3", "e2", "e3", "e1", "db1", "lb2", "lb1", "backup1"],
        id="etcd on hosts of its own",
    ),
    pytest.param(
        THREE, {"primary": "n1", "etcd_leader": "n1", "holder": "n1"}, ["n2", "n3", "n1"], id="one host leads all"
    ),
    pytest.param(
        THREE, {"primary": "n3", "etcd_leader": "n2", "holder": "n1"}, ["n1", "n2", "n3"], id="three hosts lead"
    ),
]


@pytest.mark.parametrize(("parts", "roles", "expected"), ORDERS)
def test_the_order(parts, roles, expected):
    found = reports(parts, **roles)
    made = planned(found, all_new(found))
    assert refused(made) == []
    assert hosts(made) == expected


def test_a_primary_that_leads_etcd_and_holds_the_address_gives_all_three_away():
    found = reports(THREE, primary="n1", etcd_leader="n1", holder="n1")
    last = planned(found, all_new(found)).steps[-1].as_data()
    assert last == {
        "cluster": "lab",
        "host": "n1",
        "packages": ["etcd-server=3.5.16-5", "patroni=4.0.4-2", "haproxy=3.0.11-2"],
        "restart": ["etcd.service", "patroni.service", "haproxy.service"],
        "stop": [],
        "reboot": False,
        "touches": ["etcd", "haproxy", "postgresql"],
        "primary": True,
        "etcd_leader": True,
        "holds": [VIP],
        "primary_to": ["n2", "n3"],
        "etcd_leader_to": ["n2", "n3"],
        "holds_to": {VIP: ["n2", "n3"]},
        "out": False,
        "backup_running": False,
        "files": [],
        "reload": [],
        "reasons": [],
    }
    assert json.loads(json.dumps(last)) == last


def test_what_leads_is_given_to_hosts_whose_turn_is_over():
    found = reports(THREE, primary="n2", etcd_leader="n1", holder="n1")
    steps = {step.host: step for step in planned(found, all_new(found)).steps}
    assert list(steps) == ["n3", "n1", "n2"]
    assert steps["n1"].etcd_leader_to == ("n3", "n2")
    assert (steps["n2"].etcd_leader_to, steps["n3"].etcd_leader) == ((), False)


def test_an_address_that_came_in_the_meantime_is_given_away_again():
    found = reports(THREE, primary="n3", etcd_leader="n2", holder="n1")
    steps = {step.host: step for step in planned(found, all_new(found)).steps}
    heir = steps["n1"].holds_to[VIP][0]
    assert steps[heir].holds == (VIP,)
    assert VIP in steps[heir].holds_to


# (verb, what db1, the primary that leads etcd, needs) -> (touches, who takes over)
TOUCHES = [
    pytest.param("restart", {"due": ["etcd"]}, ["etcd"], ("primary_to",), id="etcd only"),
    pytest.param("restart", {"due": ["postgresql"]}, ["postgresql"], ("etcd_leader_to",), id="Patroni only"),
    pytest.param(
        "restart", {"due": ["lease_watcher"]}, ["lease_watcher"], ("primary_to", "etcd_leader_to"), id="other"
    ),
    pytest.param("update", {"packages": [NEWER]}, ["etcd"], ("primary_to",), id="etcd's package"),
    pytest.param("update", {"packages": [PATRONI]}, ["postgresql"], ("etcd_leader_to",), id="Patroni's package"),
    pytest.param(
        "update",
        {"packages": [PATRONI | {"name": "postgresql-17"}]},
        ["postgresql"],
        ("etcd_leader_to",),
        id="a package that a metapackage brings",
    ),
    pytest.param(
        "update",
        {"packages": [PATRONI | {"name": "ssl-cert"}]},
        ["etcd", "lease_watcher", "postgresql"],
        (),
        id="shared",
    ),
    pytest.param(
        "update",
        {"packages": [PATRONI | {"name": "libpq5"}]},
        ["etcd", "lease_watcher", "postgresql"],
        (),
        id="a library",
    ),
    pytest.param("reboot", {"reboot": True}, ["etcd", "lease_watcher", "postgresql"], (), id="reboot"),
]


@pytest.mark.parametrize(("verb", "need", "touches", "stays"), TOUCHES)
def test_only_what_stops_is_led_away(verb, need, touches, stays):
    found = reports(LAB, etcd_leader="db1")
    surveys = {host: needs(report["ha"]) for host, report in found.items()} | {"db1": needs(found["db1"]["ha"], **need)}
    (step,) = planned(found, surveys, verb).steps
    data = step.as_data()
    assert data["touches"] == touches
    assert (data["primary"], data["etcd_leader"]) == (True, True)
    moved = {"primary_to": ["db2", "db3"], "etcd_leader_to": ["db2", "db3"]} | {key: [] for key in stays}
    assert {key: data[key] for key in moved} == moved


# verb, options, {host: what it needs} -> hosts in order
WORKS = [
    pytest.param("update", {}, {}, [], id="nothing"),
    pytest.param("update", {}, {"db2": {"packages": [LIBC]}}, [], id="outside of the scope"),
    pytest.param("update", {"scope": "system"}, {"db2": {"packages": [LIBC]}}, ["db2"], id="system"),
    pytest.param(
        "update",
        {"scope": "security"},
        {"db2": {"packages": [NEWER]}, "lb1": {"packages": [HAPROXY]}},
        ["lb1"],
        id="security",
    ),
    pytest.param(
        "update",
        {},
        {"db3": {"due": ["etcd"]}, "db1": {"packages": [NEWER]}},
        ["db3", "db1"],
        id="resumed: db2 is done",
    ),
    pytest.param("update", {"only": ("db1",)}, {"db2": {"packages": [NEWER]}}, [], id="not named"),
    pytest.param("update", {"only": ("db2",)}, {"db2": {"packages": [NEWER]}}, ["db2"], id="named"),
    pytest.param("update", {}, {"db2": {"reboot": True}}, [], id="an update does not reboot"),
    pytest.param("restart", {}, {"db2": {"packages": [NEWER]}, "lb2": {"due": ["haproxy"]}}, ["lb2"], id="restart"),
    pytest.param("restart", {"force": True, "only": ("lb1",)}, {}, ["lb1"], id="restart what is not due"),
    pytest.param("reboot", {}, {"db2": {"due": ["etcd"]}, "lb2": {"reboot": True}}, ["lb2"], id="reboot"),
    pytest.param("reboot", {"force": True}, {}, ["db3", "db2", "db1", "lb2", "lb1", "backup1"], id="reboot all"),
    pytest.param(
        "reboot",
        {"force": True, "recent": 1800, "only": ("db1", "db2", "db3")},
        {"db2": {"up": 40}, "db3": {"up": 40, "reboot": True}},
        ["db3", "db1"],
        id="reboot all, resumed: db2 is done",
    ),
    pytest.param(
        "reboot", {"force": True, "without": ("backup1",)}, {}, ["db3", "db2", "db1", "lb2", "lb1"], id="without"
    ),
]


@pytest.mark.parametrize(("verb", "options", "needed", "expected"), WORKS)
def test_hosts_without_work_take_no_part(verb, options, needed, expected):
    found = reports(LAB)
    surveys = {host: needs(report["ha"], **needed.get(host, {})) for host, report in found.items()}
    made = planned(found, surveys, verb, **options)
    assert (refused(made), hosts(made)) == ([], expected)


LEFT = [
    pytest.param("update", {}, {"reboot": True}, "needs a reboot (playbooks/reboot.yml): linux-image was upgraded"),
    pytest.param(
        "update", {}, {"packages": [LIBC]}, "has 1 newer package outside the scope stack (-e update_scope=system)"
    ),
    pytest.param(
        "update",
        {"only": ("lb1",)},
        {"packages": [NEWER]},
        "has 1 package to upgrade and has 1 unit to restart; it was not named",
    ),
    pytest.param("restart", {"without": ("db2",)}, {"due": ["etcd"]}, "is meant to be out, and takes no part"),
]


@pytest.mark.parametrize(("verb", "options", "need", "expected"), LEFT)
def test_what_is_left_is_told(verb, options, need, expected):
    found = reports(LAB)
    surveys = {host: needs(report["ha"]) for host, report in found.items()} | {"db2": needs(found["db2"]["ha"], **need)}
    made = planned(found, surveys, verb, **options)
    assert [(item.host, item.text) for item in made.left] == [("db2", expected)]


def down(found, host):
    found[host] |= {"unreachable": "timed out", "probes": None}


def all_databases(found, change):
    for report in found.values():
        if report["probes"] and "postgresql" in report["probes"]:
            change(report["probes"]["postgresql"])


def no_heirs(probe):
    for member in probe["cluster"]["members"][1:]:
        member["tags"] = {"nofailover": True}


ETCD_STOPS = "writes stop while it is out: etcd needs 1 of 1 members, 0 would be left"
BALANCER_STOPS = "clients can't connect while it is out: no other balancer is left"
DATABASE_STOPS = "reads and writes stop while it is out: it is the only database host"
STRICT_STOPS = "writes stop while it is out: no standby is left, and synchronous_mode_strict asks for one"
MAJORITY = "writes stop while it is out: etcd needs 2 of 3 members, 1 would be left"
MAY_NOT = "may not lead (tagged nofailover, or of failover_priority 0)"
REFUSALS = [
    pytest.param(LAB, lambda found: down(found, "lb2"), {}, [("lb2", "unreachable: timed out")], id="a host is down"),
    pytest.param(
        LAB,
        lambda found: down(found, "lb2"),
        {"only": ("db2",)},
        [("lb2", "unreachable: timed out")],
        id="another host is down",
    ),
    pytest.param(
        LAB, lambda found: down(found, "backup1"), {"without": ("backup1",)}, [], id="a host is meant to be down"
    ),
    pytest.param(
        LAB,
        lambda found: stopped_database(found, "db3"),
        {"without": ("db3",), "only": ("db1", "db2")},
        [("db2", MAJORITY), ("db1", MAJORITY)],
        id="etcd has none to spare",
    ),
    pytest.param(
        LAB,
        lambda found: all_databases(found, lambda probe: probe["cluster"].update(paused=True)),
        {},
        [("postgresql", "Patroni is paused: no failover")],
        id="paused",
    ),
    pytest.param(
        LAB,
        lambda found: all_databases(found, no_heirs),
        {},
        [
            (
                "db1",
                f"is the primary, and no standby can take over: db2 {MAY_NOT}; db3 {MAY_NOT}",
            )
        ],
        id="no standby may lead",
    ),
    pytest.param(LAB, lambda found: all_databases(found, no_heirs), {"only": ("db2",)}, [], id="the primary stays"),
    pytest.param(
        LAB,
        lambda found: found["lb1"]["probes"]["haproxy"]["pools"][1]["servers"][1].update(state="down"),
        {},
        [("pool standby on lb1", "db2 is down but should serve")],
        id="a server is down",
    ),
    pytest.param(SINGLE, None, {}, [("db1", ETCD_STOPS), ("lb1", BALANCER_STOPS)], id="one member, one balancer"),
    pytest.param(SINGLE, None, {"accept_outage": True}, [], id="accepted"),
    pytest.param(SINGLE, None, {"only": ("db2",)}, [], id="the others don't stop"),
    pytest.param(ALONE, None, {}, [("db1", ETCD_STOPS), ("db1", DATABASE_STOPS)], id="one database"),
    pytest.param(ALONE, None, {"accept_outage": True}, [], id="one database, accepted"),
    pytest.param(
        SINGLE,
        lambda found: all_databases(found, lambda probe: probe["config"].update(synchronous_mode_strict=True)),
        {"only": ("db2",)},
        [("db2", STRICT_STOPS)],
        id="the last synchronous standby",
    ),
    pytest.param(
        LAB,
        None,
        {"without": ("lb1",)},
        [("lb2", BALANCER_STOPS)],
        id="the other balancer is meant to be out",
    ),
    pytest.param(
        LAB, None, {"only": ("db2", "dbx")}, [("rolling_only", "dbx is no host of a cluster")], id="unknown host"
    ),
    pytest.param(
        LAB,
        None,
        {"only": ("web1",)},
        [("rolling_only", "web1 is a host of the cluster web, which takes no part in this run")],
        id="a host of another cluster",
    ),
    pytest.param(
        LAB,
        None,
        {"absent": ("db3",)},
        [("db3", "takes no part in this run, so nobody knows its state")],
        id="--limit",
    ),
]


@pytest.mark.parametrize(("parts", "change", "options", "expected"), REFUSALS)
def test_refusals_name_who_why_and_the_fix(parts, change, options, expected):
    found = reports(parts, etcd_leader="db1" if parts in (SINGLE, ALONE) else "db2")
    if change:
        change(found)
    made = planned(found, all_new(found), others={"web1": "web"}, **options)
    assert refused(made) == expected
    assert all(problem.fix for problem in made.refused)


def test_a_host_that_nobody_could_ask_is_refused_unless_others_are_named():
    found = reports(LAB)
    surveys = all_new(found) | {"db3": {"failed": True, "msg": "dpkg is\n locked"}}
    assert refused(planned(found, surveys)) == [("db3", "nobody knows what it needs: dpkg is locked")]
    assert refused(planned(found, surveys, only=("db2",))) == []


def test_an_unhealthy_cluster_that_needs_nothing_is_not_refused():
    found = reports(LAB)
    all_databases(found, lambda probe: probe["cluster"].update(paused=True))
    made = planned(found, {host: needs(report["ha"]) for host, report in found.items()})
    assert (refused(made), hosts(made)) == ([], [])


def out_in_pools(found, host, drained=True):
    for balancer in ("lb1", "lb2"):
        for pool in found[balancer]["probes"]["haproxy"]["pools"]:
            for server in pool["servers"]:
                if server["name"] == host:
                    server.update(state="drain", drained=drained)


def stopped_database(found, host):
    number = ("db1", "db2", "db3").index(host)
    for name in ("db1", "db2", "db3"):
        probes = found[name]["probes"]
        member = probes["postgresql"]["cluster"]["members"][number]
        member |= {"state": "stopped", "answers": False}
        probes["postgresql"]["problems"] = [f"{host} does not answer at https://198.51.100.12:8008"]
        probes["etcd"]["endpoints"][number] |= {"healthy": False, "error": "refused", "leader": False}
    for balancer in ("lb1", "lb2"):
        for pool in found[balancer]["probes"]["haproxy"]["pools"]:
            pool["servers"][number]["state"] = "down"


# what an interrupted run left -> (what hosts need, the order, who is out and why)
RESUMED = [
    pytest.param(
        lambda found: out_in_pools(found, "db3"),
        {},
        {"db1": {"packages": [NEWER]}},
        ["db3", "db1"],
        ["lb1 holds it back in primary, standby", "lb2 holds it back in primary, standby"],
        id="only the way back was missing",
    ),
    pytest.param(
        lambda found: stopped_database(found, "db3"),
        {"stopped": ["etcd", "postgresql"]},
        {"db2": {"packages": [PATRONI]}},
        ["db3", "db2"],
        ["etcd.service does not run", "patroni.service does not run"],
        id="stopped services",
    ),
    pytest.param(
        lambda found: found["lb2"]["probes"]["vrrp"].update(running=False),
        None,
        {"lb2": {"stopped": ["keepalived"]}},
        ["lb2"],
        ["keepalived.service does not run"],
        id="a balancer that had given its address away",
    ),
]


@pytest.mark.parametrize(("harm", "db3", "needed", "order", "signs"), RESUMED)
def test_a_host_that_an_interrupted_run_left_out_comes_first(harm, db3, needed, order, signs):
    found = reports(LAB)
    harm(found)
    needed = needed | ({"db3": db3} if db3 is not None else {})
    surveys = {host: needs(report["ha"], **needed.get(host, {})) for host, report in found.items()}
    made = planned(found, surveys)
    assert (refused(made), hosts(made)) == ([], order)
    assert [list(step.out) for step in made.steps] == [
        signs,
        *([] for _other in order[1:]),
    ]
    assert made.steps[0].as_data()["out"] is True


def test_a_host_that_is_out_is_brought_back_only_if_it_is_named():
    found = reports(LAB)
    out_in_pools(found, "db3")
    surveys = {host: needs(report["ha"], [NEWER] if host == "db2" else []) for host, report in found.items()}
    assert refused(planned(found, surveys, only=("db2",)))[0][1] == "db3 is held back but should serve"


def test_what_an_administrator_drained_is_not_left_by_a_run():
    found = reports(LAB)
    out_in_pools(found, "db3", drained=False)
    surveys = {host: needs(report["ha"], [NEWER] if host == "db2" else []) for host, report in found.items()}
    (problem, *_more) = planned(found, surveys).refused
    assert problem.text == "db3 is held back but should serve"
    assert "`set server standby/db3 state ready`" in problem.fix


def test_two_hosts_that_are_out_are_refused():
    found = reports(LAB)
    out_in_pools(found, "db3")
    out_in_pools(found, "db2")
    assert len(refused(planned(found, all_new(found)))) == 4


@pytest.mark.parametrize(
    ("probe", "value"),
    [
        ("archive", {"check": "backup_running"}),
        ("backup", {"stanzas": [{"ok": True, "locked": True, "last": {}}]}),
        ("jobs", {"jobs": [{"name": "full", "running": True}]}),
    ],
)
def test_the_repository_host_waits_for_a_backup(probe, value):
    found = reports(LAB)
    surveys = all_new(found)
    assert not any(step.backup_running for step in planned(found, surveys).steps)
    found["backup1"]["probes"][probe] = value
    if probe == "jobs":
        found["backup1"]["probes"]["jobs"]["jobs"][0] |= {
            "scheduled": True,
            "age": 1,
            "success_age": 1,
            "allowed": None,
        }
    made = planned(found, surveys)
    assert [step.host for step in made.steps if step.backup_running] == ["backup1"]
    told = "a backup runs on backup1: it fails if it still runs when db3 is worked on"
    assert (told in made.clusters[0].notes) is (probe != "jobs")


def test_each_cluster_is_planned_and_one_follows_the_other():
    found = reports(LAB) | reports(THREE, "n1", "n1", "n1", name="web", prefix="web-")
    surveys = all_new(found)
    made = planned(found, surveys)
    assert [step.cluster for step in made.steps] == ["lab"] * 6 + ["web"] * 3
    assert hosts(made)[6:] == ["web-n2", "web-n3", "web-n1"]
    down(found, "web-n2")
    assert refused(planned(found, surveys)) == [("web-n2", "unreachable: timed out")]
    assert hosts(planned(found, surveys, only=("lb1",))) == ["lb1"]


def test_nothing_goes_to_a_host_that_is_meant_to_be_out():
    found = reports(THREE, primary="n1", etcd_leader="n1", holder="n1")
    (step,) = planned(found, all_new(found), without=("n2",), only=("n1",), accept_outage=True).steps
    assert (step.primary_to, step.etcd_leader_to, step.holds_to) == (("n3",), ("n3",), {VIP: ("n3",)})


def test_pinned_versions_come_from_the_resolver_s_own_plan():
    ha = reports(LAB)["db1"]["ha"]
    pinned = {"upgraded": [{"name": "patroni", "from": "4.0.4-1", "to": "4.0.4-1.1"}]}
    survey = parse_survey(needs(ha, [PATRONI, NEWER]), pinned)
    assert [(package.name, package.candidate) for package in survey.packages["stack"]] == [("patroni", "4.0.4-1.1")]
    assert parse_survey(needs(ha), {"failed": True, "msg": "patroni=9 is not available"}).error == (
        "patroni=9 is not available"
    )
