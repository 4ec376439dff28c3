# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conducts one injection: gate, clients, fault, healing, gate, rows, ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils import journal
from ansible_collections.holdfast.ha.plugins.module_utils.stopwatch import Stopwatch
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import (
    Fault,
    Reboot,
    Until,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import (
    Expected,
    View,
    balancer_doubts,
    database_doubts,
    doubts,
    etcd_doubts,
    member_id,
    silent,
    view,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.injector import Injector
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.provider import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.crew import Crew
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.recorder import Recorder
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.session import AgentError, SessionLostError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan, Refusal
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.targets import choose, etcd_leader_wanted
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import events
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Event, Ledger, Presence
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.spans import longest_silence

GATE_SECONDS = 300.0
REACH_SECONDS = 8.0  # for a pool that is just being changed
POLL_SECONDS = 0.25
TELL_SECONDS = 2.0
SHOWN = 90
STEADY_SECONDS = 3.0
BASELINE_SECONDS = 2.0  # of steady writes before a fault: twice what would count as a break
WRITERS = 4
WRITE_INTERVAL = 0.06  # each of the four: together a row per 15 ms
READ_INTERVAL = 0.05
NAIVE_INTERVAL = 0.1
# Hasty clients find a new way at once where the old one is silent; patient ones get through where all are slow.
HASTY: Mapping[str, Any] = {"connect_deadline": 0.5, "answer_deadline": 1.0}
PATIENT: Mapping[str, Any] = {"connect_deadline": 2.0, "answer_deadline": 2.0}
TEMPERS = (HASTY, PATIENT)
WAITING: Mapping[str, Any] = {"connect_deadline": 30.0, "answer_deadline": 30.0}  # clients of a pooler rely on it
LONGEST_LOAD = 3600.0
SCHEMA = "holdfast_drill"
READ = "SELECT pg_is_in_recovery()"
# A segment without a record would not be switched.
ANY_WAL = "SELECT pg_logical_emit_message(false, 'holdfast_drill', 'gate')"
SWITCH_WAL = "SELECT pg_walfile_name(pg_switch_wal())"
REPLAYED = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
FOUND = "SELECT writer, sequence, count(*) FROM {table} GROUP BY writer, sequence"


class StoppedError(Exception):
    """The controller is gone, or somebody pressed Ctrl-C."""


class GateError(Exception):
    """The cluster is not in the state in which a drill may say anything."""


Spans = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Harm:
    """A fault that was proven and healed; dark and cut: when each host was off, or cut off."""

    proof: str
    healed: float
    dark: Mapping[str, Spans]
    cut: Mapping[str, Spans]


class Conductor:
    """Runs injections one after the other."""

    def __init__(
        self,
        *,
        plan: Plan,
        expected: Expected,
        crew: Crew,
        recorder: Recorder,
        injector: Injector,
        stop: threading.Event,
        tell: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._expected = expected
        self._crew = crew
        self._recorder = recorder
        self._injector = injector
        self._stop = stop
        self._tell = tell
        self._label = ""
        self._told = 0.0
        self._number = 0
        self._archived = ""  # the segment that the archive was seen to have, since the last harm
        self.last_view: View | None = None

    # Before all injections

    def require(self) -> None:
        """Raise Refusal where the drill's clients could not work at all."""
        for host in (self._plan.client, *self._expected.databases):
            if not self._crew.call(host, "reach", servers=[], seconds=0.0)["psycopg2"]:
                named = f"drill_client: {host!r}" if host == self._plan.client else host
                python = self._plan.node(host).interpreter
                raise Refusal(f"{named}: {python} has no module psycopg2 there; install python3-psycopg2")
        pools = [pool for pool in (self._plan.pool("primary"), self._plan.pool("standby"), self._plan.pooled) if pool]
        servers = [self._settings(pool, sslmode="require") for pool in pools]
        deadline = time.monotonic() + REACH_SECONDS
        while errors := self._unreached(pools, servers):
            if time.monotonic() > deadline:
                raise Refusal(f"drill_client: {self._plan.client!r}: can't get in: {'; '.join(errors)}")
            self._pause()

    def _unreached(self, pools: Sequence[Mapping[str, Any]], servers: Sequence[Mapping[str, Any]]) -> list[str]:
        found = self._crew.call(self._plan.client, "reach", 30.0, servers=servers, seconds=REACH_SECONDS / 2)["errors"]
        return [
            f"pool {pool['name']} ({pool['addresses'][0]}:{pool['port']}): {error}"
            for pool, error in zip(pools, found, strict=True)
            if error
        ]

    # One injection

    def conduct(self, fault: Fault, repetition: int) -> Ledger:
        """Inject one fault, once; raises GateError, NotProvenError or StoppedError, and has healed in any case."""
        self._number += 1
        self._label = f"{fault.name} {repetition}"
        watch = Stopwatch()
        before = self._ready(fault)
        table = f"{SCHEMA}.writes_{self._number}"
        self._make_table(before.leader, table)
        client = self._crew.offset(self._plan.client)
        if client is None:
            raise SessionLostError(f"{self._plan.client}: no session")
        self._recorder.reset(client)
        begun = self._recorder.now()
        watch.end("gate before")
        try:
            self._begin_load(table)
            self._await(lambda: self._recorder.flow()[0] >= BASELINE_SECONDS, 30.0, "steady writes through the pool")
            before = self._ready(fault)
            watch.end("load")
            return self._hit(fault, repetition, before, begun=begun, table=table, watch=watch)
        finally:
            self._end_load()

    def _ready(self, fault: Fault) -> View:
        """Wait until the gate holds with the right member leading etcd; return who is what."""
        return self._lead_etcd(fault, self.await_gate("before")[0])

    def _hit(
        self, fault: Fault, repetition: int, before: View, *, begun: float, table: str, watch: Stopwatch
    ) -> Ledger:
        targets = self._targets(fault, repetition, before)
        injected = self._recorder.now()
        harm = self._harm(fault, targets, before, injected, watch)
        after, recovery = self.await_gate("after", since=harm.healed)
        self._await(lambda: self._recorder.flow()[0] >= STEADY_SECONDS, 60.0, "steady writes after healing")
        ended = self._last_claim(after.leader, harm.healed)
        self._end_load()
        watch.end("gate after")
        presence = self._presence(after.leader, table)
        watch.end("rows")
        noted = [
            Event(injected, "injected", ", ".join(targets), fault.title),
            Event(harm.healed, "healed", ", ".join(targets)),
            *self._derived(injected, harm.healed, before),
        ]
        return Ledger(
            fault=fault.name,
            repetition=repetition,
            begun=begun,
            injected=injected,
            ended=ended,
            primary_before=before.leader,
            primary_after=after.leader,
            events=tuple(sorted(noted, key=lambda event: event.at)),
            presence=presence,
            recovery=recovery,
            phases=watch.phases,
            **asdict(harm),
            **self._observed(begun, ended),
        )

    def _targets(self, fault: Fault, repetition: int, before: View) -> tuple[str, ...]:
        everybody = tuple(node.name for node in self._plan.nodes if node.ha is not None)
        targets = choose(fault.target, self._expected, before, everybody, repetition)
        if not targets or not all(targets):
            raise GateError(f"{fault.name}: nobody is {fault.target}")
        return targets

    def _harm(self, fault: Fault, targets: tuple[str, ...], before: View, injected: float, watch: Stopwatch) -> Harm:
        """Inject, hold and heal a fault; raise GateError when it can't be healed."""
        dark: dict[str, Spans] = {}
        cut: dict[str, Spans] = {}
        self._archived = ""
        try:
            if isinstance(fault.action, Reboot):
                proof = self._reboot(targets, dark)
            else:
                proof = self._injector.inject(fault, targets, before)
                self._tell(f"{self._label}: injected: {proof}")
                self._hold(fault, before, injected)
                cut = self._injector.cut()
                proof = "; ".join(filter(None, [proof, self._injector.still(fault, targets)]))
        finally:
            watch.end("fault")
            failures = self._injector.heal()
        healed = self._recorder.now()
        watch.end("healing")
        if self._injector.darkens(fault):
            dark = {host: (longest_silence(self._recorder.seen(host), injected, healed),) for host in targets}
        if failures:
            raise GateError(f"{fault.name}: not healed: {'; '.join(failures)}")
        return Harm(proof, healed, dark, cut)

    def _observed(self, begun: float, ended: float) -> dict[str, Any]:
        """Return what a ledger has of the clients, the hosts and the cluster."""
        recorder = self._recorder
        return {
            "writes": tuple(recorder.writes),
            "reads": tuple(recorder.reads),
            "naive": tuple(recorder.naive),
            "pooled": tuple(recorder.pooled),
            "pooled_pool": (self._plan.pooled or {}).get("name", ""),
            "local_writes": tuple(recorder.local_writes),
            "members": tuple(sample for sample in recorder.members if begun <= sample.at <= ended),
            "balancers": tuple(sample for sample in recorder.balancers if begun <= sample.at <= ended),
            "clock_uncertainty": self._crew.describe(),
            "expected_members": self._expected.databases,
            "expected_balancers": self._expected.balancers,
            "write_pools": (self._expected.primary_pool,),
            "read_pools": (self._expected.standby_pool,),
        }

    def _last_claim(self, leader: str, since: float) -> float:
        """Return when, not before ``since``, a newest sample saw the leader say so: there the record ends."""
        found: list[float] = []

        def claims() -> bool:
            at = self._recorder.claimed(leader)
            found.extend([] if at is None or at < since else [at])
            return bool(found)

        self._await(claims, 60.0, f"{leader} to say that it is primary")
        return found[0]

    def _derived(self, injected: float, healed: float, before: View) -> list[Event]:
        return events.derive(
            list(self._recorder.members),
            list(self._recorder.balancers),
            injected=injected,
            healed=healed,
            primary=before.leader,
            write_pool=self._expected.primary_pool,
        )

    def _reboot(self, targets: Sequence[str], dark: dict[str, Spans]) -> str:
        proofs = []
        for host in targets:
            begun = self._recorder.now()
            self._archived = ""
            proofs.append(self._injector.reboot(host))
            dark[host] = ((begun, self._recorder.now()),)
            self._tell(f"{self._label}: {proofs[-1]}")
            self.await_gate(f"after {host}")
        return "; ".join(proofs)

    def _hold(self, fault: Fault, before: View, injected: float) -> None:
        """Let the fault last until what it waits for has come, within its bounds."""
        while True:
            elapsed = self._recorder.now() - injected
            if elapsed >= fault.lasting.most or (elapsed >= fault.lasting.least and self._satisfied(fault, before)):
                return
            self._progress(f"{elapsed:5.1f} s into the fault")
            self._pause()

    def _satisfied(self, fault: Fault, before: View) -> bool:
        seconds, server = self._recorder.flow()
        if fault.lasting.until is Until.TIME or seconds < STEADY_SECONDS:
            return False
        return fault.lasting.until is Until.WRITES or server != before.leader

    # The gate

    def await_gate(self, when: str, since: float | None = None) -> tuple[View, dict[str, float | None]]:
        """Wait until the gate holds; return who is what and after how many seconds each part was well again.

        Every call asks all hosts anew. Only the archive is not tried again when nothing was harmed since it was, and
        the timeline is the same.
        """
        begun = time.monotonic()
        origin = since if since is not None else self._recorder.now()
        well: dict[str, float | None] = {}
        segment = self._archived
        while True:
            probes = self._probe()
            seen = view(self._expected, probes)
            self.last_view = seen
            open_questions = doubts(self._expected, probes)
            self._note_well(well, probes, seen, self._recorder.now() - origin)
            if not open_questions and not self._plan.bearing("backup"):
                return seen, well
            if not open_questions:
                if not segment or segment[:8] != f"{seen.timeline:08X}":
                    segment = self._switch_wal(seen.leader)
                elif seen.archived >= segment and seen.archived[:8] == segment[:8]:
                    well["archive"] = round(self._recorder.now() - origin, 3)
                    self._archived = segment
                    return seen, well
                open_questions = [f"{segment} is not archived yet"]
            if time.monotonic() - begun > GATE_SECONDS:
                raise GateError(
                    f"the gate {when} the fault did not open in {GATE_SECONDS:g} s: "
                    f"{'; '.join([*open_questions, *self._causes(open_questions)])}"
                )
            self._progress(f"gate {when}: {open_questions[0]}")
            self._pause()

    def _causes(self, open_questions: Sequence[str]) -> Iterator[str]:
        """Yield what the journals of the members in question say."""
        asked = [host for host in self._expected.databases if any(host in text.split() for text in open_questions)]
        argv = journal.command("patroni.service", time.time() - GATE_SECONDS)
        for host, answer in self._crew.call_all(asked, "run", argv=argv).items():
            if told := journal.cause(answer["out"].splitlines()):
                yield f"{host}'s log says: {told}"

    def _note_well(self, well: dict[str, float | None], probes: Mapping[str, Any], seen: View, after: float) -> None:
        parts = {
            "etcd": [*etcd_doubts(self._expected, probes, seen)],
            "postgresql": [*database_doubts(self._expected, probes, seen), *silent(self._expected, probes)],
            "balancers": [*balancer_doubts(self._expected, probes, seen)],
        }
        for name, open_questions in parts.items():
            if open_questions:
                well[name] = None
            elif well.get(name) is None:
                well[name] = round(after, 3)

    def _probe(self) -> dict[str, Any]:
        hosts = {*self._expected.etcd, *self._expected.databases, *self._expected.balancers}
        return self._crew.call_all(sorted(host for host in hosts if self._crew.on(host)), "probe", 20.0)

    def _switch_wal(self, leader: str) -> str:
        try:
            self._sql(leader, ANY_WAL)
            return str(self._crew.call(leader, "sql", statement=SWITCH_WAL, values=[], seconds=5.0)[0][0])
        except (SessionLostError, AgentError):
            return ""

    def _lead_etcd(self, fault: Fault, seen: View) -> View:
        """Let the right member lead etcd before the fault."""
        wanted = etcd_leader_wanted(fault.target, self._expected, seen)
        if not wanted:
            return seen
        self.hand_over_etcd(seen.etcd_leader, wanted)
        return self.await_gate("before")[0]

    def hand_over_etcd(self, leader: str, successor: str) -> None:
        """Let another host's member lead etcd; raises GateError, SessionLostError or AgentError."""
        body = {"targetID": member_id(self._probe(), successor)}
        answer = self.ask_etcd(leader, "/v3/maintenance/transfer-leadership", body, self.etcd_token(leader))
        if answer["status"] != 200:
            raise GateError(f"etcd did not let {successor} lead: {answer['status']} {answer['body']}")

    def etcd_token(self, host: str) -> str:
        """Return a token of etcd's root; raises SessionLostError or AgentError."""
        login = {"name": "root", "password": self._plan.secrets["etcd_root"]}
        return str((self.ask_etcd(host, "/v3/auth/authenticate", login)["body"] or {}).get("token", ""))

    def ask_etcd(self, host: str, path: str, body: Mapping[str, Any], token: str = "") -> dict[str, Any]:
        """Return the answer of a host's member: {"status": HTTP's, "body": ...}."""
        arguments: dict[str, Any] = {"service": "etcd", "method": "POST", "path": path, "body": body, "token": token}
        return dict(self._crew.call(host, "request", **arguments))

    # Clients and rows

    def _make_table(self, leader: str, table: str) -> None:
        role = self._plan.role
        self._sql(leader, f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        self._sql(leader, f"CREATE SCHEMA {SCHEMA}")
        self._sql(leader, f"CREATE TABLE {table} (writer text, sequence bigint)")
        self._sql(leader, f'GRANT USAGE ON SCHEMA {SCHEMA} TO "{role}"')
        self._sql(leader, f'GRANT SELECT, INSERT ON {table} TO "{role}"')

    def remove_table(self, seconds: float = 30.0) -> bool:
        """Remove the drill's schema; say whether that was possible."""
        if not self._number:
            return True
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            leader = view(self._expected, self._probe()).leader
            try:
                if leader:
                    self._sql(leader, f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
                    return True
            except (SessionLostError, AgentError):
                pass
            time.sleep(POLL_SECONDS)
        return False

    def _sql(self, host: str, statement: str) -> Any:
        return self._crew.call(host, "sql", 20.0, statement=statement, values=[], seconds=15.0)

    def _begin_load(self, table: str) -> None:
        insert = f"INSERT INTO {table} (writer, sequence) VALUES (%s, %s)"  # noqa: S608
        careful = self._settings(self._plan.pool("primary"), options="-c statement_timeout=0", sslmode="require")
        reading = self._settings(self._plan.pool("standby"), options="-c statement_timeout=0", sslmode="require")
        writing: dict[str, Any] = {"settings": careful, "statement": insert, "interval": WRITE_INTERVAL}
        looking: dict[str, Any] = {"settings": reading, "statement": READ, "interval": READ_INTERVAL}
        naive = self._settings(self._plan.pool("primary"))
        pooled = {**writing, **WAITING, "settings": self._settings(self._plan.pooled, sslmode="require")}
        jobs = [
            *(self._job(f"writer-{at}", "writes", **writing, **TEMPERS[at % 2]) for at in range(1, WRITERS + 1)),
            *(self._job(f"reader-{at}", "reads", **looking, **TEMPERS[at % 2]) for at in (1, 2)),
            *(self._job(f"pooled-{at}", "pooled", **pooled) for at in (1, 2) if self._plan.pooled),
            self._job("naive", "naive", settings=naive, statement=insert, interval=NAIVE_INTERVAL),
        ]
        self._crew.call_all(self._expected.databases, "local_writes", table=table)
        self._crew.call(self._plan.client, "load", jobs=jobs, seconds=LONGEST_LOAD)

    def _end_load(self) -> None:
        self._crew.call_all([self._plan.client], "stop_load")
        self._crew.call_all(
            [host for host in self._expected.databases if self._crew.on(host)], "local_writes", table=""
        )

    @staticmethod
    def _job(
        name: str,
        stream: str,
        *,
        settings: Mapping[str, Any],
        statement: str,
        interval: float,
        connect_deadline: float | None = None,
        answer_deadline: float | None = None,
    ) -> dict[str, Any]:
        return {
            "name": name,
            "stream": stream,
            "settings": settings,
            "statement": statement,
            "numbered": stream != "reads",
            "interval": interval,
            "connect_deadline": connect_deadline,
            "answer_deadline": answer_deadline,
        }

    def _settings(self, pool: Mapping[str, Any] | None, **more: str) -> dict[str, Any]:
        if pool is None:
            return {}
        return {
            "host": pool["addresses"][0],
            "port": pool["port"],
            "dbname": self._plan.database,
            "user": self._plan.role,
            "password": self._plan.secrets["role_password"],
            "application_name": "holdfast-drill",
            **more,
        }

    def _presence(self, leader: str, table: str) -> tuple[Presence, ...]:
        """Return the rows of every member, once it has replayed all that the leader has now."""
        written = str(
            self._crew.call(leader, "sql", statement="SELECT pg_current_wal_flush_lsn()", values=[], seconds=5.0)[0][0]
        )
        found = []
        for host in self._expected.databases:
            if host != leader:
                self._await(partial(self._replayed, host, written), 60.0, f"{host} to replay {written}")
            rows = self._crew.call(host, "sql", 90.0, statement=FOUND.format(table=table), values=[], seconds=60.0)
            found.append(Presence(host, {(writer, int(sequence)): int(count) for writer, sequence, count in rows}))
        return tuple(found)

    def _replayed(self, host: str, lsn: str) -> bool:
        try:
            rows = self._crew.call(host, "sql", statement=REPLAYED, values=[lsn], seconds=5.0)
        except (SessionLostError, AgentError):
            return False
        return bool(rows[0][0])

    # Waiting

    def _await(self, holds: Callable[[], bool], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                cause = self._recorder.complaint()
                raise GateError(f"not within {seconds:g} s: {what}{f'; a client says: {cause}' if cause else ''}")
            self._progress(f"waiting for {what}")
            self._pause()

    def _pause(self) -> None:
        if self._stop.wait(POLL_SECONDS):
            raise StoppedError

    def _progress(self, text: str) -> None:
        now = time.monotonic()
        if now - self._told < TELL_SECONDS:
            return
        self._told = now
        silence = self._recorder.silence()
        quiet = f", none for {silence:.1f} s" if 1.0 < silence < float("inf") else ""
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
        self._tell(f"{self._label}: {shown}; {self._recorder.rate():.0f} rows/s acknowledged{quiet}")


__all__ = ["Conductor", "GateError", "NotProvenError", "StoppedError"]
