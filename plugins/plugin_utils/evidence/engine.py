# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that records a piece of work: its clients run until a task says that the work has ended.

It outlives the task that starts it. It ends by itself when ansible-playbook is gone or the longest time is over, and
counts the rows in any case.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.clients import Clients
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.engine import host_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import (
    PRIMARY_ROLES,
    Expected,
    Probes,
    View,
    expected_of,
    part,
    view,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gatekeeper import Gatekeeper
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.crew import Crew
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.session import AgentError, SessionLostError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import (
    POLL_SECONDS,
    GateError,
    Patience,
    StoppedError,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.process import OPERATIONAL, Speaker, in_words, trace
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import alerts
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Event, Ledger, Outcome, Presence
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.steps import BEGUN
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.steps import ENDED as STEP_ENDED
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence import report
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.desk import (
    BEGIN,
    COUNTING,
    ENDED,
    RUNNING,
    STARTING,
    Desk,
    State,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.judge import judge
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.life import process
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.load import jobs
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.plan import WITHOUT, EvidencePlan, parse
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.recorder import Recorder

SCHEMA = "holdfast_evidence_"
LEFT = r"SELECT nspname FROM pg_namespace WHERE nspname LIKE 'holdfast\_evidence\_%'"
LEADER_SECONDS = 60.0
STEADY_SECONDS, FLOW_SECONDS = 1.0, 45.0
SESSION_SECONDS = 120.0
MARGIN_SECONDS = 3600.0  # a schema is left behind once its engine's longest time and this are over


def stale(schemas: Sequence[str], now: float, longest: float) -> list[str]:
    """Return the schemas of engines that certainly have ended; the name has the time of its begin."""
    begun = {name: found for name in schemas if (found := re.fullmatch(rf"{SCHEMA}(\d+)_\d+", name))}
    return [name for name, found in begun.items() if now - int(found[1]) > longest + MARGIN_SECONDS]


class Lookout(Gatekeeper):
    """A gatekeeper for clusters that hosts join and leave: the only member that claims to be primary leads."""

    def look(self) -> View:
        """Return the present roles, even where no majority of the hosts at the begin can name the leader."""
        probes = self.probe()
        seen = view(self._expected, probes)
        if seen.leader:
            return seen
        return replace(seen, leader=claimant(self._expected, probes) or newcomer(self._expected, probes))


def newcomer(expected: Expected, probes: Probes) -> str:
    """Return the leader that joined later, if all hosts that answer name the same one."""
    named = {
        name
        for host in expected.databases
        for name, role, *_rest in part(probes, host, "patroni").get("members") or []
        if role in PRIMARY_ROLES
    }
    return "".join(named - {*expected.databases}) if len(named) == 1 else ""


def claimant(expected: Expected, probes: Probes) -> str:
    """Return the only host whose Patroni claims to be primary, "" without one or with several."""
    found = [host for host in expected.databases if part(probes, host, "patroni").get("primary")]
    return found[0] if len(found) == 1 else ""


class Evidence:
    """One evidence, from the first connection to the report."""

    def __init__(self, plan: EvidencePlan, desk: Desk, leave: threading.Event, speaker: Speaker) -> None:
        self._plan, self._desk, self._leave, self._speaker = plan, desk, leave, speaker
        self._me = process(os.getpid())
        self._expected = expected = expected_of(plan.drill)
        self._recorder = Recorder({address: name for name, address in plan.drill.addresses.items()})
        self._crew = crew = Crew(plan.drill, self._recorder.take, speaker.tell)
        self._patience = patience = Patience(self._recorder, leave, speaker.tell)
        patience.label = "evidence"
        self._gatekeeper = Lookout(
            expected=expected, archiving=False, crew=crew, patience=patience, now=self._recorder.now
        )
        self._clients = Clients(
            plan=plan.drill,
            expected=expected,
            crew=crew,
            patience=patience,
            gatekeeper=self._gatekeeper,
            schema=f"{SCHEMA}{int(time.time())}_{os.getpid()}",
            variable="evidence_client",
        )
        self._table = ""
        self._begun = 0.0
        self._started = datetime.now(UTC).astimezone()
        self._primary = ""
        self._failures: list[str] = []
        self._notes: list[str] = []

    def run(self) -> int:
        """Record until the work has ended; return the exit code."""
        self._tell(STARTING)
        try:
            self._begin()
        except Exception as error:  # noqa: BLE001 - the task that waits must get every error
            return self._give_up(error)
        self._tell(RUNNING)
        if why := self._hold():
            self._fail(why)
            self._leave.clear()  # a second signal ends the counting, too
        self._tell(COUNTING)
        ledger = self._close()
        self._clean_up()
        return self._report(ledger)

    def _tell(self, name: str, text: str = "") -> None:
        self._desk.tell(State(name, self._me, text))

    def _fail(self, text: str) -> None:
        self._failures.append(text)
        self._speaker.tell(text)

    def _note(self, text: str) -> None:
        self._notes.append(text)
        self._speaker.tell(text)

    # Begin

    def _begin(self) -> None:
        """Connect, make the table, and start the clients; they must work before the work begins."""
        client = self._plan.drill.client
        self._crew.begin(required={client})
        self._clients.require(roles=("primary",))
        leader = self._leader()
        self._remove_left(leader)
        self._table = self._clients.make_table(leader)
        self._recorder.reset(self._crew.offset(client))
        self._clients.load(list(jobs(self._plan.drill, self._clients, self._table)), self._plan.longest)
        self._patience.until(self._flows, FLOW_SECONDS, "steady writes of direct and pooled clients")
        self._primary, self._begun = self._gatekeeper.look().leader or leader, self._recorder.now()

    def _leader(self) -> str:
        """Return the leader, with a session to it; one that joined later has none."""
        found: list[str] = []

        def known() -> bool:
            found[:] = filter(None, [self._gatekeeper.look().leader])
            return bool(found)

        self._patience.until(known, LEADER_SECONDS, "the members to agree on a leader")
        if found[0] in self._expected.databases:
            self._patience.until(lambda: self._crew.on(found[0]), LEADER_SECONDS, f"a session to the leader {found[0]}")
        return found[0]

    def _remove_left(self, leader: str) -> None:
        schemas = [str(row[0]) for row in self._crew.sql(leader, LEFT)]
        for name in stale(schemas, time.time(), self._plan.longest):
            self._speaker.tell(f"schema {name}: left behind by an evidence that was killed; removed")
            self._clients.execute(leader, f"DROP SCHEMA IF EXISTS {name} CASCADE")

    def _flows(self) -> bool:
        pooled = any(write.outcome is Outcome.ACKNOWLEDGED for write in list(self._recorder.pooled))
        return self._recorder.flow()[0] >= STEADY_SECONDS and (pooled or not self._plan.drill.pooled)

    def _give_up(self, error: Exception) -> int:
        if not isinstance(error, OPERATIONAL):
            trace()
        text = f"{in_words(error)}, {WITHOUT}" if isinstance(error, Refusal) else in_words(error)
        self._speaker.tell(text)
        self._clean_up()
        result = {"passed": False, "failure": text, "directory": str(self._desk.directory)}
        self._desk.tell(State(ENDED, self._me, text, result))
        return 1

    # Meanwhile

    def _hold(self) -> str:
        """Wait until the work has ended; return why the evidence ends without that, "" when it is told to."""
        deadline, client = time.monotonic() + self._plan.longest, self._plan.drill.client
        lost = False
        while not self._desk.asked_to_finish:
            if not self._plan.parent.lives():
                return f"ansible-playbook (process {self._plan.parent.pid}) ended before it told that the work had"
            if self._leave.is_set():
                return "a signal ended the engine before the work had ended"
            if time.monotonic() > deadline:
                return f"evidence_longest: {self._plan.longest:g}: the work took longer; give more seconds"
            if not lost and not self._crew.on(client):
                lost = True
                self._fail(f"{client}: the session broke, and with it the clients ended")
            self._patience.progress("recording")
            time.sleep(POLL_SECONDS)
        return ""

    # End

    def _close(self) -> Ledger:
        """End the clients, and count the rows on every member that has replayed all."""
        ended = self._recorder.now()
        self._clients.end()
        leader = ""
        presence: tuple[Presence, ...] = ()
        try:
            leader = self._leader()
            presence = self._count(leader)
        except (StoppedError, GateError, SessionLostError, AgentError) as error:
            self._fail(f"the rows could not be counted: {in_words(error)}")
        return self._ledger(ended, leader, presence)

    def _count(self, leader: str) -> tuple[Presence, ...]:
        members = self._members(leader)
        for host in filter(self._expected.databases.__contains__, members):
            self._patience.until(partial(self._crew.on, host), SESSION_SECONDS, f"a session to {host}")
        return self._clients.presence(leader, self._table, members)

    def _members(self, leader: str) -> list[str]:
        """Return the leader, and the running members that the inventory had at the begin; others are noted."""
        probes, databases = self._gatekeeper.probe(), self._expected.databases
        views = (part(probes, host, "patroni").get("members") for host in (leader, *databases))
        known = {name for name, _role, state, *_rest in next(filter(None, views), []) if state != "stopped"}
        self._notes += [
            f"{host}: no running member of the cluster at the end; its rows were not counted"
            for host in sorted({*databases} - known)
        ]
        self._notes += [
            f"{host}: a member that the inventory lacked at the begin; its rows were not counted"
            for host in sorted(known - {*databases, leader})
        ]
        return [*(host for host in databases if host in known), *({leader} - {*databases})]

    def _ledger(self, ended: float, leader: str, presence: tuple[Presence, ...]) -> Ledger:
        return Ledger(
            fault=self._plan.title,
            repetition=0,
            begun=self._begun,
            injected=self._begun,
            healed=ended,
            ended=ended,
            proof=f"work on {', '.join(self._plan.hosts) or 'the cluster'}",
            primary_before=self._primary,
            primary_after=leader,
            **self._recorder.records(self._begun, ended),
            pooled_pool=(self._plan.drill.pooled or {}).get("name", ""),
            monitor=self._plan.drill.monitor,
            events=self._steps(),
            presence=presence,
            clock_uncertainty=self._crew.describe(),
            expected_members=tuple(found.member for found in presence),
            expected_balancers=self._expected.balancers,
            write_pools=(self._expected.primary_pool,),
            read_pools=tuple(filter(None, (self._expected.standby_pool,))),
        )

    def _steps(self) -> tuple[Event, ...]:
        """Return the marks as events on the clients' clock."""
        shift = self._recorder.now() - time.monotonic()
        return tuple(
            Event(mark.at + shift, BEGUN if mark.edge == BEGIN else STEP_ENDED, mark.host, mark.text)
            for mark in self._desk.marks()
        )

    def _clean_up(self) -> None:
        if not self._clients.remove_table():
            self._note(
                "its schema stays: there is no session to a leader; a later evidence removes it, or drop it by hand"
            )
        self._crew.end()

    def _report(self, ledger: Ledger) -> int:
        found = judge(ledger, self._plan.limits, tuple(self._recorder.broken), self._plan.without)
        self._notes += [breach.text for breach in alerts.unseen(ledger)] if ledger.monitor else []
        one, five, fifteen = os.getloadavg()
        run = report.EvidenceRun(
            cluster=self._plan.drill.cluster,
            begun=self._started,
            results=found.results,
            load={"processors": os.cpu_count(), "load 1 min": one, "load 5 min": five, "load 15 min": fifteen},
            seconds=ledger.ended - ledger.begun,
            failure="; ".join(self._failures),
            hosts=tuple(host_of(node) for node in self._plan.drill.nodes),
            profile=(self._plan.drill.topology.get("timing") or {}).get("profile", ""),
        )
        made = report.Report(self._plan, run, ledger, found, tuple(self._notes))
        result = dict(report.outcome(made, self._desk.directory))
        try:
            report.write(made, self._desk.directory)
        except Exception as error:  # noqa: BLE001 - the result is told anyway
            trace()
            text = f"no report: {in_words(error)}"
            result |= {"passed": False, "failure": "; ".join(filter(None, [result["failure"], text]))}
        self._desk.tell(State(ENDED, self._me, "", result))
        return 0 if result["passed"] else 1


def main() -> None:
    """Record by the plan on standard input."""
    plan = parse(json.loads(sys.stdin.buffer.read()))
    leave = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: leave.set())
    code = Evidence(plan, Desk(Path(plan.drill.directory)), leave, Speaker()).run()
    sys.stdout.flush()
    os._exit(code)  # threads may still block on a lost session


if __name__ == "__main__":
    main()
