# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks as a user runs them, with Ansible's own configuration: what has no hosts fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
TOPOLOGY = "plugin: holdfast.ha.topology\nclusters: {a: {vips: nonsense}}\n"
GROUPS = {
    "holdfast": ["db1", "db2", "lb1"],
    "holdfast_postgresql": ["db1", "db2"],
    "holdfast_haproxy": ["lb1"],
    "holdfast_cluster_a": ["db1", "db2", "lb1"],
    "client": ["client1"],
}
SECRETS = {"haproxy_stats": "x" * 16}
CHILDREN = {name: {"hosts": dict.fromkeys(hosts)} for name, hosts in GROUPS.items()}


def run(inventory, playbook, *arguments):
    """Run a playbook; return its exit code and its output, white space joined."""
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", str(inventory), str(playbook), *arguments]
    settings = {
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_STRATEGY": "free",
    }
    environment = {name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"} | settings
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, cwd=inventory.parent, timeout=120
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def inventory(tmp_path):
    """Write an inventory with a cluster that exists by its groups only."""
    path = tmp_path / "hosts.yml"
    path.write_text(json.dumps({"all": {"children": CHILDREN}}))
    return path


@pytest.mark.parametrize("playbook", ["site", "status", "backup"])
def test_a_refused_topology_is_no_success(tmp_path, playbook):
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "hosts.yml").write_text(json.dumps({"all": {"children": {"postgresql": {"hosts": {"db1": {}}}}}}))
    (folder / "topology.ha.yml").write_text(TOPOLOGY)
    code, output = run(folder, ROOT / "playbooks" / f"{playbook}.yml")
    assert code == 4
    assert "clusters.a.vips = 'nonsense': is not a mapping" in output
    assert output.count("[ERROR]") == 1
    assert "Failed to parse" not in output


@pytest.mark.parametrize("text", ["", "clusters: {a: {}}\n"])
def test_a_topology_that_is_none_to_ansible_is_no_success(tmp_path, text):
    (tmp_path / "inventory").mkdir()
    path = tmp_path / "inventory" / "topology.ha.yml"
    path.write_text(text)
    code, output = run(path.parent, ROOT / "playbooks" / "status.yml")
    assert code != 0
    assert (
        f"{path}: declares no cluster to Ansible. Fix: begin it with the line 'plugin: holdfast.ha.topology'" in output
    )


@pytest.mark.parametrize(
    ("playbook", "arguments", "expected"),
    [
        ("site", ["--limit", "client1"], "--limit = 'client1': leaves none of db1, db2, lb1"),
        ("status", ["--limit", "client"], "--limit = 'client': leaves none of db1, db2, lb1"),
        ("switchover", ["--limit", "lb1", "--check"], "leaves none of db1, db2"),
        ("restore", ["--limit", "db1", "--check", "-e", "restore_confirm=a"], "leaves out db2"),
        ("restore", ["--tags", "none"], "restore_confirm: is missing; this inventory has a."),
        ("restore", ["-e", "restore_confirm=a", "-e", "restore_typ=time"], "did you mean 'restore_type'"),
        ("etcd_lost", ["--limit", "!db2", "-e", "etcd_lost_confirm=a"], "leaves out db2"),
        ("clone", ["-e", "clone_source=a", "-e", "clone_host=client1"], "clone_host = 'client1': names no host"),
        ("clone", ["-e", "clone_source=a", "-e", "clone_host=db1", "--limit", "db2"], "leaves none of db1"),
        ("drill", ["-e", "drill_cluster=b"], "drill_cluster = 'b': is no cluster; this inventory has a"),
        ("soak", ["--limit", "db1"], "leaves out db2, lb1"),
        ("explore", ["-e", "explore_kind=all"], "did you mean 'explore_kinds'"),
        ("secrets", ["--limit", "db1"], "leaves out the controller"),
    ],
)
def test_what_can_not_be_done_is_no_success(inventory, playbook, arguments, expected):
    code, output = run(inventory, ROOT / "playbooks" / f"{playbook}.yml", *arguments)
    assert code != 0
    assert expected in output
    assert "TASK" not in output


