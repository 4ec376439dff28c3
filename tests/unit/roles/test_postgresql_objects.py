# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role makes of the declared objects, by the databases that exist."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml

from tests.unit.roles.test_wiring import ROOT, evaluate

ROLES = [{"name": "app"}, {"name": "old", "state": "absent"}, {"name": "kept", "state": "present"}]
DATABASES = [{"name": "app"}, {"name": "fresh", "state": "present"}, {"name": "gone", "state": "absent"}]
INPUTS = {
    "postgresql_objects__predicting": True,
    "postgresql_objects_roles": ROLES,
    "postgresql_objects_databases": DATABASES,
    "postgresql_objects_extensions": [{"name": "citext", "database": "fresh"}, {"name": "citext", "database": "app"}],
    "postgresql_objects_privileges": [{"roles": "app", "database": "fresh"}],
    "postgresql_objects__found": {"databases": {"app": {}, "gone": {}}},
}


PARTS = ("kept_roles | map(attribute='name')", "removed_roles", "unconfirmed", "coming", "predicted")
LIST = f"[{', '.join(f'postgresql_objects__{part}' for part in PARTS)}]"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [["app", "kept"], ["old"], ["gone"], ["fresh"], ["extension citext", "privileges of app"]]),
        (
            {"postgresql_objects_drop": "other,gone", "postgresql_objects__predicting": False},
            [["app", "kept"], ["old"], [], [], []],
        ),
    ],
)
def test_what_follows_from_the_declared_objects(tmp_path, changes, expected):
    assert evaluate(tmp_path, "postgresql_objects", LIST, INPUTS | changes) == expected


def expression_of(task_name: str, option: str) -> str:
    """An option of a module in the role's tasks, without its braces."""
    [block] = yaml.safe_load((ROOT / "roles/postgresql_objects/tasks/objects.yml").read_text(encoding="utf-8"))
    [task] = [task for task in block["block"] if task["name"].startswith(task_name)]
    [module] = [value for key, value in task.items() if key.startswith("community.postgresql.")]
    return module[option].strip().removeprefix("{{").removesuffix("}}")


@pytest.mark.parametrize(
    ("database", "template"),
    [
        ({"encoding": "LATIN1"}, "template0"),
        ({"locale": "C"}, "template0"),
        ({"locale": "C", "template": "mine"}, "mine"),
        ({}, "left to PostgreSQL"),
    ],
)
def test_a_database_of_its_own_encoding_or_locale_is_a_copy_of_template0(tmp_path, database, template):
    inputs = INPUTS | {"database": database, "left": "left to PostgreSQL"}
    expression = expression_of("Declare databases", "template").replace("omit", "left")
    assert evaluate(tmp_path, "postgresql_objects", f"({expression})", inputs) == template


@pytest.mark.parametrize(("flags", "given"), [("nologin", "nologin"), ("CREATEDB", "LOGIN,CREATEDB"), (None, "LOGIN")])
def test_a_role_may_log_in_unless_it_may_not(tmp_path, flags, given):
    inputs = INPUTS | {"role": {"flags": flags} if flags else {}}
    expression = expression_of("Declare roles", "role_attr_flags")
    assert evaluate(tmp_path, "postgresql_objects", f"({expression})", inputs) == given


def test_a_dry_run_on_a_bare_host_succeeds(tmp_path):
    """Without a server, and without Python's driver, all that is declared is predicted."""
    wanted = {
        "hosts": ["127.0.0.1"],
        "port": 1,
        "login_password": "-",
        "roles": [{"name": "app"}],
        "databases": [{"name": "app", "owner": "app"}],
        "extensions": [{"name": "citext", "database": "app"}],
        "privileges": [{"roles": "app", "database": "app", "type": "database", "privs": "CONNECT"}],
        "statements": [{"name": "lookup", "databases": ["postgres"], "unless": "SELECT 1", "query": "SELECT 1"}],
    }
    variables = {f"postgresql_objects_{name}": value for name, value in wanted.items()}
    role = {"name": "holdfast.ha.postgresql_objects", "tasks_from": "configure", "rolespec_validate": False}
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables}
    book = tmp_path / "play.yml"
    book.write_text(json.dumps([play | {"tasks": [{"name": "Declare", "ansible.builtin.import_role": role}]}]))
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", "localhost,", "--check", str(book)]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"), "ANSIBLE_NOCOLOR": "true"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "extension citext" in done.stdout
