# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which clusters and hosts rolling work and a maintenance concern, by the variables that their plays share."""

from __future__ import annotations

import json

from tests.unit.playbooks.test_targets import ROOT, run

HOSTS = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}
SILENT = "b2"
CASES = {
    "all": ([], "a+b a1+a2+b1"),
    "one cluster's": (["a2"], "a a1+a2"),
    "the other's, one of which is silent": (["b1", "b2"], "b b1"),
    "of both": (["b1", "a1"], "a+b a1+a2+b1"),
    "unknown, which the plan refuses": (["c1"], "a+b a1+a2+b1"),
}
SHOWN = "{{ rolling__clusters | sort | join('+') }} {{ rolling__locked | join('+') }}"


def shown(tmp_path, files, tasks):
    own = {
        name: {"ha": {"cluster": cluster}, **({} if name == SILENT else {"rolling_host": {"units": []}})}
        for name, cluster in HOSTS.items()
    }
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(json.dumps({"all": {"hosts": own}}))
    play = {"hosts": "all", "gather_facts": False, "vars": {"rolling_verb": "update"}, "tasks": tasks}
    book = tmp_path / "book.yml"
    book.write_text(json.dumps([{**play, "vars_files": [str(ROOT / "playbooks/vars" / file) for file in files]}]))
    code, output = run(inventory, book)
    assert code == 0, output
    return output


def debug(name, **variables):
    return {"ansible.builtin.debug": {"msg": f"{name}: {SHOWN}."}, "run_once": True, "vars": variables}


def test_named_hosts_choose_the_clusters(tmp_path):
    tasks = [debug(name, rolling_only=only) for name, (only, _expected) in CASES.items()]
    output = shown(tmp_path, ["rolling.yml"], tasks)
    for name, (_only, expected) in CASES.items():
        assert f"{name}: {expected}." in output


def test_a_maintenance_concerns_its_own_cluster(tmp_path):
    task = debug("maintenance", maintenance_plan={"cluster": "b"}, rolling_only=["a1"])
    assert "maintenance: b b1+b2." in shown(tmp_path, ["rolling.yml", "maintenance.yml"], [task])
