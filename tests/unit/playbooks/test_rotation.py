# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rotate_passwords.yml on a cluster whose modules only write a log: what reaches which host, and in which order."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.deployed import Verdict
from ansible_collections.holdfast.ha.plugins.plugin_utils.rotation.plan import KNOWN, plan, states_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.build import build
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import ROLES
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import load_roles

from tests.unit.playbooks.test_degraded import plays
from tests.unit.playbooks.test_targets import ROOT
from tests.unit.plugins.plugin_utils.conftest import changed_document, inventory

CHANGED = Verdict(stored=False, accepted=False, standin=False)
AFTER = Verdict(stored=True, accepted=True, standin=True)
ROLE = "ha_role_passwords.app"
ONE_WORKER = pytest.mark.xdist_group("rotation")
"""Tests of one run of the playbook."""
EVERYTHING = dict.fromkeys((*KNOWN, ROLE), CHANGED)
LOG = """
import json
from ansible.plugins.action import ActionBase

ANSWERS = {
    "backup_jobs_info": {"jobs": [{"name": "etcd", "running": False}]},
    "cluster_status": {"healthy": True, "clusters": {}},
    "deployed_info": {"unsettled": []},
    "evidence": {"directory": "/nowhere"},
    "packages_info": {"versions": {}},
}

class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        name = self._task.action.rpartition(".")[2]
        note(task_vars, name, self._task.args)
        leads = task_vars["inventory_hostname"] == "db2" and task_vars.get("rotation__step") != task_vars.get("demoted")
        more = {"primary": leads} if name == "postgresql_logins" else {}
        return {"changed": True, **ANSWERS.get(name, {}), **more}

def note(variables, name, arguments):
    with open(variables["log"], "a") as log:
        log.write(json.dumps([variables["inventory_hostname"], name, arguments], default=str) + "\\n")
"""
COMPONENT = """
import importlib.util

spec = importlib.util.spec_from_file_location("real_component", {path!r})
real = importlib.util.module_from_spec(spec)
spec.loader.exec_module(real)

class ActionModule(real.ActionModule):
    def _execute_module(self, module_args=None, task_vars=None, **more):
        note(task_vars, "component", module_args)
        return {{"changed": True, "stale": []}}
"""
SYSTEMCTL = """#!/bin/sh
case "$*" in
    *show*) printf 'Id=patroni.service\\nLoadState=loaded\\nActiveState=active\\nSubState=running\\n' ;;
    *) echo "$*" >>{log} ;;
esac
"""
LOGGED = (
    *("etcd_cluster", "postgresql_logins", "pooler_login", "patroni_cluster", "postgresql_check", "packages_info"),
    *("rolling_lock", "evidence", "gather", "cluster_status", "backup_jobs_info", "deployed_info"),
)


def made(folder):
    """Make the collection in a folder, with modules that only write a log."""
    home = folder / "ansible_collections/holdfast/ha"
    (home / "plugins/action").mkdir(parents=True)
    for part in ("roles", "meta", "galaxy.yml"):
        (home / part).symlink_to(ROOT / part)
    for part in (ROOT / "plugins").iterdir():
        if part.name != "action":
            (home / "plugins" / part.name).symlink_to(part)
    for path in (ROOT / "plugins/action").glob("*.py"):
        (home / "plugins/action" / path.name).symlink_to(path)
    for name in LOGGED:
        (home / f"plugins/action/{name}.py").unlink(missing_ok=True)
        (home / f"plugins/action/{name}.py").write_text(LOG)
    (home / "plugins/action/component.py").unlink()
    real = str(ROOT / "plugins/action/component.py")
    (home / "plugins/action/component.py").write_text(LOG + COMPONENT.format(path=real))
    (folder / "bin").mkdir()
    (folder / "bin/systemctl").write_text(SYSTEMCTL.format(log=folder / "systemctl"))
    (folder / "bin/systemctl").chmod(0o755)
    return folder


