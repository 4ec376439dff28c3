# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of rolling work, its summary, and the gate, as a play runs them."""

from __future__ import annotations

import json

import pytest

from tests.unit.plugins.action.test_playbooks import inventory_of, run
from tests.unit.plugins.plugin_utils.rolling.clusters import LAB, NEWER, THREE, needs, reports


def variables_of(found, **needed):
    """Return the hosts' variables as the plays register them."""
    return {
        host: {
            "ansible_connection": "local",
            "ha": report["ha"],
            "status__host": {"probes": report["probes"]} if report["probes"] else {"msg": report["unreachable"]},
            "rolling_host": needs(report["ha"], **needed.get(host, {})),
        }
        for host, report in found.items()
    }


def planned(folder, variables, arguments, *more):
    """Run the plan; return the exit code, the output, and what the task returned."""
    result = folder / "result.json"
    copy = {"content": "{{ plan | to_json }}", "dest": str(result)}
    tasks = [
        {"holdfast.ha.rolling_plan": arguments, "register": "plan", "run_once": True, "ignore_errors": True},
        {"ansible.builtin.copy": copy, "delegate_to": "localhost", "run_once": True, "check_mode": False},
    ]
    play = {"hosts": "holdfast", "tasks": tasks}
    code, output = run(inventory_of(folder, variables), play, *more)
    assert code == 0, output
    return output, json.loads(result.read_text())


@pytest.mark.parametrize("more", [(), ("--check",)])
def test_a_plan_is_shown_and_returned(tmp_path, more):
    variables = variables_of(reports(LAB), db1={"packages": [NEWER]}, db2={"packages": [NEWER]})
    output, result = planned(tmp_path, variables, {"verb": "update"}, *more)
    assert "  1.  db2  etcd leader  goes to db3 or db1 before\n" in output
    assert (result["changed"], result["refused"], result["left"]) == (True, [], [])
    assert [step["host"] for step in result["steps"]] == ["db2", "db1"]
    assert result["steps"][0]["packages"] == ["etcd-server=3.5.16-5"]


def test_nothing_to_do_is_no_change(tmp_path):
    output, result = planned(tmp_path, variables_of(reports(LAB)), {"verb": "reboot"})
    assert "Nothing to reboot: no host requires it," in output
    assert (result["changed"], result["steps"]) == (False, [])


def test_a_refusal_fails_and_gives_no_steps(tmp_path):
    found = reports(LAB)
    found["lb2"] |= {"unreachable": "no route to host", "probes": None}
    _output, result = planned(tmp_path, variables_of(found), {"verb": "reboot", "force": True}, "--check")
    assert result["failed"]
    assert "steps" not in result
    assert result["refused"][0].startswith("lb2: unreachable: no route to host → start the host")
    assert result["msg"].startswith("refused before anything was touched: lb2: unreachable")


def test_the_limit_takes_whole_clusters(tmp_path):
    found = reports(LAB) | reports(THREE, "n1", "n1", "n1", name="web", prefix="web-")
    force = {"verb": "reboot", "force": True}
    variables = variables_of(found)
    _output, result = planned(tmp_path, variables, force, "--limit", "web-*")
    assert [step["host"] for step in result["steps"]] == ["web-n2", "web-n3", "web-n1"]
    _output, result = planned(tmp_path, variables, force, "--limit", "db1")
    assert len(result["refused"]) == 5
    assert "-e rolling_only=HOST,HOST" in result["refused"][0]
    _output, result = planned(tmp_path, variables, {**force, "only": ["web-n1"]}, "--limit", ",".join(reports(LAB)))
    assert result["refused"][0].startswith("rolling_only: web-n1 is a host of the cluster web, which takes no part")


def test_the_versions_of_the_resolver_s_plan_count(tmp_path):
    variables = variables_of(reports(LAB), db3={"packages": [NEWER]})
    for host, own in variables.items():
        pinned = [{"name": "etcd-server", "from": "3.5.16-4", "to": "3.5.16-4.1"}] if host == "db3" else []
        own["pinned"] = {"upgraded": pinned}
    _output, result = planned(tmp_path, variables, {"verb": "update", "packages_register": "pinned"})
    assert [step["packages"] for step in result["steps"]] == [["etcd-server=3.5.16-4.1"]]


def test_the_gate_knows_who_is_meant_to_be_out(tmp_path):
    found = reports(LAB)
    found["lb2"] |= {"unreachable": "no route to host", "probes": None}
    gate = {"purpose": "rolling", "format": "none"}
    inventory = inventory_of(tmp_path, variables_of(found))
    task = {"holdfast.ha.cluster_status": gate, "run_once": True}
    code, output = run(inventory, {"hosts": "holdfast", "tasks": [task]})
    assert (code != 0, "not healthy: lb2: unreachable: no route to host" in output) == (True, True)
    task = {"holdfast.ha.cluster_status": {**gate, "without": ["lb2"]}, "run_once": True}
    code, output = run(inventory, {"hosts": "holdfast", "tasks": [task]})
    assert code == 0, output


@pytest.mark.parametrize(
    ("clusters", "limit", "told"),
    [
        (None, (), ["web-n2: unreachable"]),
        (["lab"], (), []),
        (["web"], (), ["web-n2: unreachable"]),
        (["lab", "web"], (), ["web-n2: unreachable"]),
        (None, ("--limit", ",".join(reports(LAB))), []),
        (["web"], ("--limit", ",".join(reports(LAB))), ["no host has a cluster"]),
    ],
)
def test_another_cluster_does_not_close_the_gate(tmp_path, clusters, limit, told):
    found = reports(LAB) | reports(THREE, "n1", "n1", "n1", name="web", prefix="web-")
    found["web-n2"] |= {"unreachable": "no route to host", "probes": None}
    gate = {"purpose": "rolling", "format": "none", **({"clusters": clusters} if clusters else {})}
    task = {"holdfast.ha.cluster_status": gate, "run_once": True}
    inventory = inventory_of(tmp_path, variables_of(found))
    code, output = run(inventory, {"hosts": "holdfast", "tasks": [task]}, *limit)
    assert (code != 0) is bool(told), output
    assert all(text in output for text in told)


def test_the_summary_tells_what_was_done_and_what_is_left(tmp_path):
    arguments = {
        "verb": "update",
        "steps": [{"host": "db3"}, {"host": "db2"}],
        "done": [{"host": "db3", "restarted": ["etcd.service"], "seconds": 2.5}],
        "waits": [{"clients": "pooled", "seconds": 0.4}],
    }
    tasks = [
        {"holdfast.ha.rolling_summary": arguments, "register": "summary"},
        {"ansible.builtin.debug": {"msg": "{{ summary.left | map(attribute='host') | join }} is left"}},
    ]
    code, output = run(inventory_of(tmp_path, {}), {"tasks": tasks})
    assert code == 0, output
    assert "Updated: 1 host in 2 s\n  1  db3  restarted etcd.service  2.5 s\n" in output
    assert "  pooled clients: longest wait 0.40 s, 0 failed transactions\n" in output
    assert "  Stopped at db2: its work failed, see above. The others serve.\n" in output
    assert "db2 is left" in output
