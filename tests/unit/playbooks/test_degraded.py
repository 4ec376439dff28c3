# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""site.yml with hosts that are down: its own plays around one that stands for all the work between them."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.unit.playbooks.test_targets import ROOT, run

NAMES = ("db1", "db2", "db3", "lb1")
MEMBERS = [{"name": name, "address": f"192.0.2.{number}"} for number, name in enumerate(NAMES[:3], 1)]
STORE = {"name": "x", "data_directory": "/d", "wal_directory": "/d/member/wal", "client_url": "", "peer_url": ""}
DATA = {"data_directory": "/d", "version": "17", "archive_command": "push %p"}
DEPLOYED = {"patroni": None, "pgbackrest": None, "patroni_members": None, "secrets": {}, "system": ""}
DEPLOYED |= {"vrrp_peers": [], "taken": {}, "kept": {}, "emptied": [], "trusted": "", "keeps": None}
DOWN = {"down": True, "msg": "Task failed: No route to host"}


def plays(name):
    return yaml.safe_load((ROOT / "playbooks" / f"{name}.yml").read_text())


def host(name, down, bare, marked=()):
    """Return the variables of a host as the plays before have left them."""
    ha = {"cluster": "a", "name": name, "address": "192.0.2.1", "components": ["haproxy"], "backup": None}
    ha |= {
        "etcd": {"members": MEMBERS, "peer_port": 2380},
        "postgresql": {"members": MEMBERS, "scope": "a", "version": ""},
    }
    found = DEPLOYED | {"components": [] if bare else ["haproxy"], "etcd": None, "postgresql": None}
    if name.startswith("db") and not bare:
        serves = len({*NAMES[:3]} - {*down}) > 1
        found |= {"etcd": STORE | {"members": {} if serves else None}, "postgresql": DATA}
    marks = [{"host": one, "since": "2030", "reason": "disk", "by": "ann"} for one in marked]
    seen = {"preflight_host": {"findings": []}, "deployed_host": {"deployed": found}}
    seen["deployed_host"]["marks"] = marks
    return {"ansible_connection": "local", "ha": ha, **({"preflight_host": DOWN} if name in down else seen)}


@pytest.fixture
def site(tmp_path):
    """Return what runs it with some hosts down, and with what the roles tell of a member left."""

    def start(*arguments, down=(), bare=False, left=None, marked=()):
        groups = {
            "holdfast": NAMES,
            "holdfast_postgresql": NAMES[:3],
            "holdfast_etcd": NAMES[:3],
            "holdfast_haproxy": NAMES[3:],
            "holdfast_cluster_a": NAMES,
        }
        inventory = tmp_path / "hosts.yml"
        children = {name: {"hosts": dict.fromkeys(hosts)} for name, hosts in groups.items()}
        children["holdfast"] = {"hosts": {name: host(name, down, bare, marked) for name in NAMES}}
        inventory.write_text(json.dumps({"all": {"children": children}}))
        look = plays("preflight")[0]
        look["tasks"] = [task for task in look["tasks"] if "register" not in task or "run_once" in task]
        look["tasks"][0]["holdfast.ha.preflight_report"] = {"part": True}
        coordinator = plays("etcd")[1]["tasks"][0]["vars"]["etcd_coordinator"].strip("{} ")
        wait = {"debug": {"msg": "awaits {{ preflight_present | join(',') }}"}, "when": coordinator}
        tell = {"set_fact": {"etcd_cluster_result": {"left": left or []}}, "when": coordinator}
        work = {
            "hosts": "{{ lookup('holdfast.ha.targets', 'holdfast_etcd', playbook='etcd') }}",
            "gather_facts": False,
            "vars_files": [str(ROOT / "playbooks" / "vars" / "run.yml")],
            "tasks": [wait, tell],
        }
        book = tmp_path / "book.yml"
        last = plays("site")[-1]
        last["vars_files"] = [str(ROOT / "playbooks" / name) for name in last["vars_files"]]
        last["tasks"][2:] = [{"import_tasks": str(ROOT / "playbooks" / "tasks" / "left.yml")}]
        book.write_text(json.dumps([look, work, last]))
        return run(inventory, book, *arguments)

    return start


def test_nothing_is_left_where_all_are_there(site):
    code, output = site()
    assert code == 0, output
    assert 'ok: [db1] => { "msg": "awaits db1,db2,db3,lb1" }' in output


