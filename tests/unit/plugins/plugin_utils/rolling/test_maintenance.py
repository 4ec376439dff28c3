# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that goes into maintenance, and those that are in it, in the plan, the gate and the status."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.maintenance import Mark
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.render import plan_lines
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.judge import judge, notices, rolling_problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.observe import observe
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.render import as_data

from tests.unit.plugins.plugin_utils.rolling.clusters import (
    ALONE,
    APART,
    LAB,
    NEWER,
    SINGLE,
    THREE,
    VIP,
    hosts,
    needs,
    planned,
    refused,
    reports,
)
from tests.unit.plugins.plugin_utils.test_status import LIMITS

STOPPED = ("postgresql", "pgbouncer", "haproxy", "keepalived")
DOWN = {"unreachable": "no route to host", "probes": {}}
POOLER = "holdfast-pgbouncer.service"


def marked(found, *names, by=None):
    """Give the marks of these hosts to all hosts that answer, or to some."""
    for host, report in found.items():
        if report["unreachable"] is None:
            listed = names if by is None or host in by else ()
            report["probes"]["maintenance"] = {"marks": [asdict(Mark(name, "2030", "disk", "ann")) for name in listed]}
    return found


def stop(found, name):
    """Have the cluster look as it does once a host's services but etcd have stopped."""
    report = found[name]
    report["probes"]["haproxy"] = {"running": False, "pools": []}
    report["probes"]["vrrp"] = {"running": False, "held": []}
    for other in found.values():
        members = other["probes"].get("postgresql", {}).get("cluster", {}).get("members", [])
        members[:] = [member for member in members if member["name"] != name]
        for pool in other["probes"].get("haproxy", {}).get("pools", []):
            for server in pool["servers"]:
                server["state"] = "down" if server["name"] == name else server["state"]
    return found


def leave(found, name, stopped=(), **options):
    surveys = {host: needs(report["ha"], stopped=stopped if host == name else ()) for host, report in found.items()}
    return planned(found, surveys, "maintenance", only=(name,), **options)


def cluster(found):
    (seen,) = observe(found)
    return seen


def told(problems):
    return [(item.subject, item.text) for item in problems]


LEAVES = [
    pytest.param(LAB, "db3", ["patroni.service"], {}, id="standby"),
    pytest.param(LAB, "db1", ["patroni.service"], {"primary_to": ["db2", "db3"]}, id="primary"),
    pytest.param(LAB, "db2", ["patroni.service"], {"etcd_leader_to": ["db3", "db1"]}, id="etcd's leader"),
    pytest.param(LAB, "lb1", ["haproxy.service", "keepalived.service"], {"holds_to": {VIP: ["lb2"]}}, id="holder"),
    pytest.param(LAB, "backup1", [], {}, id="repository"),
    pytest.param(APART, "e2", [], {}, id="etcd only"),
]


@pytest.mark.parametrize(("parts", "name", "stops", "expected"), LEAVES)
def test_one_host_leaves_and_everything_goes_to_others(parts, name, stops, expected):
    found = marked(reports(parts, etcd_leader="e1" if parts is APART else "db2"))
    made = leave(found, name)
    assert refused(made) == []
    (step,) = made.steps
    data = step.as_data()
    assert (data["host"], sorted(data["stop"])) == (name, stops)
    assert {key: data[key] for key in expected} == expected
    assert data["touches"] == sorted(found[name]["ha"]["components"])


STOPS = [
    pytest.param(SINGLE, "db1", "etcd needs 1 of 1 members, 0 would be left", id="etcd's only member"),
    pytest.param(ALONE, "db1", "it is the only database host", id="only database host"),
    pytest.param(SINGLE, "lb1", "no other balancer is left", id="only balancer"),
]


@pytest.mark.parametrize(("parts", "name", "why"), STOPS)
def test_what_would_stop_is_refused_unless_it_is_accepted(parts, name, why):
    found = marked(reports(parts, etcd_leader="db1"))
    assert any(why in text for _subject, text in refused(leave(found, name)))
    assert refused(leave(found, name, accept_outage=True)) == []


def test_a_second_host_below_the_quorum_is_refused():
    found = marked(stop(reports(LAB), "db3"), "db3")
    reason = "writes stop while it is out: etcd needs 2 of 3 members, 1 would be left"
    assert ("db2", reason) in refused(leave(found, "db2"))
    assert refused(leave(found, "lb2")) == []


def test_an_unhealthy_cluster_is_refused():
    found = marked(reports(LAB))
    found["lb2"] |= DOWN
    assert ("lb2", "unreachable: no route to host") in refused(leave(found, "db3"))


