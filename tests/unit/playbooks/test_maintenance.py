# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""maintenance.yml as a user runs it: what makes no sense is refused; and plays that leave hosts out."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.unit.playbooks.test_degraded import plays
from tests.unit.playbooks.test_targets import ROOT, run

BOOK = ROOT / "playbooks" / "maintenance.yml"
CLUSTERS = {"a": ("db1", "db2"), "b": ("web1",)}


@pytest.fixture
def inventory(tmp_path):
    """Write an inventory with two clusters on this machine."""
    groups = {"holdfast": [name for names in CLUSTERS.values() for name in names]}
    groups |= {f"holdfast_cluster_{cluster}": names for cluster, names in CLUSTERS.items()}
    children = {name: {"hosts": dict.fromkeys(hosts)} for name, hosts in groups.items()}
    for cluster, names in CLUSTERS.items():
        for name in names:
            ha = {"cluster": cluster, "name": name, "components": ["haproxy"]}
            children["holdfast"]["hosts"][name] = {"ansible_connection": "local", "ha": ha}
    path = tmp_path / "hosts.yml"
    path.write_text(json.dumps({"all": {"children": children}}))
    return path


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "maintenance_out: is missing. Fix: add -e maintenance_out=HOST"),
        (["--check"], "maintenance_out: is missing. Fix: add -e maintenance_out=HOST"),
        (["-e", "maintenance_out=db2", "-e", "maintenance_back=db1"], "a run does one of both"),
        (["-e", "maintenance_out=db9"], "maintenance_out = 'db9': is no host of a cluster. Fix: give one of db"),
        (["-e", "maintenance_back=db2", "-e", "maintenance_reason=x"], "belongs to maintenance_out"),
        (["-e", "maintenance_out=db2", "--limit", "db2"], "--limit leaves out db1 of the cluster a. Fix: run without"),
        (
            ["-e", "maintenance_out=db2", "--limit", "web1"],
            "is a host of the cluster a, which takes no part in this run",
        ),
        (["-e", "maintenance_host=db2"], "maintenance_host"),
        (["-e", "maintenance_out=db2", "-e", "maintenance_resaon=x"], "did you mean 'maintenance_reason'"),
    ],
)
def test_bad_input_is_refused_before_a_host_is_touched(inventory, arguments, expected):
    code, output = run(inventory, BOOK, *arguments)
    assert code != 0
    assert expected in output
    assert "Keep a second run away" not in output
    assert "changed=0" in output or "PLAY RECAP" not in output


def test_plays_leave_out_the_hosts_that_were_found(inventory):
    def play(name, more=""):
        lookup = f"{{{{ lookup('holdfast.ha.targets', '{name}', playbook='status'{more}) }}}}"
        shown = {"ansible.builtin.debug": {"msg": f"{name}{more} has {{{{ ansible_play_hosts | join('+') }}}}"}}
        return {"hosts": lookup, "gather_facts": False, "tasks": [{**shown, "run_once": True}]}

    add = {"ansible.builtin.add_host": {"name": "db2", "groups": ["holdfast_maintenance"]}, "changed_when": False}
    first = {**play("holdfast"), "strategy": "linear"}
    first["tasks"].append(add)
    book = inventory.parent / "book.yml"
    book.write_text(json.dumps([first, play("holdfast", ", whole=true"), play("holdfast", ", maintained=true")]))
    code, output = run(inventory, book)
    assert code == 0, output
    assert "holdfast has db1+db2+web1" in output
    assert "holdfast, whole=true has db1+web1" in output
    assert "holdfast, maintained=true has db1+db2+web1" in output
    assert "Could not match" not in output


@pytest.mark.parametrize("name", ["rolling", "switchover"])
def test_who_leads_others_away_looks_who_is_there(name):
    first = plays(name)[0]
    assert first["tasks"] == [
        {"name": "Find the hosts in maintenance", "ansible.builtin.import_tasks": "tasks/maintained.yml"}
    ]
    assert first["ignore_unreachable"] is True


@pytest.mark.parametrize("name", ["guard", "preflight"])
def test_who_compares_tells_who_is_there(name):
    tasks = plays(name)[0]["tasks"]
    assert [task["register"] for task in tasks if "holdfast.ha.deployed_info" in task] == ["deployed_host"]
    (add,) = [task for task in tasks if "ansible.builtin.add_host" in task]
    assert add["loop"] == "{{ preflight_report.maintenance | list }}"


@pytest.mark.parametrize("name", ["drill", "etcd_lost", "explore", "restore", "soak"])
def test_what_needs_all_hosts_refuses(name):
    (imported,) = [task for task in plays(name)[0]["tasks"] if "none_maintained" in json.dumps(task)]
    tasks = yaml.safe_load((ROOT / "playbooks" / imported["ansible.builtin.import_tasks"]).read_text())
    assert "ansible.builtin.assert" in tasks[-1]
