# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drill's own process: makes and judges every injection of a plan, and writes the report."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.masking import mask
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.alerting import Alerting
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.clients import Clients
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.conduct import Conductor
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.etcd_admin import EtcdAdmin
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import BUDGETS, CATALOGUE, COURSES, Fault
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import expected_of, view
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gatekeeper import Gatekeeper
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.provider import provider
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.tools import Tools
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.injections import injections, skipped
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.agents import SOCKETS
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.crew import Crew
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.recorder import Recorder
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.session import AgentError, SessionLostError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import Patience
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Node, Plan, parse
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.process import (
    OPERATIONAL,
    Speaker,
    in_words,
    serve,
    trace,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report import files as report
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import analysis, ledger_file
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.budgets import Timings, budgets
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Budget, Verdict
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.run import Host, Result, Run, Unjudged
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.outlook import Outlook, outlook

ASK_SERVER = ["psql", "-XAtq", "-h", SOCKETS, "-c", "SHOW server_version", "-d", "postgres", "-U"]
"""The superuser's name follows."""
DATABASE_VERSIONS = {
    "Patroni": ["patronictl", "version"],
    "etcd": ["etcd", "--version"],
    "kernel": ["uname", "-r"],
}
BALANCER_VERSIONS = {"HAProxy": ["haproxy", "-v"], "keepalived": ["keepalived", "--version"]}


def settings_of(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return Patroni's dynamic configuration as flat settings, PostgreSQL's parameters by name, without secrets."""
    postgresql = configuration.get("postgresql") or {}
    plain = {name: value for name, value in configuration.items() if not isinstance(value, dict)}
    shown: dict[str, Any] = mask({**plain, **(postgresql.get("parameters") or {})})
    return shown


def host_of(node: Node) -> Host:
    """Return a node for the report."""
    if node.ha is None:
        return Host(node.name, node.address)
    return Host(node.name, node.ha["address"], tuple(node.ha["components"]))


class Drill:
    """One drill, from the first connection to the report."""

    def __init__(self, plan: Plan, stop: threading.Event, speaker: Speaker) -> None:
        self._plan = plan
        self._speaker = speaker
        self._expected = expected = expected_of(plan)
        self._recorder = Recorder({address: name for name, address in plan.addresses.items()})
        self._crew = Crew(plan, self._recorder.take, speaker.tell)
        self._provider = provider(plan, self._crew)
        self._tools = Tools(plan, expected, self._crew, self._provider, self._recorder.now)
        patience = Patience(self._recorder, stop, speaker.tell)
        self._gatekeeper = Gatekeeper(
            expected=expected,
            archiving=bool(plan.bearing("backup")),
            crew=self._crew,
            patience=patience,
            now=self._recorder.now,
        )
        self._clients = Clients(
            plan=plan, expected=expected, crew=self._crew, patience=patience, gatekeeper=self._gatekeeper
        )
        self._alerting = Alerting(plan, self._recorder, self._tools, patience)
        self._conductor = Conductor(
            plan=plan,
            expected=expected,
            crew=self._crew,
            recorder=self._recorder,
            tools=self._tools,
            patience=patience,
            gatekeeper=self._gatekeeper,
            etcd=EtcdAdmin(password=plan.secrets["etcd_root"], crew=self._crew, gatekeeper=self._gatekeeper),
            clients=self._clients,
            alerting=self._alerting,
        )
        self._results: list[Result] = []
        self._unjudged: list[Unjudged] = []
        self._hindered: dict[str, str] = {}
        self._failures: list[str] = []
        self._versions: dict[str, str] = {}
        self._outlook = Outlook()

    def run(self) -> int:
        """Run everything; return the exit code."""
        begun, started = datetime.now(UTC).astimezone(), time.monotonic()
        directory = Path(self._plan.directory)
        directory.mkdir(parents=True, exist_ok=True)
        self._speaker.tell(f"the engine runs as process {os.getpid()}")
        try:
            self._provider.require()
            self._crew.begin()
            self._clients.require()
            self._outlook = self._foresee()
            self._hindered = {name: why for name in self._plan.faults if (why := self._hindrance(name))}
            self._inject_all(directory)
        except Exception as error:  # noqa: BLE001 - the other results must still be reported
            if not isinstance(error, OPERATIONAL):
                trace()
            self._fail(f"stopped early: {in_words(error)}{self._not_begun()}")
        finally:
            self._clean_up()
        return self._report(directory, begun, time.monotonic() - started)

    def _foresee(self) -> Outlook:
        told = self._crew.call_all([node.name for node in self._plan.nodes if node.ha is not None], "timings")
        seen = view(self._expected, self._crew.call_all(self._expected.databases, "probe", 20.0))
        found = outlook(self._plan.topology, told, seen.configuration, COURSES)
        if found.unknown:
            self._speaker.tell(f"nothing is predicted: {found.unknown}")
        return found

    def _inject_all(self, directory: Path) -> None:
        for fault, number in self._injections():
            try:
                ledger = self._conductor.conduct(fault, number)
            except Exception as error:
                self._leave_unjudged(Unjudged(fault.name, number, in_words(error)))
                if isinstance(error, NotProvenError) and not self._tools.heal():
                    continue  # not a reason to stop: the next gate decides
                raise
            ledger_file.write(ledger, directory / f"{fault.name}-{number}.ledger.json.gz")
            budget = self._budget(fault.name)
            verdict = analysis.judge(ledger, budget, self._alerting.wanted(fault))
            self._results.append((ledger, verdict, budget))
            self._speaker.tell(self._sentence(verdict))

    def _hindrance(self, name: str) -> str:
        return skipped(self._plan, CATALOGUE[name]) or CATALOGUE[name].action.hindrance(self._tools)

    def _injections(self) -> Iterator[tuple[Fault, int]]:
        return ((fault, number) for fault, number in injections(self._plan) if fault.name not in self._hindered)

    def _not_begun(self) -> str:
        every = len(list(self._injections()))
        left = every - len(self._results) - len(self._unjudged)
        return f"; {left} of {every} injections were not begun" if left else ""

    def _leave_unjudged(self, injection: Unjudged) -> None:
        self._unjudged.append(injection)
        self._speaker.tell(str(injection))

    def _budget(self, fault: str) -> Budget:
        settings = self._outlook.settings
        timings = replace(Timings.of(settings) if settings else Timings(), extra=self._plan.slack)
        worst = {name: prediction.worst for name, prediction in self._outlook.predictions.items()}
        return budgets(BUDGETS, timings, dict(self._plan.budgets), worst)[fault]

    @staticmethod
    def _sentence(verdict: Verdict) -> str:
        broken = "; ".join(f"{breach.rule}: {breach.text}" for breach in verdict.breaches)
        found = [
            f"{verdict.rto:.2f} s without writes, {verdict.read_gap:.2f} s without reads",
            f"{verdict.acknowledged} rows acknowledged, {len(verdict.lost)} lost, {verdict.unknown} unknown",
            f"BROKEN: {broken}" if broken else "passed",
        ]
        return f"{verdict.fault} {verdict.repetition}: {'; '.join(found)}"

    def _clean_up(self) -> None:
        for failure in self._tools.heal():
            self._fail(f"not healed: {failure}")
        self._versions = self._ask_versions()
        if not self._clients.remove_table():
            self._speaker.tell("the schema holdfast_drill could not be removed: no leader; drop it by hand")
        self._crew.end()

    def _fail(self, text: str) -> None:
        self._failures.append(text)
        self._speaker.tell(text)

    def _report(self, directory: Path, begun: datetime, seconds: float) -> int:
        run = self._as_run(begun, seconds)
        self._speaker.say(table=report.table(run), directory=str(directory))
        try:
            report.write(run, directory)
        except Exception as error:  # noqa: BLE001 - the result is reported anyway
            trace()
            self._fail(f"no report: {in_words(error)}")
        passed = run.passed and not self._failures
        failure = "; ".join([*self._failures, *map(str, self._unjudged)])
        broken = "" if passed else "budgets or invariants are broken" if run.breaches else "nothing was injected"
        self._speaker.say(result={"passed": passed, "failure": failure or broken, "directory": str(directory)})
        return 0 if passed else 1

    def _as_run(self, begun: datetime, seconds: float) -> Run:
        seen = self._gatekeeper.last_view
        one, five, fifteen = os.getloadavg()
        chosen = "" if self._plan.faults == tuple(CATALOGUE) else f" -e drill_faults={','.join(self._plan.faults)}"
        repeat = "" if self._plan.repeat == 1 else f" -e drill_repeat={self._plan.repeat}"
        return Run(
            cluster=self._plan.cluster,
            begun=begun,
            results=tuple(self._results),
            settings=settings_of(seen.configuration) if seen else {},
            versions=self._versions,
            load={"processors": os.cpu_count(), "load 1 min": one, "load 5 min": five, "load 15 min": fifteen},
            skipped={name: why for name in self._plan.faults if (why := self._why_skipped(name))},
            command=f"ansible-playbook playbooks/drill.yml -e drill_confirm={self._plan.cluster}{chosen}{repeat}",
            seconds=seconds,
            failure="; ".join(self._failures),
            unjudged=tuple(self._unjudged),
            outlook=self._outlook,
            hosts=tuple(host_of(node) for node in self._plan.nodes),
            profile=(self._plan.topology.get("timing") or {}).get("profile", ""),
            containers=self._plan.containers,
        )

    def _why_skipped(self, fault: str) -> str:
        """Return why a fault was not injected, "" when it was."""
        begun = {ledger.fault for ledger, _verdict, _budget in self._results}
        if fault in begun or fault in {injection.fault for injection in self._unjudged}:
            return ""
        return self._hindered.get(fault) or skipped(self._plan, CATALOGUE[fault]) or "the drill stopped before it"

    def _ask_versions(self) -> dict[str, str]:
        """Return the versions of the cluster's software that the hosts report."""
        database, balancers = self._plan.bearing("postgresql")[0].name, self._plan.bearing("haproxy")
        asked = [("PostgreSQL", database, [*ASK_SERVER, self._plan.topology["postgresql"]["users"]["superuser"]])]
        asked += [(software, database, argv) for software, argv in DATABASE_VERSIONS.items()]
        asked += [(software, balancers[0].name, argv) for software, argv in BALANCER_VERSIONS.items() if balancers]
        found = {}
        for software, host, argv in asked:
            try:
                done = self._crew.call(host, "run", argv=argv)
            except (SessionLostError, AgentError):
                continue
            version = re.search(r"\d+(\.\d+)+", done["out"] + done["err"])
            if version:
                found[software] = version[0]
        return found


if __name__ == "__main__":
    serve(lambda document, stop, speaker: Drill(parse(document), stop, speaker).run())
