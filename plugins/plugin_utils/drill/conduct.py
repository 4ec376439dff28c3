# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conducts one injection: gate, clients, fault, healing, gate, rows, ledger."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.holdfast.ha.plugins.module_utils.stopwatch import Stopwatch
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.alerting import Alerting
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.clients import Clients
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.etcd_admin import EtcdAdmin
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import Fault, Target, Until
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import Expected, View
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gatekeeper import Gatekeeper
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.tools import Tools
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.crew import Crew
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.recorder import Recorder
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import GateError, Patience
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.targets import choose, etcd_leader_wanted
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import events
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Event, Ledger
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.spans import longest_silence

STEADY_SECONDS = 3.0
BASELINE_SECONDS = 2.0  # of steady writes before a fault: twice the pause that counts as a break

Spans = dict[str, tuple[tuple[float, float], ...]]


@dataclass(slots=True)
class Harm:
    """The targets of a fault, its times and proof, and when each host was dark or cut off."""

    targets: tuple[str, ...]
    injected: float
    healed: float = 0.0
    proof: str = ""
    dark: Spans = field(default_factory=dict)
    cut: Spans = field(default_factory=dict)


class Conductor:
    """Runs injections one after the other."""

    def __init__(
        self,
        *,
        plan: Plan,
        expected: Expected,
        crew: Crew,
        recorder: Recorder,
        tools: Tools,
        patience: Patience,
        gatekeeper: Gatekeeper,
        etcd: EtcdAdmin,
        clients: Clients,
        alerting: Alerting,
    ) -> None:
        self._plan = plan
        self._expected = expected
        self._crew = crew
        self._recorder = recorder
        self._tools = tools
        self._patience = patience
        self._gatekeeper = gatekeeper
        self._etcd = etcd
        self._clients = clients
        self._alerting = alerting

    def conduct(self, fault: Fault, repetition: int) -> Ledger:
        """Inject one fault once; raises GateError, NotProvenError or StoppedError, after healing in every case."""
        self._patience.label = f"{fault.name} {repetition}"
        watch = Stopwatch()
        before = self._ready(fault)
        self._alerting.await_calm(fault)
        table = self._clients.make_table(before.leader)
        self._recorder.reset(self._crew.offset(self._plan.client))
        begun = self._recorder.now()
        watch.end("gate before")
        try:
            self._clients.begin(table)
            self._await_flow(BASELINE_SECONDS, 30.0, "steady writes through the pool")
            before = self._ready(fault)
            watch.end("load")
            harm = self._hit(fault, repetition, before, watch)
            return self._record(fault, repetition, before, harm, begun=begun, table=table, watch=watch)
        finally:
            self._clients.end()

    def _ready(self, fault: Fault) -> View:
        """Wait until the gate is open and the right member leads etcd; return the roles."""
        seen = self._gatekeeper.wait("before")[0]
        wanted = etcd_leader_wanted(fault.target, self._expected, seen)
        if not wanted:
            return seen
        self._etcd.hand_over(seen.etcd_leader, wanted)
        return self._gatekeeper.wait("before")[0]

    def _await_flow(self, steady: float, seconds: float, what: str) -> None:
        self._patience.until(lambda: self._recorder.flow()[0] >= steady, seconds, what)

    # The fault

    def _hit(self, fault: Fault, repetition: int, before: View, watch: Stopwatch) -> Harm:
        """Inject the fault, let it last, heal it; raises GateError when it could not be healed."""
        everybody = tuple(node.name for node in self._plan.nodes if node.ha is not None)
        targets = choose(fault.target, self._expected, before, everybody, repetition)
        if not targets or not all(targets):
            raise GateError(f"{fault.name}: no host is {fault.target}")
        harm = Harm(targets, self._recorder.now())
        self._gatekeeper.distrust_archive()
        try:
            if fault.target is Target.ONE_BY_ONE:
                self._inject_one_by_one(fault, before, harm)
            else:
                self._inject(fault, before, harm)
        finally:
            watch.end("fault")
            failures = self._tools.heal()
        harm.healed = self._recorder.now()
        watch.end("healing")
        if fault.action.darkens(self._tools):
            harm.dark = {host: (self._unseen(host, harm),) for host in targets}
        if failures:
            raise GateError(f"{fault.name}: not healed: {'; '.join(failures)}")
        return harm

    def _inject(self, fault: Fault, before: View, harm: Harm) -> None:
        proof = fault.action.inject(self._tools, harm.targets, before)
        self._patience.tell(f"injected: {proof}")
        self._hold(fault, before, harm.injected)
        self._alerting.await_fired(fault, harm.targets, harm.injected)
        harm.cut = self._tools.cut()
        harm.proof = "; ".join(filter(None, [proof, fault.action.still(self._tools, harm.targets)]))

    def _inject_one_by_one(self, fault: Fault, before: View, harm: Harm) -> None:
        """Inject the fault into one host after the other, and wait for a healthy cluster before each."""
        proofs = []
        for host in harm.targets:
            begun = self._recorder.now()
            self._gatekeeper.distrust_archive()
            proofs.append(fault.action.inject(self._tools, [host], before))
            harm.dark[host] = ((begun, self._recorder.now()),)
            self._patience.tell(proofs[-1])
            self._gatekeeper.wait(f"after {host}")
        harm.proof = "; ".join(proofs)

    def _hold(self, fault: Fault, before: View, injected: float) -> None:
        """Let the fault last until its end condition holds, within its bounds."""
        while True:
            elapsed = self._recorder.now() - injected
            if elapsed >= fault.lasting.most or (elapsed >= fault.lasting.least and self._satisfied(fault, before)):
                return
            self._patience.progress(f"{elapsed:5.1f} s into the fault")
            self._patience.pause()

    def _satisfied(self, fault: Fault, before: View) -> bool:
        seconds, server = self._recorder.flow()
        if fault.lasting.until is Until.TIME or seconds < STEADY_SECONDS:
            return False
        return fault.lasting.until is Until.WRITES or server != before.leader

    def _unseen(self, host: str, harm: Harm) -> tuple[float, float]:
        return longest_silence(self._recorder.seen(host), harm.injected, harm.healed)

    # The record

    def _record(
        self, fault: Fault, repetition: int, before: View, harm: Harm, *, begun: float, table: str, watch: Stopwatch
    ) -> Ledger:
        """Wait until the cluster is healthy, and return the whole record."""
        after, recovery = self._gatekeeper.wait("after", since=harm.healed)
        self._await_flow(STEADY_SECONDS, 60.0, "steady writes after healing")
        self._alerting.await_settled(fault, harm.healed, recovery)
        ended = self._last_claim(after.leader, self._recorder.now())
        self._clients.end()
        watch.end("gate after")
        presence = self._clients.presence(after.leader, table)
        lists = self._clients.final_lists(after.leader, table, self._recorder.now)
        watch.end("rows")
        return Ledger(
            fault=fault.name,
            repetition=repetition,
            begun=begun,
            injected=harm.injected,
            healed=harm.healed,
            ended=ended,
            proof=harm.proof,
            primary_before=before.leader,
            primary_after=after.leader,
            **self._recorder.records(begun, ended),
            consistency=self._plan.consistency,
            transactions=(*self._recorder.transactions, *lists),
            pooled_pool=(self._plan.pooled or {}).get("name", ""),
            monitor=self._plan.monitor,
            events=self._events(fault, before, harm),
            presence=presence,
            recovery=recovery,
            clock_uncertainty=self._crew.describe(),
            expected_members=self._expected.databases,
            expected_balancers=self._expected.balancers,
            dark=harm.dark,
            cut=harm.cut,
            phases=watch.phases,
            write_pools=(self._expected.primary_pool,),
            read_pools=(self._expected.standby_pool,),
        )

    def _last_claim(self, leader: str, since: float) -> float:
        """Return the time, after ``since``, of a sample in which the leader claims to be primary: the record's end."""
        found: list[float] = []

        def claims() -> bool:
            at = self._recorder.claimed(leader)
            found.extend([] if at is None or at < since else [at])
            return bool(found)

        self._patience.until(claims, 60.0, f"{leader} to say that it is primary")
        return found[0]

    def _events(self, fault: Fault, before: View, harm: Harm) -> tuple[Event, ...]:
        names = ", ".join(harm.targets)
        derived = events.derive(
            list(self._recorder.members),
            list(self._recorder.balancers),
            injected=harm.injected,
            healed=harm.healed,
            primary=before.leader,
            write_pool=self._expected.primary_pool,
        )
        noted = [Event(harm.injected, "injected", names, fault.title), Event(harm.healed, "healed", names)]
        return tuple(sorted([*noted, *derived], key=lambda event: event.at))
