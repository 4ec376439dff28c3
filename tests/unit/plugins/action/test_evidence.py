# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action around an engine: it outlives its task, is told to finish, dies; and what is refused before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.utils.display import Display
from ansible_collections.holdfast.ha.plugins.action import evidence as sut
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.desk import ENDED, RUNNING, Desk, State
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.life import Process, process

from tests.unit.plugins.plugin_utils.drill.polling import within
from tests.unit.plugins.plugin_utils.evidence.test_plan import plan

ROOT = Path(__file__).resolve().parents[4]
SCRIPTED = "tests.unit.plugins.plugin_utils.evidence.scripted_engine"
# Stands for ansible-playbook: a task in a process of its own starts the engine and ends.
PLAYBOOK = f"""
import os, sys
from pathlib import Path
from ansible_collections.holdfast.ha.plugins.action import evidence
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.desk import Desk
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.life import process
from tests.unit.plugins.plugin_utils.evidence.test_plan import plan

evidence.ENGINE = {SCRIPTED!r}
if not (task := os.fork()):
    made = plan({{"directory": sys.argv[1]}}, parent=process(os.getppid()), longest=120.0)
    told = evidence.start(made, Desk(Path(sys.argv[1])), 60.0)
    os._exit("failed" in told)
print(os.waitstatus_to_exitcode(os.waitpid(task, 0)[1]), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def playbook(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process whose task has started an engine and ended."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'collections'}:{ROOT}"}
    with subprocess.Popen(
        [sys.executable, "-c", PLAYBOOK, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    ) as running:
        assert running.stdout is not None
        said = next((line.strip() for line in running.stdout if line.strip().isdigit()), "nothing")
        assert said == "0", Desk(tmp_path).last_words()
        yield running
        running.kill()


def engine_of(desk: Desk) -> Process:
    state = desk.state()
    assert state is not None
    return state.engine


def test_an_engine_outlives_its_task_and_finishes(tmp_path: Path, playbook: Any) -> None:
    desk = Desk(tmp_path)
    engine = engine_of(desk)
    assert engine.lives()
    assert os.getsid(engine.pid) == engine.pid
    with pytest.raises(Refusal, match=rf"^evidence_report: .*: process {engine.pid} records into it; wait until"):
        sut.refuse_a_second(desk)
    for edge in ("begin", "end"):
        assert sut.mark(desk, {"host": "db1", "text": "reboot", "edge": edge}) == {"directory": str(tmp_path)}
    result = sut.finished(desk, 60.0)
    assert ("failed" in result, result["passed"], result["lost"]) == (False, True, 0)
    assert "table" not in result
    assert [step["text"] for step in result["steps"]] == ["reboot"]
    assert within(10.0, lambda: not engine.lives())
    sut.refuse_a_second(desk)
    assert sut.finished(desk, 1.0) == result


def test_an_engine_ends_with_its_playbook_and_has_counted(tmp_path: Path, playbook: Any) -> None:
    desk = Desk(tmp_path)
    engine = engine_of(desk)
    playbook.kill()
    playbook.wait()
    assert within(20.0, lambda: not engine.lives())
    state = desk.state()
    assert state is not None
    assert (state.name, state.result["lost"]) == (ENDED, 0)
    assert state.result["failure"].startswith(f"ansible-playbook (process {playbook.pid}) ended before it told")
    assert (tmp_path / "report.html").exists()


def test_an_engine_that_is_killed_is_told_and_stops_no_work(
    tmp_path: Path, playbook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, warned = Desk(tmp_path), []
    engine = engine_of(desk)
    os.kill(engine.pid, signal.SIGKILL)
    assert within(10.0, lambda: not engine.lives())
    monkeypatch.setattr(Display, "warning", lambda _self, text: warned.append(text))
    assert "failed" not in sut.mark(desk, {"host": "db1", "text": "reboot", "edge": "begin"})
    dead = f"evidence: the engine (process {engine.pid}) died while running; it said: "
    assert warned[0].startswith(dead)
    result = sut.finished(desk, 5.0)
    assert (result["failed"], result["msg"].startswith(dead)) == (True, True)


def test_an_engine_that_can_not_begin(tmp_path: Path) -> None:
    nodes = tuple(replace(node, address="127.0.0.1", port=1) for node in plan().drill.nodes)
    made = plan({"directory": str(tmp_path), "nodes": nodes}, parent=process(os.getpid()))
    told = sut.start(made, Desk(tmp_path), 60.0)
    assert told["failed"]
    assert told["msg"].startswith("the evidence did not begin: client1: SSH to 127.0.0.1: [Errno 111]")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, "has no record; start one with state=started"),
        (State(RUNNING, Process(2**22 + 1, "1")), "died while running; it said: nothing"),
    ],
)
def test_what_can_not_be_finished(tmp_path: Path, state: State | None, message: str) -> None:
    desk = Desk(tmp_path)
    if state:
        desk.tell(state)
    result = sut.finished(desk, 1.0)
    assert (result["failed"], message in result["msg"]) == (True, True)


def test_rows_that_are_not_counted_in_time(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.tell(State(RUNNING, process(os.getpid())))
    desk.log.write_text('{"text":"evidence: waiting for db3 to replay"}\n')
    assert sut.finished(desk, 0.3)["msg"] == (
        "the rows were not counted within 0.3 s; it said: evidence: waiting for db3 to replay; "
        f"the whole log is {desk.log}"
    )


PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - holdfast.ha.evidence: {arguments}
      register: told
      run_once: true
    - ansible.builtin.debug: {{msg: "directory={{{{ told.directory }}}}."}}
      run_once: true
"""


def run(tmp_path: Path, inventory: str, **arguments: Any) -> str:
    """Return what a play with one task says."""
    (tmp_path / "hosts.ini").write_text(inventory)
    (tmp_path / "play.yml").write_text(PLAY.format(arguments=json.dumps(arguments)))
    done = subprocess.run(
        ["ansible-playbook", "-i", tmp_path / "hosts.ini", tmp_path / "play.yml"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")},
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("inventory", "arguments", "said"),
    [
        ("db1\n", {"state": "started", "cluster": "main"}, "directory=."),
        ("db1\n", {"state": "mark", "directory": "", "host": "db1", "text": "x"}, "directory=."),
        ("db1\n", {"state": "finished", "directory": ""}, "directory=."),
        (
            "db1\n[client]\nclient1\n",
            {"state": "started", "cluster": "main"},
            "cluster 'main': the inventory has none of this name, or give -e evidence=false",
        ),
        ("db1\n", {"state": "started", "enabled": True}, "cluster: is not given"),
    ],
)
def test_a_task(tmp_path: Path, inventory: str, arguments: dict[str, Any], said: str) -> None:
    assert said in " ".join(run(tmp_path, inventory, **arguments).split())
