# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts in maintenance, as plays see them."""

from __future__ import annotations

import json

import pytest

from tests.unit.plugins.action.test_playbooks import inventory_of, run
from tests.unit.plugins.action.test_rolling import planned, variables_of
from tests.unit.plugins.plugin_utils.rolling.clusters import LAB, reports
from tests.unit.plugins.plugin_utils.rolling.test_maintenance import DOWN, marked, stop

MARK = {"host": "db3", "since": "2030", "reason": "disk", "by": "ann"}


def hosts_of(found, *names):
    """Return the hosts' variables, with the marks of these hosts on all that answer."""
    variables = variables_of(found)
    for host, report in found.items():
        answers = report["unreachable"] is None
        told = {"marks": [MARK | {"host": name} for name in names]}
        variables[host]["maintenance_host"] = told if answers else {"unreachable": True, "msg": report["unreachable"]}
    return variables


def asked(folder, variables, arguments, *more):
    """Run holdfast.ha.maintenance_plan; return the output, and what it returned."""
    result = folder / "result.json"
    copy = {"content": "{{ plan | to_json }}", "dest": str(result)}
    tasks = [
        {"holdfast.ha.maintenance_plan": arguments, "register": "plan", "run_once": True, "ignore_errors": True},
        {"ansible.builtin.copy": copy, "delegate_to": "localhost", "run_once": True, "check_mode": False},
    ]
    code, output = run(inventory_of(folder, variables), {"hosts": "holdfast", "tasks": tasks}, *more)
    assert code == 0, output
    return json.loads(result.read_text())


def test_the_plan_of_a_host_that_is_off(tmp_path):
    found = reports(LAB)
    found["db3"] |= DOWN
    told = asked(tmp_path, hosts_of(found), {"out": " db3 ", "reason": "disk"}, "--check")
    assert (told["changed"], told["reachable"], told["silent"]) == (False, False, ["db3"])
    mark = json.loads(told["marks"][0]["content"])
    assert (mark["host"], mark["reason"]) == ("db3", "disk")
    assert mark["since"].endswith(" UTC")
    assert "@" in mark["by"]
    told = asked(tmp_path, hosts_of(found, "db3"), {"back": "db3"})
    assert told["msg"].startswith("refused before anything was touched: maintenance_back = 'db3': it can't be reached")


def test_the_limit_must_have_the_whole_cluster(tmp_path):
    told = asked(tmp_path, hosts_of(reports(LAB)), {"out": "db3"}, "--limit", "!lb1")
    assert "--limit leaves out lb1 of the cluster lab" in told["msg"]


@pytest.mark.parametrize(
    ("names", "on", "others", "half"),
    [
        ((), LAB["etcd"], [], 0),
        (("db3",), None, ["db3"], 0),
        (("db3",), ["db3"], ["db3"], 1),
        (("db3",), ["db1"], [], 1),
    ],
)
def test_who_is_in_maintenance_is_told_without_a_wish(tmp_path, names, on, others, half):
    variables = hosts_of(reports(LAB), *names)
    for host in () if on is None else variables.keys() - {*on}:
        variables[host]["maintenance_host"] = {"marks": []}
    told = asked(tmp_path, variables, {"asked": False})
    assert (told["others"], [item["cluster"] for item in told["half"]]) == (others, ["lab"] * half)
    assert all(item["text"].startswith("db3 is half in maintenance: ") for item in told["half"])


def test_the_gate_and_the_status_excuse_it(tmp_path):
    found = stop(reports(LAB), "db3")
    found["db3"] |= DOWN
    for marks, expected in (((), 2), (("db3",), 0)):
        inventory = inventory_of(tmp_path, variables_of(marked(found, *marks)))
        for purpose in ("rolling", "status"):
            judge = {"holdfast.ha.cluster_status": {"purpose": purpose}, "run_once": True}
            code, output = run(inventory, {"hosts": "holdfast", "tasks": [judge]})
            assert code == expected, output
            shown = "db3: in maintenance since 2030 by ann: disk → back: " in output
            assert shown is (purpose == "status" and bool(marks))


def test_a_reboot_of_the_others_needs_no_answer_of_it(tmp_path):
    found = marked(stop(reports(LAB), "db3"), "db3")
    variables = variables_of(found)
    del variables["db3"]["status__host"], variables["db3"]["rolling_host"]
    reboot = {"verb": "reboot", "force": True, "accept_outage": True}
    _output, told = planned(tmp_path, variables, reboot, "--limit", "!db3")
    assert [step["host"] for step in told["steps"]] == ["db2", "db1", "lb2", "lb1", "backup1"]
    assert {"host": "db3", "text": "is meant to be out, and takes no part"} in told["left"]
