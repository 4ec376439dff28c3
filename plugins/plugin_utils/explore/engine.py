# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of an exploration: carries out and judges schedules until all are done or the time is over."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.alerting import Alerting
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.clients import SCHEMA, Clients
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.conduct import Conductor
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.etcd_admin import EtcdAdmin
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import COURSES, NONE, Fault, Target, seconds
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import expected_of, view
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gatekeeper import Gatekeeper
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.provider import provider
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.tools import Tools
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.crew import Crew
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.recorder import Recorder
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.session import AgentError, SessionLostError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import GateError, Patience
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.process import (
    OPERATIONAL,
    Speaker,
    in_words,
    serve,
    trace,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import ledger_file
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.budgets import (
    Timings,
    default_budget,
    until_healed,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Ledger
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore import judge, report
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.generate import generate, objection
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.kinds import KINDS
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.ladder import rungs
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.plan import ExplorePlan, Mode, parse_plan
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.records import (
    FAILED,
    PASSED,
    UNPROVEN,
    Records,
    Trial,
    count,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import Schedule, Step
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.shrink import shrink
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.timeline import Stage, Timeline
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.outlook import Outlook, outlook

UNBUDGETED = until_healed(lambda timings: timings.lease_takeover)


class Explore:
    """One exploration, from the first connection to the report."""

    def __init__(self, plan: ExplorePlan, stop: threading.Event, speaker: Speaker) -> None:
        self._plan, self._drill, self._speaker = plan, plan.drill, speaker
        self._expected = expected = expected_of(plan.drill)
        self._recorder = recorder = Recorder({address: name for name, address in plan.drill.addresses.items()})
        self._crew = crew = Crew(plan.drill, recorder.take, speaker.tell)
        self._provider = provider(plan.drill, crew)
        self._tools = Tools(plan.drill, expected, crew, self._provider, recorder.now)
        patience = Patience(recorder, stop, speaker.tell)
        archiving = bool(plan.drill.bearing("backup"))
        gatekeeper = Gatekeeper(expected=expected, archiving=archiving, crew=crew, patience=patience, now=recorder.now)
        shared: dict[str, Any] = {"expected": expected, "crew": crew, "patience": patience, "gatekeeper": gatekeeper}
        self._clients = Clients(plan=plan.drill, **shared)
        self._conductor = Conductor(
            plan=plan.drill,
            recorder=recorder,
            tools=self._tools,
            etcd=EtcdAdmin(password=plan.drill.secrets["etcd_root"], crew=crew, gatekeeper=gatekeeper),
            clients=self._clients,
            alerting=Alerting(plan.drill, recorder, self._tools, patience),
            **shared,
        )
        self._stage = Stage(plan.drill, expected, crew, recorder, patience)
        self._records = Records(Path(plan.drill.directory))
        self._schedules: list[Schedule] = []
        self._outlook = Outlook()
        self._begun = time.monotonic()
        self._failures: list[str] = []

    def run(self) -> int:
        """Run everything; return the exit code."""
        self._speaker.tell(f"the engine runs as process {os.getpid()}")
        try:
            self._provider.require()
            self._crew.begin()
            self._clients.require()
            self._outlook = self._foresee()
            self._begin()
            self._explore()
        except Exception as error:  # noqa: BLE001 - the trials so far must still be reported
            if not isinstance(error, OPERATIONAL):
                trace()
            self._failures.append(f"stopped early: {in_words(error)}")
        finally:
            self._clean_up()
        return self._report()

    def _foresee(self) -> Outlook:
        hosts = [node.name for node in self._drill.nodes if node.ha is not None]
        seen = view(self._expected, self._crew.call_all(self._expected.databases, "probe", 20.0))
        return outlook(self._drill.topology, self._crew.call_all(hosts, "timings"), seen.configuration, COURSES)

    def _begin(self) -> None:
        """Make the schedules, and begin or continue the records."""
        plan, kinds = self._plan, self._usable()
        self._schedules = self._planned(kinds)
        header: dict[str, Any] = {"mode": plan.mode, "cluster": self._drill.cluster, "profile": report.profile(plan)}
        if plan.mode == Mode.RANDOM:
            header |= {"seed": plan.seed, "kinds": kinds}
        else:
            header |= {"schedules": [schedule.digest for schedule in self._schedules]}
        if done := self._records.begin(header):
            self._speaker.tell(f"{done} trials are recorded in {self._records.directory}: going on after them")

    def _planned(self, kinds: list[str]) -> list[Schedule]:
        plan = self._plan
        if plan.schedule:
            return [plan.schedule] * plan.trials
        if plan.mode == Mode.LADDER:
            return [rung.schedule for rung in rungs(plan.lengths, plan.repeat, plan.seed, kinds, plan.shape)]
        return [generate(plan.seed, number, plan.shape, kinds) for number in range(1, plan.trials + 1)]

    def _usable(self) -> list[str]:
        """Return the kinds that these hosts permit."""
        usable = []
        for name in self._plan.kinds:
            kind = KINDS[name]
            hindrance = kind.action(Step(name, "", seconds=kind.least)).hindrance(self._tools)
            if hindrance:
                self._speaker.tell(f"without {name}: {hindrance}")
            else:
                usable.append(name)
        return usable

    # The trials

    def _explore(self) -> None:
        """Carry out the trials that have no record; shrink those that failed."""
        for number, schedule in enumerate(self._schedules, 1):
            if self._records.trial(number) is None:
                if self._is_over():
                    self._speaker.tell("the time is over; the same command goes on")
                    return
                trial = self._try(number, schedule)
                self._records.keep(number, trial, seed=self._plan.seed)
                self._end_if_broken(number, trial)
            record = self._records.trial(number)
            if record and self._plan.mode == Mode.RANDOM and self._is_open(number, record):
                self._shrink(number, schedule, record)

    def _is_open(self, number: int, record: Mapping[str, Any]) -> bool:
        """Return whether a trial failed whose smallest failure is not written yet."""
        return record["outcome"] == FAILED and not self._records.smallest(number).exists()

    def _is_over(self) -> bool:
        minutes = self._plan.minutes
        return bool(minutes) and time.monotonic() - self._begun > 60.0 * minutes

    def _try(self, number: int, schedule: Schedule) -> Trial:
        """Carry out a schedule and judge it; raises StoppedError, or GateError when the cluster was not ready."""
        self._speaker.tell(f"trial {number} of {len(self._schedules)}: {schedule}")
        timeline = Timeline(schedule, self._stage)
        try:
            ledger = self._conductor.conduct(self._fault(schedule, timeline), number)
        except GateError as error:
            if timeline.injected is None:
                raise
            trial = Trial(schedule, FAILED, f"not_recovered: {error}", broken=True, hits=tuple(timeline.hits))
        except (NotProvenError, SessionLostError, AgentError) as error:
            if failures := self._tools.heal():
                raise GateError(f"not healed: {'; '.join(failures)}") from error
            trial = Trial(schedule, UNPROVEN, in_words(error))
        else:
            trial = self._judge(number, schedule, timeline, ledger)
        self._speaker.tell(f"trial {number}: {sentence(trial)}")
        return trial

    def _fault(self, schedule: Schedule, timeline: Timeline) -> Fault:
        # A fault of the primary's makes the drill move etcd's leadership away, for comparable rungs.
        target = Target.PRIMARY if self._plan.mode == Mode.LADDER else Target.CLUSTER
        return Fault("trial", str(schedule), target, timeline, seconds(0), UNBUDGETED, "a schedule", NONE)

    def _judge(self, number: int, schedule: Schedule, timeline: Timeline, ledger: Ledger) -> Trial:
        settings = self._outlook.settings
        timings = replace(Timings.of(settings) if settings else Timings(), extra=self._drill.slack)
        worst = {name: prediction.worst for name, prediction in self._outlook.predictions.items()}
        bound = judge.bound(schedule, worst, self._drill.slack, timings.lease_takeover)
        budget = replace(default_budget(UNBUDGETED, timings), resumed=None)
        record = judge.with_hits(ledger, timeline.hits)
        judgement = judge.judge(record, timeline.hits, budget, bound)
        if not judgement.passed:
            ledger_file.write(record, self._records.ledger(number, schedule))
        outcome = PASSED if judgement.passed else FAILED
        hits = tuple(timeline.hits)
        return Trial(schedule, outcome, hits=hits, judgement=judgement, injected=timeline.injected or 0.0)

    def _end_if_broken(self, number: int, trial: Trial) -> None:
        if not trial.broken:
            return
        self._keep_smallest(number, trial.schedule, {"breaches": [trial.reason], "shrunk": False})
        raise GateError(f"trial {number} left the cluster unhealthy: {trial.reason}")

    # The smallest failure

    def _shrink(self, number: int, schedule: Schedule, record: Mapping[str, Any]) -> None:
        """Find the smallest schedule that fails, within the permitted number of runs, and write it."""
        left = self._plan.shrink

        def fails(candidate: Schedule) -> bool:
            nonlocal left
            known = self._records.shrinking(number, candidate)
            if known is None:
                if left <= 0:
                    return False
                trial = self._try(number, candidate)
                self._records.keep_shrinking(number, trial)
                self._end_if_broken(number, trial)
                known = trial.as_data()
            left -= 1
            return bool(known["outcome"] == FAILED)

        again = fails(schedule)
        if again:
            schedule = shrink(schedule, fails, lambda candidate: not objection(candidate, self._plan.shape))
        seen = self._records.shrinking(number, schedule) or record
        texts = [f"{breach['rule']}: {breach['text']}" for breach in seen.get("breaches", ())]
        self._keep_smallest(number, schedule, {"breaches": texts, "failed_again": again, "shrunk": again})

    def _keep_smallest(self, number: int, schedule: Schedule, found: dict[str, Any]) -> None:
        about = {"cluster": self._drill.cluster, "profile": report.profile(self._plan), "seed": self._plan.seed}
        self._records.keep_smallest(number, schedule, {**about, "trial": number, **found})
        self._speaker.tell(f"trial {number}: the smallest failure found is in {self._records.smallest(number)}")

    # The end

    def _clean_up(self) -> None:
        self._failures += [f"not healed: {failure}" for failure in self._tools.heal()]
        if not self._clients.remove_table():
            self._speaker.tell(f"the schema {SCHEMA} could not be removed: no leader; drop it by hand")
        self._crew.end()

    def _report(self) -> int:
        planned = len(self._schedules)
        trials = self._records.all(planned)
        if trials:
            self._speaker.say(table=report.write_all(self._plan, planned, self._records, self._outlook))
        failed = count(trials, FAILED)
        failures = [*self._failures, *([f"{failed} of {len(trials)} trials failed"] if failed else [])]
        if not failures and not trials:
            failures = ["no trial was carried out"]
        result = {"passed": not failures, "failure": "; ".join(failures), "directory": str(self._records.directory)}
        self._speaker.say(result=result)
        return 1 if failures else 0


def sentence(trial: Trial) -> str:
    """Return the outcome of a trial."""
    found = trial.judgement
    if found is None:
        return f"{trial.outcome}: {trial.reason}"
    broken = "; ".join(f"{breach.rule}: {breach.text}" for breach in found.breaches)
    flowed = f"writes flowed {found.resumed:.2f} s after the last end ({found.bound:.1f} s at worst)"
    rows = f"{found.acknowledged} rows acknowledged, {found.lost} lost"
    failover = "a failover" if found.failover else "no failover"
    return f"{trial.outcome}: {failover}; {flowed}; {rows}{f'; BROKEN: {broken}' if broken else ''}"


if __name__ == "__main__":
    serve(lambda document, stop, speaker: Explore(parse_plan(document), stop, speaker).run())
