# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's steps on two hosts, in a run of Ansible, with actions that note what they are asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles/firewall"
PLAY = yaml.safe_load((ROOT / "playbooks/firewall.yml").read_text(encoding="utf-8"))[1]
ACTION = """
import json, pathlib
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        folder, host = pathlib.Path(__file__).parents[1], task_vars["inventory_hostname"]
        step = self._task.args.get("state", "component")
        with (folder / "steps").open("a") as file:
            file.write(f"{host} {step}\\n")
        what = json.loads((folder / "fault.json").read_text()).get(f"{host} {step}")
        if what == "unreachable":
            raise AnsibleConnectionFailure("gone")
        closed = [{"address": "192.0.2.12", "port": 1}] if what == "closed" else []
        return {"failed": what == "failed", "msg": "no", "pending": True, "open": [], "closed": closed, "content": ""}
"""
Steps = Callable[..., list[str]]


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    def run(state: str, **faults: str) -> list[str]:
        """Return what the hosts were asked, in order; a fault is "HOST STEP": what happens there then."""
        (tmp_path / "action_plugins").mkdir()
        for name in ("firewall", "component"):
            (tmp_path / "action_plugins" / f"{name}.py").write_text(ACTION)
        (tmp_path / "fault.json").write_text(json.dumps(faults))
        tasks = (ROLE / "tasks/configure.yml").read_text(encoding="utf-8").replace("holdfast.ha.", "")
        role = tmp_path / "roles/firewall"
        for part, text in {"tasks": tasks, **{kind: main(kind) for kind in ("defaults", "vars")}}.items():
            (role / part).mkdir(parents=True)
            (role / part / "main.yml").write_text(text)
        across = {name: PLAY["tasks"][0]["vars"][name] for name in ("firewall_pending", "firewall_closed")}
        variables = {"firewall_state": state, **across}
        play = {"hosts": "all", "gather_facts": False, "roles": [{"role": "firewall", "vars": variables}]}
        (tmp_path / "play.yml").write_text(json.dumps([play]))
        command = [sys.executable, "-m", "ansible.cli.playbook", "-c", "local", "-i", "db1,db2,", "play.yml"]
        (tmp_path / "ansible.cfg").touch()
        environment = {**os.environ, "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"), "ANSIBLE_NOCOLOR": "true"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode != 0) is bool(faults), done.stdout + done.stderr
        return (tmp_path / "steps").read_text().splitlines()

    return run


def main(kind: str) -> str:
    return (ROLE / kind / "main.yml").read_text(encoding="utf-8")


def taken(found: list[str], step: str) -> set[str]:
    return {line.split()[0] for line in found if line.endswith(f" {step}")}


def test_all_hosts_answer_before_any_keeps_its_rules(steps: Steps) -> None:
    found = steps("present")
    order = [line.split()[1] for line in found]
    assert order == [step for step in ("planned", "tried", "probed", "confirmed", "component") for _host in range(2)]


@pytest.mark.parametrize(
    ("step", "what"),
    [("tried", "unreachable"), ("tried", "failed"), ("probed", "unreachable"), ("probed", "failed")],
)
def test_when_one_host_is_lost_none_keeps_its_rules(steps: Steps, step: str, what: str) -> None:
    found = steps("present", **{f"db2 {step}": what})
    assert taken(found, step) == {"db1", "db2"}
    assert taken(found, "confirmed") == taken(found, "component") == set()


@pytest.mark.parametrize("faults", [{}, {"db2 undone": "unreachable"}])
def test_when_one_host_is_cut_off_all_go_back(steps: Steps, faults: dict[str, str]) -> None:
    found = steps("present", **{"db2 probed": "closed", **faults})
    assert taken(found, "undone") == {"db1", "db2"}
    assert taken(found, "confirmed") == set()


def test_a_host_that_is_lost_while_all_keep_their_rules_is_alone(steps: Steps) -> None:
    found = steps("present", **{"db2 confirmed": "unreachable"})
    assert taken(found, "component") == {"db1"}


def test_a_host_that_is_down_is_left_out(steps: Steps) -> None:
    found = steps("present", **{"db2 planned": "unreachable"})
    assert taken(found, "confirmed") == taken(found, "component") == {"db1"}


def test_the_timer_is_stopped_before_the_unit(steps: Steps) -> None:
    assert [line for line in steps("absent") if line.startswith("db1")] == ["db1 absent", "db1 component"]
