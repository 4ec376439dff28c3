# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The soak's own process: the load, the disturbances, and the observation of the cluster."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.clients import SCHEMA, Clients
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.etcd_admin import EtcdAdmin
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import expected_of, part, view
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gatekeeper import Gatekeeper
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.crew import Crew
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.session import AgentError, SessionLostError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import GateError, Patience, StoppedError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.process import (
    OPERATIONAL,
    Speaker,
    in_words,
    serve,
    trace,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak import commands, lease, report
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.judge import Journal, Load, Seen, State, breaches
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.pgbench import GRACE_SECONDS, Pgbench
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.plan import SoakPlan, parse
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.schedule import Disturbance, Kind, counts
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.witness import Witness, alertmanager, on

LOOK_SECONDS = 0.25
HANDOVER_SECONDS = 25.0
WRITE_INTERVAL = 0.2
WRITERS = 2


class Soak:
    """One soak, from the first connection to the report."""

    def __init__(self, plan: SoakPlan, stop: threading.Event, speaker: Speaker) -> None:
        self._soak, self._plan, self._speaker = plan, plan.drill, speaker
        self._expected = expected = expected_of(plan.drill)
        self._witness = Witness({at: name for name, at in plan.drill.addresses.items()}, expected.virtual_ips)
        self._crew = crew = Crew(plan.drill, self._witness.take, speaker.tell)
        self._patience = patience = Patience(self._witness, stop, speaker.tell)
        patience.label = "soak"
        archiving = bool(plan.drill.bearing("backup"))
        self._gatekeeper = gatekeeper = Gatekeeper(
            expected=expected, archiving=archiving, crew=crew, patience=patience, now=self._witness.now
        )
        self._etcd = EtcdAdmin(password=plan.drill.secrets["etcd_root"], crew=crew, gatekeeper=gatekeeper)
        self._clients = Clients(plan=plan.drill, expected=expected, crew=crew, patience=patience, gatekeeper=gatekeeper)
        self._pgbench = Pgbench(plan, crew, self._clients, self._clear)
        self._table = ""
        self._ended = threading.Event()
        self._done: list[Kind] = []
        self._troubles: list[str] = []
        self._hosts = [node.name for node in plan.drill.nodes if node.ha is not None]
        self._how: Mapping[Kind, Callable[[Disturbance], None]] = {
            Kind.BURN: lambda step: self._on_all(self._hosts, commands.burn(step.seconds)),
            Kind.STALL: lambda step: self._on_all(expected.databases, self._stall(step.seconds)),
            Kind.HANDOVER: lambda _step: self._hand_over(),
            Kind.RESTART: lambda step: self._on_all([step.host], ["systemctl", "restart", commands.WATCHER]),
        }

    def run(self) -> int:
        """Run everything; return the exit code."""
        directory = Path(self._plan.directory)
        directory.mkdir(parents=True, exist_ok=True)
        self._speaker.tell(f"the engine runs as process {os.getpid()}")
        seen, failure = None, ""
        try:
            self._crew.begin()
            self._clients.require()
            seen = self._observe()
        except Exception as error:  # noqa: BLE001 - the hosts must be cleaned up after any error
            if not isinstance(error, OPERATIONAL):
                trace()
            failure = "; ".join([in_words(error), *(change.text for change in self._witness.changes)])
        finally:
            self._clear()
            if not self._clients.remove_table():
                self._speaker.tell(f"the schema {SCHEMA} could not be removed: no leader; drop it by hand")
            self._crew.end()
        return self._report(directory, seen, failure and f"stopped early: {failure}")

    def _report(self, directory: Path, seen: Seen | None, failure: str) -> int:
        found = list(breaches(seen)) if seen else []
        if seen:
            report.write(self._soak, seen, found, directory)
            self._speaker.say(table=report.as_text(self._soak, seen, found))
        failure = failure or "; ".join(f"{change.text} [{change.rule}]" for change in found)
        self._speaker.say(result={"passed": not failure, "failure": failure, "directory": str(directory)})
        return 1 if failure else 0

    # The course

    def _observe(self) -> Seen:
        self._clear()
        self._gatekeeper.wait("before")
        self._prepare()
        since = {host: self._out(host, ["date", "+%s"]) for host in self._hosts}
        key = lease.leader_key(self._etcd.asking(self._expected.etcd[0]), self._plan.topology["postgresql"]["scope"])
        before = self._state(key)
        self._witness.watch(before, self._observers())
        threading.Thread(target=self._watch_lease, args=(key,), daemon=True).start()
        begun = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            load = pool.submit(self._pgbench.keep_busy)
            try:
                under_way = self._disturb(pool, load, begun)
            except BaseException:
                self._pgbench.end(load)  # otherwise the thread pool would wait for it
                raise
            elapsed = time.monotonic() - begun
            self._clear(commands.BURN, commands.STALL)
            if self._witness.changes:
                self._pgbench.end(load)
            finished = load.result()
            for future in under_way:
                future.result()
        return self._judge(key, before, since, finished, elapsed)

    def _prepare(self) -> None:
        leader = self._gatekeeper.look().leader
        self._table = self._clients.make_table(leader)
        self._clients.execute(leader, f'GRANT CREATE ON SCHEMA {SCHEMA} TO "{self._plan.role}"')
        self._pgbench.prepare()
        self._witness.reset(self._crew.offset(self._plan.client))
        longest = self._soak.seconds + 2 * GRACE_SECONDS
        self._clients.begin_few(self._table, writers=WRITERS, interval=WRITE_INTERVAL, seconds=longest)

    def _disturb(self, pool: ThreadPoolExecutor, load: Future[Load], begun: float) -> list[Future[None]]:
        """Carry out the schedule until its end, a change of the cluster, or the end of the load."""
        waiting, under_way = list(self._soak.steps), []
        while (elapsed := time.monotonic() - begun) < self._soak.seconds:
            while waiting and waiting[0].at <= elapsed:
                under_way.append(pool.submit(self._do, waiting.pop(0)))
            if self._witness.changes or load.done():
                break
            self._patience.progress(f"{elapsed:5.0f} s, silence of the lease {self._witness.lease_silence} s at most")
            self._patience.pause()
        return under_way

    def _do(self, step: Disturbance) -> None:
        try:
            self._how[step.kind](step)
        except (GateError, SessionLostError, AgentError, StoppedError) as error:
            self._troubles.append(f"{step.kind.name.lower()} at {step.at:.0f} s: {error}")
        else:
            self._done.append(step.kind)

    def _judge(self, key: str, before: State, since: Mapping[str, str], load: Load, elapsed: float) -> Seen:
        blind = self._witness.blind()
        self._ended.set()
        self._clients.end()
        self._gatekeeper.wait("after")
        after = self._state(key)
        stored = self._clients.presence(after.leader, self._table)
        present = next(found.counts for found in stored if found.member == after.leader)
        begun = [step for step in self._soak.steps if step.at < elapsed - 1]
        return Seen(
            before=before,
            after=after,
            changes=self._witness.changes,
            journals={host: self._journal(host, since[host]) for host in self._journalling()},
            load=load,
            planned=counts(begun),
            disturbed={kind.name.lower(): self._done.count(kind) for kind in Kind},
            blind=blind,
            silence=self._witness.lease_silence,
            lease_looks=self._witness.lease_looks,
            handovers=self._done.count(Kind.HANDOVER),
            acknowledged=len(self._witness.acknowledged),
            lost=sum(row not in present for row in self._witness.acknowledged),
            seconds=round(elapsed, 1),
            machine={"processors": os.cpu_count(), "load": [round(load, 1) for load in os.getloadavg()]},
            troubles=tuple(self._troubles),
        )

    # Looking

    def _observers(self) -> list[str]:
        members = [f"PostgreSQL on {host}" for host in self._expected.databases]
        alerts = [alertmanager(self._plan.monitor)] if self._plan.monitor else []
        return ["etcd", *members, *(f"addresses of {host}" for host in self._expected.balancers), *alerts]

    def _state(self, key: str) -> State:
        probes = self._gatekeeper.probe()
        seen, now = view(self._expected, probes), lease.look(self._etcd.asking(self._expected.etcd[0]), key)
        holders = [
            on(address, host)
            for host in self._expected.balancers
            for address in part(probes, host, "balancer").get("holds", ())
        ]
        return State(seen.leader, seen.timeline, tuple(sorted(holders)), now.lease, now.term)

    def _watch_lease(self, key: str) -> None:
        """Sample the lease until the end; a member that does not answer leaves a gap, and another is asked."""
        hosts = list(self._expected.etcd)
        ask = self._etcd.asking(self._expected.etcd[0])
        while not self._ended.wait(LOOK_SECONDS):
            try:
                seen = lease.look(ask, key)
            except (SessionLostError, AgentError, GateError, KeyError):
                hosts.append(hosts.pop(0))
                ask = self._etcd.asking(hosts[0])
                continue
            self._witness.look(self._witness.now(), seen)

    def _journalling(self) -> list[str]:
        return sorted({*self._expected.databases, *self._soak.watchers})

    def _journal(self, host: str, since: str) -> Journal:
        try:
            watcher, patroni = (
                self._out(host, commands.journal_since(name, since), nothing=1)
                for name in (commands.WATCHER, commands.PATRONI)
            )
        except (SessionLostError, AgentError, GateError) as error:
            return Journal(missing=str(error))
        return commands.read_journal(watcher, patroni)

    # Doing

    def _stall(self, seconds: float) -> list[str]:
        postgresql = self._plan.topology["postgresql"]
        return commands.stall(seconds, postgresql["data_directory"], postgresql["users"]["superuser"])

    def _hand_over(self) -> None:
        """Move etcd's leadership to the next member, and check that it leads."""
        deadline, error = time.monotonic() + HANDOVER_SECONDS, ""
        successor = ""
        while time.monotonic() < deadline:
            leader = self._gatekeeper.look().etcd_leader
            if leader and leader == successor:
                return
            members = self._expected.etcd
            try:
                if leader:
                    successor = successor or members[(members.index(leader) + 1) % len(members)]
                    self._etcd.hand_over(leader, successor)
            except (GateError, SessionLostError, AgentError) as refused:
                error = str(refused)
            self._patience.pause()
        raise GateError(f"{successor or 'no member'} did not become etcd's leader in {HANDOVER_SECONDS:g} s; {error}")

    def _on_all(self, hosts: Sequence[str], argv: Sequence[str]) -> None:
        for host, done in self._crew.call_all(hosts, "run", argv=list(argv), seconds=14.0).items():
            if done["code"]:
                raise GateError(f"{host}: {' '.join(argv[:2])}: {done['err'].strip() or done['code']}")

    def _out(self, host: str, argv: Sequence[str], nothing: int = 0) -> str:
        """Return a command's output; the exit code for no output is not a failure without an error message."""
        done = self._crew.call(host, "run", 30.0, argv=list(argv), seconds=25.0)
        if done["code"] not in {0, nothing} or (done["code"] and done["err"]):
            raise GateError(f"{host}: {' '.join(argv[:3])}: {done['err'].strip() or done['code']}")
        return str(done["out"]).strip()

    def _clear(self, *units: str) -> None:
        """End the started units; a unit that systemd no longer knows is not a failure."""
        argv = ["systemctl", "stop", *(f"{unit}.service" for unit in units or commands.UNITS)]
        self._crew.call_all([*self._hosts, self._plan.client], "run", argv=argv)


if __name__ == "__main__":
    serve(lambda document, stop, speaker: Soak(parse(document), stop, speaker).run())
