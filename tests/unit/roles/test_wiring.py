# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles of optional services lay down, what these read, and what is removed where they are absent."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.derive import TLS
from lease_watcher.__main__ import build
from lease_watcher.core import Rules

from tests.unit.roles import render

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles" / "lease_watcher"
POOLER = {"pgbouncer_address": "198.51.100.11", "pgbouncer_password": 'a "quoted" one'}
INPUTS = {"lease_watcher_seconds": 8, "lease_watcher_scope": "lab", "lease_watcher_password": 'a "quoted" one'}


def evaluate(folder: Path, role: str, expression: str, variables: dict[str, object]) -> object:
    """Evaluate an expression as a task of the role would."""
    target = folder / "evaluated.json"
    files = [str(ROOT / "roles" / role / part / "main.yml") for part in ("defaults", "vars")]
    merged = {**yaml.safe_load(Path(files[0]).read_text()), **yaml.safe_load(Path(files[1]).read_text()), **variables}
    merged["ansible_python_interpreter"] = sys.executable
    copy = {"dest": str(target), "content": f"{{{{ {expression} | to_json }}}}", "mode": "0600"}
    task = {"name": "Evaluate", "ansible.builtin.copy": copy}
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": merged, "tasks": [task]}]
    book = folder / "play.yml"
    book.write_text(json.dumps(play))
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", "localhost,", str(book)]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"), "ANSIBLE_NOCOLOR": "true"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(target.read_text())


@pytest.mark.parametrize(
    ("variables", "fencing_after"),
    [({}, None), ({"lease_watcher_fencing_command": ["off?", "{member}"], "lease_watcher_fencing_after": 3}, 3)],
)
def test_the_service_takes_what_the_role_writes(tmp_path, variables, fencing_after):
    settings = evaluate(tmp_path, "lease_watcher", "lease_watcher__settings", {**INPUTS, **variables})
    assert build(settings).rules == Rules(seconds=8, stall=1.5, interval=0.5, fencing_after=fencing_after)
    assert settings["access"]["password"] == INPUTS["lease_watcher_password"]
    assert settings["prefix"] == "/service/lab/"


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({}, []),
        ({"lease_watcher_seconds": 1}, ["lease_watcher_seconds = 1"]),
        ({"lease_watcher_stall": 0.5}, ["lease_watcher_stall = 0.5"]),
        ({"lease_watcher_interval": 0}, ["lease_watcher_interval = 0"]),
    ],
)
def test_the_role_refuses_what_could_not_watch(tmp_path, variables, named):
    errors = evaluate(tmp_path, "lease_watcher", "lease_watcher__errors", {**INPUTS, **variables})
    assert [error.partition(":")[0] for error in errors] == named


@pytest.mark.parametrize("role", ["lease_watcher", "pgbouncer"])
def test_an_absent_service_leaves_no_file(role):
    tasks = yaml.safe_load((ROOT / "roles" / role / "tasks" / "configure.yml").read_text())
    present, absent = (task["holdfast.ha.component"] for task in tasks if "holdfast.ha.component" in task)
    (unit,) = render.evaluate(role, absent["units"], {})
    removed = set(render.evaluate(role, absent["absent"], {}))
    placed = render.evaluate(role, [item["path"] for item in present["files"]], {})
    assert [path for path in placed if not {path, str(Path(path).parent)} & removed] == []
    assert {f"/etc/systemd/system/{wants}{unit['name']}" for wants in ("", "multi-user.target.wants/")} <= removed
    assert (unit["state"], unit["enabled"]) == ("stopped", False)


def test_certificates_are_where_the_topology_says():
    places = {}
    for path in (ROOT / "roles").glob("*/defaults/main.yml"):
        for name in yaml.safe_load(path.read_text()):
            if name.endswith(("_tls_directory", "_tls_ca", "certificates_directory")):
                places[name] = render.evaluate(path.parts[-3], "{{ " + name + " }}", {})
    assert {places["certificates_directory"], places["etcd_tls_directory"]} == {TLS["directory"]}
    assert {name: place for name, place in places.items() if place not in (TLS["directory"], TLS["ca"])} == {}


def test_roles_read_no_other_host():
    """What a role needs of other hosts is passed by the playbook, so that it serves other playbooks too."""
    parts = ("defaults", "vars", "tasks", "templates")
    files = [file for part in parts for file in (ROOT / "roles").glob(f"*/{part}/**/*") if file.is_file()]
    readers = [str(file) for file in files if re.search(r"\b(hostvars|groups)\b\s*[\[.|)]", file.read_text())]
    assert readers == []


def test_the_role_lays_down_every_module():
    tasks = yaml.safe_load((ROLE / "tasks" / "configure.yml").read_text())
    files = tasks[1]["holdfast.ha.component"]["files"]
    there = {path.name for path in (ROLE / "files" / "lease_watcher").glob("*.py")}
    assert {Path(item["path"]).name for item in files if item["path"].endswith(".py")} == there
    variables = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    assert {f"{name}.py" for name in variables["lease_watcher__modules"]} == there


@pytest.mark.parametrize(
    ("version", "unknown"),
    [
        ("1.18.0", {"auth_dbname", "max_prepared_statements"}),
        ("1.19.0", {"max_prepared_statements"}),
        ("1.24.1", set()),
    ],
)
def test_a_pooler_is_told_what_its_version_knows(tmp_path, version, unknown):
    settings = evaluate(tmp_path, "pgbouncer", "pgbouncer__settings", {**POOLER, "pgbouncer_version": version})
    assert {"auth_dbname", "max_prepared_statements"} - settings.keys() == unknown


def test_a_users_settings_of_the_pooler_win(tmp_path):
    own = {"pgbouncer_settings": {"server_login_retry": 5, "so_reuseport": 1}}
    settings = evaluate(tmp_path, "pgbouncer", "pgbouncer__settings", {**POOLER, **own})
    assert (settings["server_login_retry"], settings["so_reuseport"], settings["pool_mode"]) == (5, 1, "transaction")


def test_playbooks_read_no_role_s_internal_variable():
    named = {role.name: "".join(path.read_text() for path in role.rglob("*.[yj]*")) for role in ROOT.glob("roles/*")}
    internal = {word for role, text in named.items() for word in re.findall(rf"\b{role}__\w+", text)}
    assert "etcd__environment" in internal
    plays = [path for folder in ("playbooks", "lab", "molecule") for path in (ROOT / folder).rglob("*.yml")]
    found = {f"{path.name}: {word}" for path in plays for word in re.findall(r"\b\w+__\w+", path.read_text())}
    assert {one for one in found if one.partition(": ")[2] in internal} == set()
