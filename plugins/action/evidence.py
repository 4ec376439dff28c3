# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.evidence: starts an engine that outlives the task, marks steps, and ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ansible.utils.display import Display
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.action import DEFAULTS, DrillAction
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.child import environment
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.packages import require_packages
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.desk import BEGIN, ENDED, RUNNING, Desk, State
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.life import process
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.plan import WITHOUT, EvidencePlan, Limits, check

ENGINE = "ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.engine"
ARGUMENTS = argument_spec("evidence")
# Options of the drill that an evidence lacks, because it injects nothing.
DRILL = DEFAULTS | {"consistency": False}
POLL_SECONDS = 0.2
TELL_SECONDS = 15.0
GROUP = "client"
UNUSABLE = {"failed": True, "passed": False}


class ActionModule(DrillAction):
    """Start, mark or finish one evidence."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return directory, and after the end what was counted."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        result["changed"] = False
        if arguments["state"] == "started":
            return result | self._started(arguments, task_vars or {})
        if self._task.check_mode or not arguments["directory"]:
            return result | {"directory": arguments["directory"] or ""}
        desk = Desk(Path(arguments["directory"]))
        if arguments["state"] == "mark":
            return result | mark(desk, arguments)
        return result | finished(desk, arguments["timeout"])

    def _started(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
        enabled = arguments["enabled"]
        if not (bool(variables["groups"].get(GROUP)) if enabled is None else enabled):
            return {"directory": ""}
        try:
            plan = self._evidence_plan(arguments, variables)
            check(plan)
            if self._task.check_mode:
                return {"directory": ""}
            require_packages()
            desk = Desk(Path(plan.drill.directory))
            refuse_a_second(desk)
        except Refusal as refusal:
            text = str(refusal)
            return {"failed": True, "msg": text if WITHOUT in text else f"{text}, {WITHOUT}"}
        return start(plan, desk, arguments["timeout"])

    def _evidence_plan(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> EvidencePlan:
        if not arguments["cluster"]:
            raise Refusal("cluster: is not given: name the cluster whose clients are to be watched")
        shared = {name: arguments[name] for name in ("cluster", "client", "directory")}
        budgets = arguments["budgets"] or {}
        drilled = self._drill_plan({**DRILL, **shared}, variables)
        nodes = tuple(node for node in drilled.nodes if node.name not in arguments["without"])
        return EvidencePlan(
            drill=replace(drilled, nodes=nodes),
            title=arguments["title"],
            hosts=tuple(arguments["hosts"]),
            without=tuple(arguments["without"]),
            longest=arguments["longest"],
            limits=Limits(**{name: value for name, value in budgets.items() if value is not None}),
            parent=process(os.getppid()),
        )


def refuse_a_second(desk: Desk) -> None:
    """Raise Refusal where an engine still records into the directory."""
    state = desk.state()
    if state and state.name != ENDED and state.engine.lives():
        fix = "wait until it has ended, or name another directory"
        raise Refusal(f"evidence_report: {str(desk.directory)!r}: process {state.engine.pid} records into it; {fix}")


def start(plan: EvidencePlan, desk: Desk, timeout: float) -> dict[str, Any]:
    """Start the engine, and wait until its clients work."""
    desk.clear()
    engine = launch(plan, desk)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        code, state = engine.poll(), desk.state()
        if state and state.name == RUNNING:
            Display().display(f"The clients on {plan.drill.client} run; the record goes to {desk.directory}")
            return {"directory": str(desk.directory)}
        if code is not None or (state and state.name == ENDED):
            why = (state.text if state else "") or f"it ended with code {code}; it said: {desk.last_words()}"
            return {"failed": True, "msg": f"the evidence did not begin: {why}"}
        time.sleep(POLL_SECONDS)
    engine.send_signal(signal.SIGTERM)
    said = desk.last_words() or "nothing"
    text = f"the evidence did not begin within {timeout:g} s; it said: {said}; the whole log is {desk.log}"
    return {"failed": True, "msg": text}


def launch(plan: EvidencePlan, desk: Desk) -> subprocess.Popen[bytes]:
    """Start the engine in a session of its own: it outlives this task's process."""
    with desk.log.open("ab") as log:
        engine = subprocess.Popen(
            [sys.executable, "-m", ENGINE],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment(),
            start_new_session=True,
        )
    if engine.stdin:
        with engine.stdin as stream:
            stream.write(json.dumps(asdict(plan), default=str).encode())
    return engine


def mark(desk: Desk, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Note the begin or the end of a step; a dead engine is told, and does not stop the work."""
    desk.mark(arguments["host"] or "", arguments["text"] or "", arguments["edge"] or BEGIN)
    if dead := died(desk):
        Display().warning(f"{dead}; the work goes on")
    return {"directory": str(desk.directory)}


def finished(desk: Desk, timeout: float) -> dict[str, Any]:
    """End the clients, wait until the rows are counted, and show the result; it fails where something broke."""
    desk.ask_to_finish()
    deadline, told = time.monotonic() + timeout, time.monotonic()
    while not (state := desk.state()) or state.name != ENDED:
        if dead := died(desk):
            return {**UNUSABLE, "directory": str(desk.directory), "msg": dead}
        if time.monotonic() > deadline:
            said = desk.last_words() or "nothing"
            text = f"the rows were not counted within {timeout:g} s; it said: {said}; the whole log is {desk.log}"
            return {**UNUSABLE, "directory": str(desk.directory), "msg": text}
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            Display().display(f"The rows are being counted: {desk.last_words()[-160:]}")
        time.sleep(POLL_SECONDS)
    return concluded(state, desk)


def concluded(state: State, desk: Desk) -> dict[str, Any]:
    """Return the result of an engine that has ended."""
    result = dict(state.result)
    if shown := result.pop("table", ""):
        Display().display(f"{shown}\n\nReport: {desk.directory}/report.html")
    if not result.get("passed"):
        result |= {"failed": True, "msg": f"evidence: {result.get('failure') or 'it did not begin'}"}
    return result


def died(desk: Desk) -> str:
    """Return why an engine gives no result any more, "" while it lives or once it has given one."""
    state = desk.state()
    if state is None:
        return f"evidence: {str(desk.directory)!r} has no record; start one with state=started"
    if state.name == ENDED or state.engine.lives():
        return ""
    # It may have given its result between the two looks.
    again = desk.state()
    if again and again.name == ENDED:
        return ""
    said = desk.last_words() or "nothing"
    return f"evidence: the engine (process {state.engine.pid}) died while {state.name}; it said: {said}"