def test_nothing_is_left_to_do_for_a_host_that_is_out():
    made = leave(marked(stop(reports(LAB), "db3"), "db3"), "db3", STOPPED)
    assert (hosts(made), refused(made)) == ([], [])
    assert plan_lines(made)[0][0].startswith("Nothing to lead away on db3: ")


@pytest.mark.parametrize("by", [(), ("db3",), None])
def test_an_interrupted_run_is_completed(by):
    found = marked(stop(reports(LAB), "db3"), "db3", by=by)
    found["db3"]["probes"]["timings"] = {}
    surveys = {host: needs(report["ha"]) for host, report in found.items()}
    surveys["db3"] = needs(found["db3"]["ha"], stopped=("postgresql",) if by != ("db3",) else ())
    surveys["db3"]["units"].append({"component": "pgbouncer", "unit": POOLER, "active": by is None, "reasons": []})
    made = planned(found, surveys, "maintenance", only=("db3",))
    assert refused(made) == []
    assert [step.out != () for step in made.steps] == [True]


def test_others_that_wait_are_no_part_of_a_maintenance():
    found = marked(reports(LAB))
    surveys = {host: needs(report["ha"], [NEWER], due=["etcd"], reboot=True) for host, report in found.items()}
    made = planned(found, surveys, "maintenance", only=("db3",))
    assert (hosts(made), made.left) == (["db3"], ())


@pytest.mark.parametrize("off", [False, True])
def test_the_other_verbs_leave_it_out(off):
    found = stop(reports(LAB), "db3")
    if off:
        found["db3"] |= DOWN
        for name in ("db1", "db2"):
            found[name]["probes"]["etcd"]["endpoints"][2] |= {"healthy": False, "error": "no route"}
    marked(found, "db3")
    surveys = {host: needs(report["ha"], reboot=True) for host, report in found.items()}
    made = planned(found, surveys, "reboot", absent=["db3"])
    assert hosts(made) == ["db2", "db1", "lb2", "lb1", "backup1"]
    assert ("db3", "is meant to be out, and takes no part") in [(item.host, item.text) for item in made.left]
    assert ("db2", "writes stop while it is out: etcd needs 2 of 3 members, 1 would be left") in refused(made)
    assert {subject for subject, _text in refused(made)} == {"db1", "db2"}


OUT = ["db1", "db2", "db3", "lb1", "backup1"]


@pytest.mark.parametrize("name", OUT)
@pytest.mark.parametrize("parts", [LAB, THREE], ids=["lab", "three"])
@pytest.mark.parametrize("off", [False, True])
def test_the_status_calls_it_no_fault(parts, name, off):
    name = name if parts is LAB else {"db1": "n1", "db2": "n2"}.get(name, "n3")
    first = "db" if parts is LAB else "n"
    primary, etcd_leader = (next(f"{first}{n}" for n in order if f"{first}{n}" != name) for order in ("123", "231"))
    holder = ("lb2" if name == "lb1" else "lb1") if parts is LAB else primary
    found = stop(reports(parts, primary, etcd_leader, holder), name)
    found[name]["probes"].pop("backup", None)
    if off:
        found[name] |= DOWN
    seen = cluster(marked(found, name))
    assert told(judge(seen, LIMITS, seen.in_maintenance)) == []
    assert told(rolling_problems(seen, LIMITS, seen.in_maintenance)) == []
    (notice,) = [item for item in notices(seen, LIMITS) if item.subject == name]
    assert notice.text == "in maintenance since 2030 by ann: disk"
    assert notice.fix == f"back: playbooks/maintenance.yml -e maintenance_back={name}"
    assert as_data(seen, [])["maintenance"][0] == {
        "host": name,
        "since": "2030",
        "reason": "disk",
        "by": "ann",
        "agreed": True,
    }


def test_a_minority_s_marks_are_a_problem_and_excuse_nothing():
    seen = cluster(marked(reports(LAB), "db3", by=("db1", "db3")))
    assert seen.in_maintenance == frozenset()
    (problem,) = judge(seen, LIMITS, seen.in_maintenance)
    assert (problem.subject, problem.text) == (
        "db3",
        "is half in maintenance: db1, db3 say so, backup1, db2, lb1, lb2 don't",
    )
    assert "-e maintenance_out=db3, or " in problem.fix
    assert [item for item in notices(seen, LIMITS) if item.subject == "db3"] == []


def test_another_fault_is_still_told():
    found = marked(stop(reports(LAB), "db3"), "db3")
    found["lb2"]["probes"]["haproxy"] = {"running": False, "pools": []}
    seen = cluster(found)
    assert told(judge(seen, LIMITS, seen.in_maintenance)) == [("lb2", "haproxy does not run")]