@pytest.mark.parametrize("option", ["--syntax-check", "--list-tasks", "--list-hosts"])
def test_a_playbook_can_be_listed_without_a_cluster(inventory, option):
    code, output = run(inventory, ROOT / "playbooks" / "clone.yml", option)
    assert code == 0, output


def test_a_playbook_of_ones_own_may_leave_a_part_without_hosts(inventory):
    book = inventory.parent / "mine.yml"
    book.write_text(json.dumps([{"import_playbook": "holdfast.ha.keepalived"}]))
    code, output = run(inventory, book, "--limit", "client1", "-e", "backup_server=x")
    assert (code, "no hosts matched" in output) == (0, True), output


@pytest.mark.parametrize(("due", "plays"), [("{{ 'a' in ['b'] }}", 0), ("{{ 'b' in ['b'] }}", 1), ("false", 0)])
def test_a_playbook_that_is_not_due_has_no_hosts(inventory, due, plays):
    hosts = "{{ lookup('holdfast.ha.targets', 'holdfast', playbook='keepalived') }}"
    shown = {"ansible.builtin.debug": {"msg": "a task"}}
    part = inventory.parent / "part.yml"
    part.write_text(json.dumps([{"hosts": hosts, "gather_facts": False, "tasks": [shown]}]))
    book = inventory.parent / "mine.yml"
    book.write_text(json.dumps([{"import_playbook": "part.yml", "vars": {"play__due": due}}]))
    code, output = run(inventory, book)
    assert (code, output.count("TASK")) == (0, plays), output


@pytest.mark.parametrize(
    ("imported", "arguments", "expected"),
    [
        ({"import_playbook": "holdfast.ha.drill", "vars": {"drill_planonly": True}}, [], "'drill_plan_only'"),
        ({"import_playbook": "holdfast.ha.drill"}, ["-e", "drill_plan_only"], "-e = 'drill_plan_only': has words"),
        (
            {"import_playbook": "holdfast.ha.drill"},
            ["-e", "drill_faults=switchover, primary_hang"],
            "-e = 'primary_hang'",
        ),
    ],
)
def test_what_a_playbook_of_ones_own_gives_is_judged(inventory, imported, arguments, expected):
    book = inventory.parent / "mine.yml"
    book.write_text(json.dumps([imported]))
    code, output = run(inventory, book, *arguments)
    assert code != 0
    assert "mine.yml is refused before Holdfast touches a host:" in output
    assert expected in output
    assert "TASK" not in output


def test_what_the_inventory_declares_as_foreign_is_so_on_the_command_line_and_back(tmp_path):
    folder = tmp_path / "inventory"
    folder.mkdir()
    hosts = {"db1": {"ansible_host": "192.0.2.1", "ha_foreign_variables": "status_board", "patroni_exporter_port": 1}}
    (folder / "hosts.yml").write_text(json.dumps({"all": {"children": {"haproxy": {"hosts": hosts}}}}))
    web = {"port": 80, "service": "web", "servers": [{"name": "web1", "address": "192.0.2.9", "port": 80}]}
    topology = {"plugin": "holdfast.ha.topology", "clusters": {"a": {"pools": {"web": web}}}}
    (folder / "topology.ha.yml").write_text(json.dumps(topology))
    book, extra = ROOT / "playbooks" / "etcd.yml", {"ha_secrets": SECRETS, "status_board": "x", "status_room": "x"}
    _code, output = run(folder, book, "-e", json.dumps(extra))
    assert "patroni_exporter_port: is not a variable of the role patroni" in output
    _code, output = run(folder, book, "-e", json.dumps(extra | {"ha_foreign_variables": ["patroni_exporter_*"]}))
    assert "patroni_exporter_port" not in output
    assert "status_room: is an unknown variable" in output
    assert "status_board: " not in output


@pytest.mark.parametrize("playbook", ["site", "postgresql", "status"])
def test_starting_at_a_task_is_refused_by_name(inventory, playbook):
    code, output = run(
        inventory, ROOT / "playbooks" / f"{playbook}.yml", "--start-at-task", "Configure and run Patroni"
    )
    assert code != 0
    assert "--start-at-task = 'Configure and run Patroni': skips what the tasks after it rest on" in output
    assert "has no attribute" not in output
