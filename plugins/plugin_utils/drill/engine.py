# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drill's own process: a plan on standard input, JSON lines on standard output.

It ends early, after healing everything, as soon as its standard input closes: then whoever started it is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from ansible_collections.holdfast.ha.plugins.module_utils.masking import mask
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.conduct import (
    Conductor,
    GateError,
    NotProvenError,
    StoppedError,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE, Fault
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import Expected, view
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.injector import Injector
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.provider import provider
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.crew import Crew
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.recorder import Recorder
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.session import AgentError, SessionLostError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan, Refusal, injections, parse, skipped
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report import files as report
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import analysis, ledger_file
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.budgets import Timings, budgets
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Budget, Verdict
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.run import Result, Run, Unjudged
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.outlook import Outlook, outlook

HEARTBEAT_SECONDS = 1.0
OPERATIONAL = (StoppedError, GateError, NotProvenError, Refusal, SessionLostError, AgentError)


DATABASE_VERSIONS = {
    "PostgreSQL": ["sh", "-c", "psql -XAtq -h /var/run/postgresql -U postgres -c 'SHOW server_version' postgres"],
    "Patroni": ["patronictl", "version"],
    "etcd": ["etcd", "--version"],
    "kernel": ["uname", "-r"],
}
BALANCER_VERSIONS = {"HAProxy": ["haproxy", "-v"], "keepalived": ["keepalived", "--version"]}


def in_words(error: Exception) -> str:
    """Return what went wrong, for people."""
    if isinstance(error, StoppedError):
        return "stopped"
    if isinstance(error, NotProvenError):
        return f"not proven: {error}"
    return str(error) if isinstance(error, OPERATIONAL) else f"the engine failed: {error!r}"


def trace() -> None:
    """Say where it went wrong, unless nobody listens any more."""
    with contextlib.suppress(OSError):
        traceback.print_exc()


class Speaker:
    """Standard output; silent when nobody listens any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.gone = threading.Event()

    def say(self, **message: Any) -> None:
        """Send one message."""
        data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            try:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            except OSError:
                self.gone.set()

    def tell(self, text: str) -> None:
        """Send a line for people."""
        self.say(text=text)


def expected_of(plan: Plan) -> Expected:
    """Return who bears what."""

    def names(component: str) -> tuple[str, ...]:
        return tuple(sorted(node.name for node in plan.bearing(component)))

    primary, standby = plan.pool("primary") or {}, plan.pool("standby") or {}
    heirs = plan.heirs
    return Expected(
        etcd=names("etcd"),
        databases=names("postgresql"),
        balancers=names("keepalived"),
        backup=names("backup"),
        virtual_ips=tuple(plan.virtual_ips),
        primary_pool=primary.get("name", ""),
        standby_pool=standby.get("name", ""),
        never_primary=tuple(name for name in names("postgresql") if name not in heirs),
    )


def settings_of(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return Patroni's dynamic configuration on one level, PostgreSQL's parameters with their own names, no secrets."""
    postgresql = configuration.get("postgresql") or {}
    plain = {name: value for name, value in configuration.items() if not isinstance(value, dict)}
    shown: dict[str, Any] = mask({**plain, **(postgresql.get("parameters") or {})})
    return shown


class Drill:
    """One drill, from the first connection to the report."""

    def __init__(self, plan: Plan, stop: threading.Event, speaker: Speaker) -> None:
        self._plan = plan
        self._speaker = speaker
        self._expected = expected = expected_of(plan)
        self._recorder = Recorder({address: name for name, address in plan.addresses.items()})
        self._crew = Crew(plan, self._recorder.take, speaker.tell)
        self._provider = provider(plan, self._crew)
        self._injector = Injector(plan, expected, self._crew, self._provider, self._recorder.now)
        self._conductor = Conductor(
            plan=plan,
            expected=expected,
            crew=self._crew,
            recorder=self._recorder,
            injector=self._injector,
            stop=stop,
            tell=speaker.tell,
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
            self._conductor.require()
            self._outlook = self._foresee()
            self._hindered = {name: why for name in self._plan.faults if (why := self._hindrance(name))}
            self._inject_all(directory)
        except Exception as error:  # noqa: BLE001 - the other results are to be reported all the same
            if not isinstance(error, OPERATIONAL):
                trace()
            self._fail(f"ended before its end: {in_words(error)}{self._not_begun()}")
        finally:
            self._clean_up()
        return self._report(directory, begun, time.monotonic() - started)

    def _foresee(self) -> Outlook:
        told = self._crew.call_all([node.name for node in self._plan.nodes if node.ha is not None], "timings")
        seen = view(self._expected, self._crew.call_all(self._expected.databases, "probe", 20.0))
        found = outlook(self._plan.topology, told, seen.configuration)
        if found.unknown:
            self._speaker.tell(f"nothing is predicted: {found.unknown}")
        return found

    def _inject_all(self, directory: Path) -> None:
        for fault, number in self._injections():
            try:
                ledger = self._conductor.conduct(fault, number)
            except Exception as error:
                self._leave_unjudged(Unjudged(fault.name, number, in_words(error)))
                if isinstance(error, NotProvenError) and not self._injector.heal():
                    continue  # no reason to end: the next gate decides
                raise
            ledger_file.write(ledger, directory / f"{fault.name}-{number}.ledger.json.gz")
            budget = self._budget(fault.name)
            verdict = analysis.judge(ledger, budget)
            self._results.append((ledger, verdict, budget))
            self._speaker.tell(self._sentence(verdict))

    def _hindrance(self, name: str) -> str:
        return skipped(self._plan, CATALOGUE[name]) or self._injector.hindrance(CATALOGUE[name])

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
        return budgets([fault], timings, dict(self._plan.budgets), worst)[fault]

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
        for failure in self._injector.heal():
            self._fail(f"not healed: {failure}")
        self._versions = self._ask_versions()
        if not self._conductor.remove_table():
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
        except Exception as error:  # noqa: BLE001 - the result is to be told all the same
            trace()
            self._fail(f"no report: {in_words(error)}")
        passed = run.passed and not self._failures
        failure = "; ".join([*self._failures, *map(str, self._unjudged)])
        broken = "" if passed else "budgets or invariants are broken" if run.breaches else "nothing was injected"
        self._speaker.say(result={"passed": passed, "failure": failure or broken, "directory": str(directory)})
        return 0 if passed else 1

    def _as_run(self, begun: datetime, seconds: float) -> Run:
        seen = self._conductor.last_view
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
        )

    def _why_skipped(self, fault: str) -> str:
        """Return why a fault was not injected, "" when it was."""
        begun = {ledger.fault for ledger, _verdict, _budget in self._results}
        if fault in begun or fault in {injection.fault for injection in self._unjudged}:
            return ""
        return self._hindered.get(fault) or skipped(self._plan, CATALOGUE[fault]) or "the drill ended before"

    def _ask_versions(self) -> dict[str, str]:
        """Return the versions of the cluster's software, as far as somebody tells."""
        database, balancers = self._plan.bearing("postgresql")[0].name, self._plan.bearing("haproxy")
        asked = [(software, database, argv) for software, argv in DATABASE_VERSIONS.items()]
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


def watch(stop: threading.Event, speaker: Speaker) -> None:
    """Stop when standard input ends."""
    while os.read(0, 1):
        pass
    speaker.gone.set()
    stop.set()


def serve(run: Callable[[Mapping[str, Any], threading.Event, Speaker], int]) -> NoReturn:
    """Run the document on standard input, and exit with the code."""
    document = json.loads(sys.stdin.buffer.readline())
    stop, speaker = threading.Event(), Speaker()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: stop.set())
    threading.Thread(target=watch, args=(stop, speaker), daemon=True).start()
    code = run(document, stop, speaker)
    sys.stdout.flush()
    os._exit(code)  # threads may still hang in a lost session


if __name__ == "__main__":
    serve(lambda document, stop, speaker: Drill(parse(document), stop, speaker).run())
