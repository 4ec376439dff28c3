# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""remove_host.yml and replace_host.yml as a user runs them, on hosts whose answers stand in the inventory."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.unit.playbooks.test_targets import ROOT, run

NAMES = ("db1", "db2", "lb1")
MEMBERS = [{"name": name, "address": f"127.0.0.1{number}"} for number, name in enumerate(NAMES[:2], 1)]
TLS = {"ca": "/none", "cert": "/none", "client_cert": "/none", "key": "/none"}
ASKED = (
    "Find the hosts in maintenance",
    "Read what is deployed",
    "Ask etcd, Patroni, PostgreSQL, HAProxy and pgBackRest",
    "Ask the host itself",
    "Keep a second run away",
)
PLAYBOOKS = ROOT / "playbooks"


def peer(number):
    return {"name": f"db{number}", "peer_urls": [f"https://127.0.0.1{number}:2380"], "learner": False}


def host(name, etcd):
    """Return the variables of a host: what the topology gives it, and what the survey would have registered."""
    parts = ["haproxy"] if name == "lb1" else ["etcd", "postgresql"]
    ha = {"cluster": "a", "name": name, "address": f"127.0.0.1{name[-1]}" if name != "lb1" else "127.0.0.21"}
    ha |= {"components": parts, "backup": None, "vrrp": None, "pooler": None, "tls": TLS}
    ha |= {"etcd": {"members": MEMBERS, "endpoints": ["https://127.0.0.11:1"], "peer_port": 2380, "prefix": "/s/a/"}}
    ha |= {"postgresql": {"members": MEMBERS, "scope": "a", "version": "", "rest_port": 8008, "port": 5432}}
    ha["postgresql"] |= {"endpoints": [], "users": {"rest": "holdfast"}}
    members = [
        {"name": "db1", "role": "leader", "state": "running", "host": "127.0.0.11"},
        {"name": "db2", "role": "quorum_standby", "state": "streaming", "host": "127.0.0.12", "lag": 0},
    ]
    endpoints = [{"name": one, "healthy": True, "leader": one == "db1"} for one in NAMES[:2]]
    probes = {
        "etcd": {"leader": "db1", "endpoints": endpoints, "members": [peer(number) for number in etcd]},
        "postgresql": {"cluster": {"leader": "db1", "agreed": True, "paused": False, "members": members}, "config": {}},
        "objects": {"slots": []},
        "haproxy": {"pools": []},
    }
    deployed = {"components": parts, "vrrp_peers": [], "pgbackrest": None}
    return {
        "ansible_connection": "local",
        "ha": ha,
        "remove__host": {"probes": probes},
        "remove__deployed": {"deployed": deployed},
    }


@pytest.fixture
def verb(tmp_path):
    """Return what runs a verb's own plays, the survey's answers given, in check mode."""

    def start(playbook, *arguments, etcd=(1, 2, 3)):
        groups = {"holdfast": NAMES, "holdfast_cluster_a": NAMES, "holdfast_postgresql": NAMES[:2]}
        inventory = tmp_path / "hosts.yml"
        children = {name: {"hosts": dict.fromkeys(hosts)} for name, hosts in groups.items()}
        children["holdfast"] = {"hosts": {name: host(name, etcd) for name in NAMES}}
        inventory.write_text(json.dumps({"all": {"children": children, "vars": {"ha_secrets": {}}}}))
        plays = {play["name"]: play for play in yaml.safe_load((PLAYBOOKS / "remove_host.yml").read_text())}
        look, work = plays["Find the host, and judge its removal"], plays["Stop the host"]
        judging = yaml.safe_load((PLAYBOOKS / "tasks/judge_removal.yml").read_text())
        tasks = [
            part
            for task in look["tasks"]
            for part in (judging if "judge_removal" in task.get("ansible.builtin.import_tasks", "") else [task])
        ]
        look["tasks"] = [task for task in tasks if task["name"] not in ASKED]
        # It is down: nothing answers.
        judge = next(task for task in look["tasks"] if task["name"] == "Judge the removal")
        judge["holdfast.ha.removal_plan"]["leaving"] = {"unreachable": True}
        work["tasks"] = [task for task in work["tasks"] if task["name"].startswith("Stop")]
        work["tasks"] += [
            {"name": "Plan", "ansible.builtin.debug": {"msg": "{{ remove__plan.etcd_runner | default('-') }}"}}
        ]
        given = next(iter(yaml.safe_load((PLAYBOOKS / f"{playbook}.yml").read_text()))).get("vars", {})
        (tmp_path / "tasks").symlink_to(PLAYBOOKS / "tasks")
        book = tmp_path / "book.yml"
        book.write_text(json.dumps([play | {"vars": play.get("vars", {}) | given} for play in (look, work)]))
        return run(inventory, book, "--check", *arguments)

    return start


def test_the_steps_of_a_removal_are_shown(verb):
    code, output = verb("remove_host", "-e", "remove=db3")
    assert code == 0, output
    assert "remove the member db3 from etcd" in output
    assert "db3 can't be reached: nothing is done there" in output
    assert '"msg": "db1"' in output


def test_a_host_that_is_gone_is_no_failure(verb):
    code, output = verb("remove_host", "-e", "remove=node7", etcd=(1, 2))
    assert code == 0, output
    assert "Nothing has node7 any more" in output


@pytest.mark.parametrize(
    ("playbook", "arguments", "expected"),
    [
        ("remove_host", [], "remove: is missing. Fix: add -e remove=HOST"),
        ("remove_host", ["-e", "remove=db1"], "take it out of these groups"),
        ("remove_host", ["-e", "remove=db9"], "is unknown; not in the inventory are db3"),
        ("remove_host", ["-e", "remove=db3", "-e", "remove_data=db2"], "remove_data = 'db2'"),
        ("replace_host", [], "give -e replace=OLD -e by=NEW"),
        ("replace_host", ["-e", "replace=db3"], "give -e replace=OLD -e by=NEW"),
        ("replace_host", ["-e", "replace=db3", "-e", "by=db2", "-e", "remove=db1"], "give -e replace=OLD -e by=NEW"),
        ("replace_host", ["-e", "replace=db3", "-e", "by=lb1"], "by = 'lb1': lacks parts of db3"),
        ("replace_host", ["-e", "replace=db3", "-e", "by=db9"], "is no host of the cluster a"),
    ],
)
def test_what_is_refused_touches_nothing(verb, playbook, arguments, expected):
    code, output = verb(playbook, *arguments)
    assert code != 0
    assert expected in output
    assert "Stop and disable" not in output


def test_a_replacement_names_the_host_that_joins(verb):
    code, output = verb("replace_host", "-e", "replace=db3", "-e", "by=db2")
    assert code == 0, output
    assert "; db2 joins" in output
