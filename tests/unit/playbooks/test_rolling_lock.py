# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tasks/rolling_lock.yml on three hosts whose locks are lines of a log: who is refused, holds nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.unit.playbooks.test_targets import ROOT

PLUGINS = {
    "action/rolling_lock.py": """
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        host, state, patience = task_vars["inventory_hostname"], *map(self._task.args.get, ("state", "patience"))
        with open(task_vars["log"], "a") as log:
            log.write(f"{host} {state} {patience}\\n")
        return {"failed": state == "held" and host == task_vars["refused"]}
""",
    "modules/rolling_lock.py": "",
    "lookup/option.py": """
from ansible.plugins.lookup import LookupBase

class LookupModule(LookupBase):
    def run(self, terms, variables=None, **options):
        return [300.0]
""",
}


@pytest.fixture
def collections(tmp_path):
    """A collection of that name whose locks only write a log."""
    for name, content in PLUGINS.items():
        path = tmp_path / "ansible_collections/holdfast/ha/plugins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


@pytest.mark.parametrize(
    ("refused", "locked", "held", "released"),
    [
        ("", "abc", ["a held 300", "a held 10", "b held 10", "c held 10"], []),
        ("b", "abc", ["a held 300", "a held 10", "b held 10", "c held 10"], ["a", "b", "c"]),
        ("a", "abc", ["a held 300"], ["a", "b", "c"]),
        ("c", "bc", ["b held 300", "b held 10", "c held 10"], ["b", "c"]),
        ("a", "bc", ["b held 300", "b held 10", "c held 10"], []),
    ],
)
def test_a_run_that_is_refused_lets_go_of_what_it_has(collections, refused, locked, held, released):
    log = collections / "log"
    own = {"ansible_connection": "local", "log": str(log), "refused": refused}
    inventory = collections / "hosts.yml"
    inventory.write_text(json.dumps({"all": {"hosts": dict.fromkeys("abc", own)}}))
    include = {"ansible.builtin.include_tasks": str(ROOT / "playbooks/tasks/rolling_lock.yml")}
    variables = {"rolling__locks": "update.yml", "rolling__locked": list(locked)}
    book = collections / "book.yml"
    book.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [{**include, "vars": variables}]}]))
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", str(inventory), str(book)]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_NOCOLOR": "true"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=collections)
    lines = [line.removesuffix(".0") for line in log.read_text().splitlines()]
    assert (done.returncode != 0) is bool(released), done.stdout + done.stderr
    assert [line for line in lines if " held " in line][:1] == held[:1]
    assert sorted(line for line in lines if " held " in line) == sorted(held)
    assert sorted(line.split()[0] for line in lines if " released " in line) == released
    assert ("Another run works on the cluster" in done.stdout) is bool(released)