@pytest.mark.parametrize(
    ("down", "coordinator", "present"),
    [
        (["db3"], "db1", "db1,db2,lb1"),
        (["db1"], "db2", "db2,db3,lb1"),
        (["lb1"], "db1", "db1,db2,db3"),
        (["db3", "lb1"], "db1", "db1,db2"),
    ],
)
def test_the_others_are_worked_on_and_what_is_down_is_told(site, down, coordinator, present):
    code, output = site(down=down)
    assert code == 2, output
    assert f'ok: [{coordinator}] => {{ "msg": "awaits {present}" }}' in output
    told, _recap, recap = output.partition("PLAY RECAP")
    assert f"All but {', '.join(down)}: down." in told
    assert all(f"{name} is down, so nothing is done there: No route to host" in told for name in down)
    for name in NAMES:
        assert f"failed={int(name in down)}" in recap.split(f"{name} ")[1]


@pytest.mark.parametrize(
    ("down", "bare", "why"),
    [
        (["db2", "db3"], False, "quorum is 2 of 3 members, of which 1 with data"),
        (["db3"], True, "nothing is deployed yet"),
        (["lb1"], True, "nothing is deployed yet"),
        (NAMES, False, "nothing is deployed yet"),
    ],
)
def test_nothing_is_touched_without_a_cluster_that_others_carry(site, down, bare, why):
    code, output = site(down=down, bare=bare)
    assert code == 2, output
    assert "No route to host → check ansible_host, the SSH key and that the host is up" in output
    assert why in output
    assert "awaits" not in output


@pytest.mark.parametrize(
    ("marked", "down", "coordinator", "present"),
    [
        (["db3"], [], "db1", "db1,db2,lb1"),
        (["db1"], ["db1"], "db2", "db2,db3,lb1"),
        (["db2", "lb1"], ["lb1"], "db1", "db1,db3"),
    ],
)
def test_a_host_in_maintenance_is_left_out_without_a_failure(site, marked, down, coordinator, present):
    code, output = site(marked=marked, down=down, left=marked)
    assert code == 0, output
    assert f'ok: [{coordinator}] => {{ "msg": "awaits {present}" }}' in output
    told, _recap, recap = output.partition("PLAY RECAP")
    assert "maintenance in maintenance since 2030 by ann: disk → left out; back: playbooks/maintenance.yml" in told
    assert f"All but {', '.join(marked)}: in maintenance." in told
    assert "is down" not in told
    for name in NAMES:
        assert "failed=0" in recap.split(f"{name} ")[1]


def test_a_host_that_is_down_beside_one_in_maintenance_may_cost_the_quorum(site):
    code, output = site(marked=["db2"], down=["db2", "db3"])
    assert code == 2, output
    assert "quorum is 2 of 3 members, of which 1 with data" in output


@pytest.mark.parametrize(("limit", "coordinator"), [("!db3", "db1"), ("!db1", "db2")])
def test_a_limit_leaves_a_coordinator(site, limit, coordinator):
    out = limit[1:]
    code, output = site("--limit", limit)
    assert code == 0, output
    present = ",".join(name for name in NAMES if name != out)
    assert f'ok: [{coordinator}] => {{ "msg": "awaits {present}" }}' in output

    code, output = site("--limit", limit, left=[out])
    assert code == 2, output
    assert f"Left: {out}, which does not answer and which --limit leaves out." in output


def test_a_host_that_ssh_does_not_reach_is_down(tmp_path):
    variables = host("db1", (), bare=True) | {"ansible_connection": "ssh", "ansible_host": "127.0.0.1"}
    del variables["preflight_host"], variables["deployed_host"]
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(json.dumps({"all": {"children": {"holdfast": {"hosts": {"db1": variables}}}}}))
    ask = {"holdfast.ha.host_preflight": {"address": "192.0.2.1"}, "register": "preflight_host"}
    tell = {"holdfast.ha.preflight_report": {"part": True}, "run_once": True}
    book = tmp_path / "book.yml"
    book.write_text(json.dumps([{"hosts": "holdfast", "gather_facts": False, "tasks": [ask, tell]}]))
    code, output = run(inventory, book, "-e", "ansible_port=1")
    assert code == 2, output
    assert "nothing can be done in a before it is up: nothing is deployed yet" in output
