# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds the lock of a cluster: the run that this ansible-playbook is, unless another one's process still lives."""

from __future__ import annotations

import json
import os
import socket
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.action.rolling_lock import ActionModule, is_over, machine_id, run_id
from ansible_collections.holdfast.ha.plugins.module_utils.rolling_lock import HeldError, LockFile, Now
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.life import Process, process

from tests.unit.planting import make_host, needs_root

BOOT = "5b7c1c2e-0f6b-4b6e-8f0a-1c2d3e4f5a6b"
HERE = f"{BOOT} pid:[4026531836]"


@pytest.fixture
def proc(tmp_path):
    """A /proc in which process 42, with an odd name, started at 1234 and 43 is a zombie."""
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text(f"{BOOT}\n")
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[4026531836]")
    for pid, name, state in ((42, "a) (b", "S"), (43, "ansible", "Z")):
        (tmp_path / str(pid)).mkdir()
        fields = [state, *map(str, range(1, 19)), "1234", "0"]
        (tmp_path / str(pid) / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")
    return tmp_path


def test_a_machine_is_one_boot_and_one_container(proc):
    assert machine_id(proc) == HERE
    (proc / "self/ns/pid").unlink()
    (proc / "self/ns/pid").symlink_to("pid:[4026532999]")
    assert machine_id(proc) == f"{BOOT} pid:[4026532999]"
    (proc / "sys/kernel/random/boot_id").unlink()
    assert machine_id(proc) == socket.gethostname()


def test_a_run_is_a_process_with_its_start(proc):
    assert run_id(process(42, proc), HERE) == f"{HERE}/42/1234"


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        pytest.param(f"{HERE}/42/1234", False, id="lives"),
        pytest.param(f"{HERE}/42/1233", True, id="its number is in use again"),
        pytest.param(f"{HERE}/44/1234", True, id="gone"),
        pytest.param(f"{HERE}/43/1234", True, id="only its parent has not noticed"),
        pytest.param(f"{BOOT} pid:[4026532999]/44/1234", False, id="of another container"),
        pytest.param("another/44/1234", False, id="of another machine"),
        pytest.param(f"{HERE}/x/1234", False, id="no number"),
        pytest.param(f"{HERE}/42", False, id="no start"),
        pytest.param("my own id", False, id="given by a user"),
        pytest.param("", False, id="no lock"),
    ],
)
def test_a_run_is_over_when_its_process_is_gone(proc, run, expected):
    assert is_over(run, HERE, proc) is expected


def test_this_process_is_not_over():
    assert not is_over(run_id(process(os.getpid()), machine_id()), machine_id())


class Host(ActionModule):
    """The action on a host whose module runs here, with the host's own lock file."""

    def __init__(self, path, arguments, *, check_mode=False):
        self._file = LockFile(str(path), lambda: Now(1000.0, "boot"))
        self.calls: list[dict[str, Any]] = []
        task = SimpleNamespace(args=arguments, check_mode=check_mode, async_val=0, action="rolling_lock", diff=False)
        super().__init__(task, SimpleNamespace(_shell=SimpleNamespace(tmpdir=None)), None, None, None, None)

    def _execute_module(self, *, module_name, module_args, task_vars, **_more):
        assert module_name == "holdfast.ha.rolling_lock"
        self.calls.append(module_args)
        check_mode = self._task.check_mode
        if module_args["state"] == "released":
            lock = self._file.release(module_args["run"], check_mode)
            return {"changed": False, "lock": lock.shown() if lock else None}
        wanted = {name: module_args[name] for name in ("run", "verb", "controller")}
        try:
            return {"changed": False, "lock": self._file.hold(wanted, 900, 0, check_mode).shown()}
        except HeldError as error:
            return {"failed": True, "msg": str(error), "lock": error.lock.shown()}


HOLD = {"state": "held", "verb": "update.yml"}


@pytest.fixture
def host():
    """The directories of a host."""
    yield from make_host()


@pytest.fixture
def path(host):
    """The place of its lock."""
    return host.root / "rolling.json"


def held_by(path, run, controller="root@elsewhere, process 7"):
    """Have a run hold the lock."""
    LockFile(str(path), lambda: Now(990.0, "boot")).hold(
        {"run": run, "verb": "reboot.yml", "controller": controller}, 900, 0, False
    )


def holder(path):
    """Return the id of the run in the file."""
    return json.loads(path.read_text())["run"]


@needs_root
def test_the_run_is_named_by_this_process(path):
    action = Host(path, HOLD)
    result = action.run(task_vars={})
    parent = process(os.getppid())
    assert result["lock"]["run"] == f"{machine_id()}/{parent.pid}/{parent.started}"
    assert result["lock"]["controller"].endswith(f"@{socket.gethostname()}, process {parent.pid}")
    assert result["lock"]["verb"] == "update.yml"
    assert not result.get("failed")
    assert not Host(path, {"state": "released"}).run(task_vars={})["lock"]
    assert not path.exists()


@needs_root
def test_a_run_that_is_over_is_followed_at_once(path):
    held_by(path, f"{machine_id()}/{os.getppid()}/1")
    action = Host(path, HOLD)
    result = action.run(task_vars={})
    assert not result.get("failed")
    assert [call["state"] for call in action.calls] == ["held", "released", "held"]
    assert holder(path) == run_id(process(os.getppid()), machine_id())


@needs_root
def test_check_mode_is_not_refused_for_a_run_that_is_over_and_leaves_its_lock(path):
    over = f"{machine_id()}/{os.getppid()}/1"
    held_by(path, over)
    result = Host(path, HOLD, check_mode=True).run(task_vars={})
    assert not result.get("failed")
    assert holder(path) == over


@needs_root
@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("run", ["elsewhere/1/1", "lives"])
def test_a_run_that_may_still_work_is_left_alone(path, run, check_mode):
    run = run_id(process(os.getpid()), machine_id()) if run == "lives" else run
    held_by(path, run)
    action = Host(path, HOLD, check_mode=check_mode)
    result = action.run(task_vars={})
    assert result["failed"]
    assert result["msg"].startswith("reboot.yml from root@elsewhere, process 7 works on this cluster since ")
    assert len(action.calls) == 1
    assert holder(path) == run


@needs_root
def test_a_host_that_can_not_tell_fails_as_it_is(path, monkeypatch):
    action = Host(path, HOLD)
    monkeypatch.setattr(action, "_execute_module", lambda **_call: {"failed": True, "msg": "no space", "lock": None})
    result = action.run(task_vars={})
    assert (result["failed"], result["msg"]) == (True, "no space")
    monkeypatch.setattr(action, "_execute_module", lambda **_call: {"unreachable": True, "msg": "no route"})
    assert action.run(task_vars={})["unreachable"]


@needs_root
def test_a_given_run_is_taken_as_it_is(path):
    held_by(path, "mine")
    assert Host(path, {**HOLD, "run": "mine"}).run(task_vars={})["lock"]["run"] == "mine"


def test_a_process_without_a_start_is_known_by_its_number(proc):
    """Where there is no /proc, the run's id ends with a slash."""
    assert run_id(Process(os.getpid()), "mac").endswith("/")
    assert not is_over(f"mac/{os.getpid()}/", "mac", proc / "none")
