# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's power, with a container engine that keeps its state in files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.dead_man import DeadMan
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.provider import Containers, Hosts
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.session import SessionLostError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal

from tests.unit.plugins.plugin_utils.drill.cluster import plan
from tests.unit.plugins.plugin_utils.drill.polling import within

LATE = 600
ENGINE = """#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo "$*" >>log
case $1 in
  kill|stop) touch off ;;
  start) rm -f off; date +%N >since ;;
  pause) touch paused ;;
  unpause) rm paused || exit 1 ;;
  inspect)
    echo "{\\"Running\\": $([ -e off ] && echo false || echo true)," \\
      "\\"Paused\\": $([ -e paused ] && echo true || echo false), \\"StartedAt\\": \\"$(cat since 2>/dev/null)\\"}" ;;
esac
"""


@pytest.fixture
def engine(tmp_path) -> Path:
    program = tmp_path / "engine"
    program.write_text(ENGINE)
    program.chmod(0o755)
    return program


def said(engine: Path) -> list[str]:
    return [line for line in (engine.parent / "log").read_text().splitlines() if not line.startswith("inspect")]


def containers(engine: Path, dead_man: float = LATE) -> Containers:
    crew = Mock(call=Mock(side_effect=SessionLostError("no answer")))
    return Containers(plan(engine=str(engine), dead_man=dead_man), crew)


def test_what_was_powered_off_is_started_and_its_timer_disarmed(engine) -> None:
    power = containers(engine)
    power.power_off(["db1"])
    (dead_man,) = power._dead_men
    assert dead_man._process.poll() is None
    power.still_down(["db1"])
    power.power_on(["db1"])
    assert dead_man._process.poll() == -signal.SIGKILL
    assert [line.split()[0] for line in said(engine)] == ["exec", "kill", "start"]


def test_what_was_paused_is_unpaused_and_its_timer_disarmed(engine) -> None:
    power = containers(engine)
    power.freeze("db1", LATE)
    (dead_man,) = power._dead_men
    power.still_down(["db1"])
    power.thaw("db1")
    assert dead_man._process.poll() == -signal.SIGKILL
    assert [line.split()[0] for line in said(engine)] == ["pause", "unpause"]


@pytest.mark.parametrize(
    ("harm", "off"), [('power_off(["db1", "db2"])', "off"), ('freeze("db1", 0)', "paused")], ids=["off", "paused"]
)
def test_a_killed_engine_leaves_nobody_off(engine, harm: str, off: str) -> None:
    program = (
        "import os, signal\n"
        "from tests.unit.plugins.plugin_utils.drill.harm import test_provider as test\n"
        f"test.containers(test.Path({str(engine)!r}), dead_man=2).{harm}\n"
        "os.killpg(0, signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program], env=environment, start_new_session=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert within(10, lambda: not (engine.parent / off).exists())


def test_who_is_back_before_time_was_not_lost(engine) -> None:
    power = containers(engine)
    power.power_off(["db1"])
    subprocess.run([engine, "start", "db1"], check=True)
    with pytest.raises(NotProvenError, match="runs again before its time"):
        power.still_down(["db1"])
    power.power_on(["db1"])


def test_a_timer_that_has_run_is_disarmed_in_vain() -> None:
    dead_man = DeadMan(0, ["true"])
    dead_man._process.wait()
    dead_man.disarm()


@pytest.mark.parametrize(("states", "frozen"), [("frozen frozen", True), ("frozen running", False)])
def test_frozen_services_of_a_real_host(states: str, frozen: bool) -> None:
    shown = "\n\n".join(f"FreezerState={state}" for state in ["frozen", "frozen"])
    later = "\n\n".join(f"FreezerState={state}" for state in states.split())
    answers = iter(["", "", shown, later])
    crew = Mock(call=Mock(side_effect=lambda *_words, **_more: {"code": 0, "out": next(answers), "err": ""}))
    power = Hosts(plan(), crew)
    power.freeze("db1", 60)
    if frozen:
        power.still_down(["db1", "db2"])
    else:
        with pytest.raises(NotProvenError, match="not frozen"):
            power.still_down(["db1", "db2"])


def test_a_real_host_is_reset_once_its_answer_is_out() -> None:
    """The timer against a kernel that refuses is armed first; the host is looked for as soon as it is gone."""
    order: list[str] = []

    def call(host: str, operation: str, *_patience: float, **arguments: Any) -> dict[str, Any]:
        if operation == "now":
            raise SessionLostError(f"{host}: gone")
        order.append(operation if operation == "arm" else arguments["argv"][0])
        if arguments.get("argv", [""])[0] == "systemd-run":
            assert any(word.startswith("--on-active=") for word in arguments["argv"])
        return {"code": 0, "out": "boot", "err": ""}

    crew = Mock(call=call)
    Hosts(plan(), crew).power_off(["db1"])
    assert order == ["cat", "arm", "systemd-run"]
    crew.hang_up.assert_called_once_with(["db1"])
    crew.expect_on.assert_called_once_with(["db1"])


def test_a_reboot_may_be_quicker_than_its_answer() -> None:
    boots = iter(["one", "two"])

    def call(host: str, operation: str, *_patience: float, **arguments: Any) -> dict[str, Any]:
        if operation == "now" or arguments["argv"][0] == "systemctl":
            raise SessionLostError(f"{host}: gone")
        return {"code": 0, "out": next(boots), "err": ""}

    assert Hosts(plan(), Mock(call=call)).reboot("db1") == "db1 booted again"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "#!/bin/sh\necho 'no such object' >&2; exit 1\n",
            "db1 is not the container .*no such object; give -e drill_cont",
        ),
        ("#!/bin/sh\necho '{\"Running\": false}'\n", "does not run; start it"),
        (None, "drill_engine: .*No such file"),
    ],
    ids=["other names", "stopped", "no engine"],
)
def test_containers_that_the_engine_lacks_are_told_before_anything(engine, script, message) -> None:
    if script is None:
        engine.unlink()
    else:
        engine.write_text(script)
    with pytest.raises(Refusal, match=message):
        containers(engine).require()


def test_the_client_need_not_be_a_container(engine) -> None:
    power = containers(engine)
    power.require()
    assert "client1" not in power._names