@pytest.fixture
def rotate(tmp_path):
    """Return what runs the playbook, and reads the log."""
    return runner(made(tmp_path))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Rotate everything once; return the log, and the commands of systemctl."""
    folder = made(tmp_path_factory.mktemp("whole"))
    lines = runner(folder)(EVERYTHING, names=(*KNOWN, ROLE))
    return lines, (folder / "systemctl").read_text().splitlines()


def hosts_of(topology, verdicts, names, former):
    """Return the variables of every host, of which a rotation is planned."""
    values = {name: f"new of {name}" for name in KNOWN} | {"pgbackrest_cipher": "the same"}
    common = {
        "ansible_connection": "local",
        "ha_secrets": values,
        "ha_role_passwords": {"app": "new of app"},
        "preflight_report": {
            "moves": {"lab": plan(states_of([verdicts])).as_data()},
            "present": list(topology.hosts),
            "postgresql": dict.fromkeys(topology.hosts, "17"),
        },
        "patroni_memory_mb": 2048,
        "patroni_version": "4.0",
    }
    common |= {"rotation_plan": {"names": list(names)}} if names else {}
    if former:
        common |= {"ha_secrets_previous": {"etcd_root": "old root"}, "ha_role_passwords_previous": {"app": "old"}}
    hosts = {name: {**common, "ha": ha} for name, ha in topology.hosts.items()}
    for name in ("db1", "db2"):
        hosts[name]["backup_jobs"] = [{"name": "etcd", "kind": "etcd_snapshot", "schedule": "hourly"}]
    return hosts


def runner(collections):
    """Return what runs the playbook with the collection in a folder, and reads the log."""
    log = collections / "log"

    def run(verdicts, *arguments, names=("etcd_patroni",), former=True, code=0):
        case = {"cluster": {"pooler": True, "lease_watch": 8}}
        topology = build(changed_document(case), inventory(case), load_roles(ROOT, ROLES))
        children = {name: {"hosts": dict.fromkeys(members)} for name, members in topology.groups.items()}
        children["holdfast"] |= {"hosts": hosts_of(topology, verdicts, names, former), "vars": {"log": str(log)}}
        path = collections / "hosts.yml"
        path.write_text(json.dumps({"all": {"children": children}}))
        # There are no hostvars before the first play.
        first = collections / "first.yml"
        first.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": []}]))
        command = [sys.executable, "-m", "ansible.cli.playbook", "-i", str(path), *arguments, str(first)]
        environment = {name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"}
        environment |= {"ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_NOCOLOR": "true"}
        environment["PATH"] = f"{collections / 'bin'}:{environment['PATH']}"
        done = subprocess.run(
            [*command, str(ROOT / "playbooks/rotate_passwords.yml")],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
            cwd=collections,
        )
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        assert done.returncode == code, done.stdout[-6000:] + done.stderr[-3000:]
        return lines

    return run


def of(lines, name):
    """Return host and arguments of each call of a module."""
    return [(host, arguments) for host, module, arguments in lines if module == name]


def written(lines, path):
    """Return host and content each time that a file was written."""
    calls = of(lines, "component")
    contents = ((host, item["path"], item.get("content", "")) for host, call in calls for item in call.get("files", ()))
    secret = ((host, at, text) for host, call in calls for at, text in (call.get("secrets") or {}).items())
    return [(host, text) for host, at, text in (*contents, *secret) if at == path and text]


@ONE_WORKER
def test_everything_at_once(whole):
    lines, _commands = whole
    etcd = [arguments for host, arguments in of(lines, "etcd_cluster") if host == "db1"]
    assert len(etcd) == len(of(lines, "etcd_cluster")) == 3
    opened, changed, withdrawn = etcd
    assert [user["name"] for user in opened["users"]] == ["root_next", "patroni_next", "lease_watcher_next"]
    assert (opened["root_password"], changed["former_root_password"]) == ("old root", "old root")
    assert changed["root_password"] == withdrawn["root_password"] == "new of etcd_root"
    assert [user["name"] for user in changed["users"]] == ["patroni", "lease_watcher"]
    assert opened["passwords"]["patroni_next"] == changed["passwords"]["patroni"] == "new of etcd_patroni"
    assert withdrawn["absent_users"] == ["root_next", "patroni_next", "lease_watcher_next"]

    roles = [
        arguments for host, arguments in of(lines, "postgresql_logins") if host == "db2" and "upstream" not in arguments
    ]
    assert [[role["name"] for role in call.get("roles", [])] for call in roles] == [
        ["replicator_next", "rewinder_next", "pgbouncer_next"],
        ["replicator", "rewinder", "postgres", "pgbouncer", "app"],
        [],
    ]
    assert roles[1]["passwords"]["app"] == "new of app"
    assert roles[2]["absent"] == ["replicator_next", "rewinder_next", "pgbouncer_next"]


@ONE_WORKER
def test_services_log_in_as_stand_ins_and_then_as_themselves(whole):
    lines, _commands = whole
    members = [
        (host, ["_next" in text, "new of etcd_patroni" in text])
        for host, text in written(lines, "/etc/patroni/config.yml")
    ]
    # The primary first, and one after the other.
    assert members == [
        *((host, [True, True]) for host in ("db2", "db1", "db3")),
        *((host, [False, True]) for host in ("db2", "db1", "db3")),
    ]
    first = written(lines, "/etc/patroni/config.yml")[0][1]
    assert [first.count(f'"{name}_next"') for name in ("patroni", "replicator", "rewinder", "postgres")] == [1, 1, 1, 0]
    upstreams = [
        arguments["upstream"] for _host, arguments in of(lines, "postgresql_logins") if "upstream" in arguments
    ]
    assert upstreams == ["replicator_next"] * 3 + ["replicator"] * 3
    hba = written(lines, "/etc/patroni/pg_hba.conf")[0][1]
    assert "hostssl replication replicator,replicator_next 198.51.100.11/32 scram-sha-256" in hba
    watchers = [
        json.loads(text)["access"]["username"] for _host, text in written(lines, "/etc/holdfast/lease-watcher.json")
    ]
    assert watchers == ["lease_watcher_next"] * 3 + ["lease_watcher"] * 3
    poolers = ["auth_user=pgbouncer_next" in text for _host, text in written(lines, "/etc/holdfast/pgbouncer.ini")]
    assert poolers == [True] * 3 + [False] * 3
    users = written(lines, "/etc/holdfast/pgbouncer-users.txt")[0][1]
    assert [line.split()[0] for line in users.splitlines()] == ['"pgbouncer_next"', '"pgbouncer"', '"holdfast"']
    jobs = [json.loads(text)["settings"]["username"] for _host, text in written(lines, "/etc/holdfast/jobs/etcd.json")]
    assert jobs == ["root_next"] * 2 + ["root"] * 2


@ONE_WORKER
def test_the_steps_come_in_their_order(whole):
    lines, commands = whole
    assert commands == ["reload patroni.service"] * 6
    names = [name for _host, name, _arguments in lines]
    places = [index for index, name in enumerate(names) if name == "etcd_cluster"]
    files = [index for index, name in enumerate(names) if name == "component"]
    opened, changed, withdrawn = places
    assert opened < min(files)
    assert max(files) < withdrawn
    assert not [index for index in files if changed - 1 <= index <= changed + 1]
    learned = names.index("pooler_login", changed)
    assert names[changed + 1 : learned] == ["postgresql_logins"] * 3
    assert of(lines, "pooler_login")[-1][1]["passwords"] in ({"app": "new of app"}, {})
    edges = [(call["text"], call["edge"]) for _host, call in of(lines, "evidence") if call.get("state") == "mark"]
    steps = ("open", "move", "change", "settle", "withdraw", "prove")
    assert edges == [(step, edge) for step in steps for edge in ("begin", "end")]
    assert names[0] == "rolling_lock"
    # It waits for jobs of etcd's twice.
    assert min(call["seconds"] for _host, call in of(lines, "rolling_lock") if call["state"] == "held") > 2 * 3600
    assert {call["state"] for _host, call in of(lines, "rolling_lock")[-6:]} == {"released"}


def test_a_run_goes_on_where_another_was_killed(rotate):
    """After the change no service logs in as a stand-in again."""
    lines = rotate({"etcd_patroni": AFTER, "pgbouncer": AFTER})
    assert not [text for _host, text in written(lines, "/etc/patroni/config.yml") if "_next" in text]
    assert len(written(lines, "/etc/patroni/config.yml")) == 3
    (gone,) = of(lines, "etcd_cluster")
    assert gone[1]["absent_users"] == ["patroni_next"]
    assert of(lines, "postgresql_logins")[-1][1]["absent"] == ["pgbouncer_next"]


@pytest.mark.parametrize("step", ["open", "change", "withdraw"])
def test_a_step_without_a_primary_ends_the_run(rotate, step):
    """Otherwise services would be given a password that their login has not."""
    lines = rotate(EVERYTHING, "-e", f"demoted={step}", names=(*KNOWN, ROLE), code=2)
    edges = [(call["text"], call["edge"]) for _host, call in of(lines, "evidence") if call.get("state") == "mark"]
    assert edges[-1] == (step, "begin")
    assert of(lines, "rolling_lock")[-1][1]["state"] == "released"


def test_a_role_s_password_touches_no_service(rotate):
    lines = rotate({ROLE: CHANGED}, names=(ROLE,))
    assert of(lines, "component") == []
    changed = [call for host, call in of(lines, "postgresql_logins") if host == "db2" and call.get("roles")]
    assert [call["roles"] for call in changed] == [[{"name": "app"}]]
    learned = sorted((host, call["passwords"]["app"]) for host, call in of(lines, "pooler_login"))
    assert learned == [(host, "new of app") for host in ("db1", "db1", "db2", "db2", "db3", "db3")]


def test_site_yml_has_nothing_to_do_where_no_login_changed(rotate):
    assert (
        rotate({"patroni_rest": Verdict(stored=False), "haproxy_stats": Verdict(stored=False)}, names=(), former=False)
        == []
    )


def test_site_yml_moves_a_changed_login_without_evidence(rotate):
    lines = rotate({"etcd_patroni": CHANGED}, names=(), former=False)
    assert len(of(lines, "etcd_cluster")) == 3
    assert of(lines, "evidence") == of(lines, "gather") == []
    assert [call["root_password"] for _host, call in of(lines, "etcd_cluster")] == ["new of etcd_root"] * 3


def test_site_yml_moves_before_a_part_writes_a_password():
    books = [play["import_playbook"] for play in plays("site") if "import_playbook" in play]
    moves = books.index("rotate_passwords.yml")
    writers = ("etcd", "postgresql", "lease_watcher", "haproxy", "pgbouncer", "backup_jobs")
    assert books.index("preflight.yml") < moves < min(books.index(f"{name}.yml") for name in writers)


def test_check_mode_changes_nothing(rotate):
    lines = rotate(EVERYTHING, "--check", names=(*KNOWN, ROLE))
    assert {name for _host, name, _arguments in lines} <= {"rolling_lock", "evidence"}
