# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drill's clients: their requirements, their table, the load, and the check of the rows afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import Fate, Look, Route, Transaction
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import Expected
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gatekeeper import Gatekeeper
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.crew import Crew
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.session import AgentError, SessionLostError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import POLL_SECONDS, Patience
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan, Refusal
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Presence

REACH_SECONDS = 8.0  # for a pool whose configuration is just being changed
WRITERS = 4
WRITE_INTERVAL = 0.06  # of each writer: together a row every 15 ms
READ_INTERVAL = 0.05
NAIVE_INTERVAL = 0.1
# Hasty clients leave a silent server at once; patient ones succeed even if all servers are slow.
HASTY: Mapping[str, Any] = {"connect_deadline": 0.5, "answer_deadline": 1.0}
PATIENT: Mapping[str, Any] = {"connect_deadline": 2.0, "answer_deadline": 2.0}
TEMPERS = (HASTY, PATIENT)
WAITING: Mapping[str, Any] = {"connect_deadline": 30.0, "answer_deadline": 30.0}  # of clients behind a pooler
LONGEST_LOAD = 3600.0
SCHEMA = "holdfast_drill"
INSERT = "INSERT INTO {table} (writer, sequence) VALUES (%s, %s)"
READ = "SELECT pg_is_in_recovery()"
FLUSHED = "SELECT pg_current_wal_flush_lsn()"
REPLAYED = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
FOUND = "SELECT writer, sequence, count(*) FROM {table} GROUP BY writer, sequence"
LISTED = "SELECT key, list FROM {table}"
LISTS_INTERVAL = 0.05  # of each client that also appends
LOOK_INTERVAL = 0.1
RENEWED = 2.0  # seconds: so each reader of standbys changes between them
SERIALIZABLE, SNAPSHOT = "SERIALIZABLE", "REPEATABLE READ READ ONLY"


def job(
    name: str,
    stream: str,
    *,
    settings: Mapping[str, Any],
    statement: str,
    interval: float,
    connect_deadline: float | None = None,
    answer_deadline: float | None = None,
    lifetime: float | None = None,
    lists: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return one connection of the load, in the format of the agent on the clients' host."""
    return {
        "name": name,
        "stream": stream,
        "settings": settings,
        "statement": statement,
        "numbered": stream != "reads",
        "interval": interval,
        "connect_deadline": connect_deadline,
        "answer_deadline": answer_deadline,
        "lifetime": lifetime,
        "lists": lists,
    }


def lists_of(table: str) -> str:
    """Return the name of the table of lists beside a table of rows."""
    return f"{table}_lists"


class Clients:
    """The table in a schema of its own, the load on it, and its rows.

    :arg variable: the option that names the clients' host, for refusals.
    """

    def __init__(
        self,
        *,
        plan: Plan,
        expected: Expected,
        crew: Crew,
        patience: Patience,
        gatekeeper: Gatekeeper,
        schema: str = SCHEMA,
        variable: str = "drill_client",
    ) -> None:
        self._plan = plan
        self._expected = expected
        self._crew = crew
        self._patience = patience
        self._gatekeeper = gatekeeper
        self._schema = schema
        self._variable = variable
        self._tables = 0

    def require(self, *, roles: Sequence[str] = ("primary", "standby")) -> None:
        """Raise Refusal where the clients can't work at all, through the pools of these roles and the poolers."""
        for host in (self._plan.client, *filter(self._crew.on, self._expected.databases)):
            if not self._crew.call(host, "reach", servers=[], seconds=0.0)["psycopg2"]:
                named = f"{self._variable}: {host!r}" if host == self._plan.client else host
                python = self._plan.node(host).interpreter
                raise Refusal(f"{named}: {python} has no module psycopg2 there; install python3-psycopg2")
        pools = [pool for pool in (*map(self._plan.pool, roles), self._plan.pooled) if pool]
        servers = [self.settings(pool, sslmode="require") for pool in pools]
        deadline = time.monotonic() + REACH_SECONDS
        while errors := self._unreached(pools, servers):
            if time.monotonic() > deadline:
                raise Refusal(f"{self._variable}: {self._plan.client!r}: can't get in: {'; '.join(errors)}")
            self._patience.pause()

    def _unreached(self, pools: Sequence[Mapping[str, Any]], servers: Sequence[Mapping[str, Any]]) -> list[str]:
        other = self._plan.secrets.get("former_role_password", "")
        seconds = REACH_SECONDS / 2
        asked = self._crew.call(
            self._plan.client, "reach", 30.0, servers=servers, seconds=seconds, other_password=other
        )
        found = asked["errors"]
        return [
            f"pool {pool['name']} ({pool['addresses'][0]}:{pool['port']}): {error}"
            for pool, error in zip(pools, found, strict=True)
            if error
        ]

    def settings(self, pool: Mapping[str, Any] | None, **more: str) -> dict[str, Any]:
        """Return libpq's settings for a pool."""
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

    # The table

    def make_table(self, leader: str) -> str:
        """Create a new table, the only one in the schema; return its name."""
        self._tables += 1
        schema, role = self._schema, self._plan.role
        table = f"{schema}.writes_{self._tables}"
        self.execute(leader, f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        self.execute(leader, f"CREATE SCHEMA {schema}")
        self.execute(leader, f"CREATE TABLE {table} (writer text, sequence bigint)")
        self.execute(leader, f'GRANT USAGE ON SCHEMA {schema} TO "{role}"')
        self.execute(leader, f'GRANT SELECT, INSERT ON {table} TO "{role}"')
        if self._plan.consistency:
            self._make_lists(leader, lists_of(table))
        return table

    def _make_lists(self, leader: str, table: str) -> None:
        """Create a table of lists; without statistics and with room in its pages, conflicts stay those of its keys."""
        options = "fillfactor = 50, autovacuum_enabled = false"
        columns = "key bigint PRIMARY KEY, list bigint[] NOT NULL"
        self.execute(leader, f"CREATE TABLE {table} ({columns}) WITH ({options})")
        self.execute(leader, f'GRANT SELECT, INSERT, UPDATE ON {table} TO "{self._plan.role}"')

    def execute(self, host: str, statement: str) -> None:
        """Run a statement as the superuser."""
        self._crew.sql(host, statement, patience=20.0, seconds=15.0)

    def remove_table(self, seconds: float = 30.0) -> bool:
        """Remove the schema; return whether that succeeded."""
        if not self._tables:
            return True
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                leader = self._gatekeeper.look().leader
                if leader and leader not in self._expected.databases:
                    return False
                if leader:
                    self.execute(leader, f"DROP SCHEMA IF EXISTS {self._schema} CASCADE")
                    return True
            except (SessionLostError, AgentError):
                pass
            time.sleep(POLL_SECONDS)
        return False

    # The load

    def begin(self, table: str) -> None:
        """Write and read through every pool, and write on the members directly."""
        insert = INSERT.format(table=table)
        careful = self.settings(self._plan.pool("primary"), options="-c statement_timeout=0", sslmode="require")
        reading = self.settings(self._plan.pool("standby"), options="-c statement_timeout=0", sslmode="require")
        writing: dict[str, Any] = {"settings": careful, "statement": insert, "interval": WRITE_INTERVAL}
        looking: dict[str, Any] = {"settings": reading, "statement": READ, "interval": READ_INTERVAL}
        naive = self.settings(self._plan.pool("primary"))
        pooled = {**writing, **WAITING, "settings": self.settings(self._plan.pooled, sslmode="require")}
        self._crew.call_all(self._expected.databases, "local_writes", table=table)
        self.load(
            [
                *(job(f"writer-{at}", "writes", **writing, **TEMPERS[at % 2]) for at in range(1, WRITERS + 1)),
                *(job(f"reader-{at}", "reads", **looking, **TEMPERS[at % 2]) for at in (1, 2)),
                *(job(f"pooled-{at}", "pooled", **pooled) for at in (1, 2) if self._plan.pooled),
                job("naive", "naive", settings=naive, statement=insert, interval=NAIVE_INTERVAL),
                *(self._on_lists(lists_of(table), careful, pooled, reading) if self._plan.consistency else ()),
            ],
            LONGEST_LOAD,
        )

    def _on_lists(
        self, table: str, direct: Mapping[str, Any], pooled: Mapping[str, Any], reading: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Yield the clients whose transactions append to lists and read them, on each port."""
        kept: dict[str, Any] = {"settings": direct, "interval": LISTS_INTERVAL, **PATIENT}
        renewed: dict[str, Any] = {**kept, "lifetime": RENEWED}
        behind: dict[str, Any] = {"interval": LISTS_INTERVAL, **pooled}
        looking: dict[str, Any] = {"settings": reading, "interval": LOOK_INTERVAL, **PATIENT, "lifetime": RENEWED}
        clients = [("list-1", Route.PRIMARY, kept), ("list-2", Route.PRIMARY, renewed)]
        clients += [("list-pooled", Route.POOLED, behind)] if self._plan.pooled else []
        clients += [(f"list-reader-{at}", Route.STANDBY, looking) for at in (1, 2)]
        for number, (name, route, more) in enumerate(clients):
            writes = route is not Route.STANDBY
            lists = {"route": route, "table": table, "number": number, "writes": writes}
            lists["isolation"] = SERIALIZABLE if writes else SNAPSHOT
            yield job(name, "lists", **{**more, "statement": ""}, lists=lists)

    def begin_few(self, table: str, *, writers: int, interval: float, seconds: float) -> None:
        """Start a few writers that record which rows were acknowledged; the load comes from elsewhere."""
        settings = self.settings(self._plan.pool("primary"), options="-c statement_timeout=0", sslmode="require")
        insert = INSERT.format(table=table)
        jobs = [
            job(f"writer-{at}", "writes", settings=settings, statement=insert, interval=interval)
            for at in range(1, writers + 1)
        ]
        self.load(jobs, seconds)

    def load(self, jobs: Sequence[Mapping[str, Any]], seconds: float) -> None:
        """Start these jobs on the clients' host, for so many seconds at most.

        While the password of their role changes, clients have both, as an application that follows the change.
        """
        other = {"other_password": self._plan.secrets.get("former_role_password", "")}
        self._crew.call(self._plan.client, "load", jobs=[{**job, **other} for job in jobs], seconds=seconds)

    def end(self) -> None:
        """End every connection and every local write."""
        self._crew.call_all([self._plan.client], "stop_load")
        on = [host for host in self._expected.databases if self._crew.on(host)]
        self._crew.call_all(on, "local_writes", table="")

    # The rows

    def presence(self, leader: str, table: str, members: Sequence[str] | None = None) -> tuple[Presence, ...]:
        """Return each member's rows, once it has replayed all WAL that the leader has now; of all by default."""
        written = str(self._read(leader, FLUSHED)[0][0])
        found = []
        for host in self._expected.databases if members is None else members:
            if host != leader:
                self._patience.until(partial(self._replayed, host, written), 60.0, f"{host} to replay {written}")
            rows = self._read(host, FOUND.format(table=table), patience=90.0, seconds=60.0)
            found.append(Presence(host, {(writer, int(sequence)): int(count) for writer, sequence, count in rows}))
        return tuple(found)

    def final_lists(self, leader: str, table: str, now: Callable[[], float]) -> tuple[Transaction, ...]:
        """Return the leader's lists as the last transaction, if there are lists."""
        if not self._plan.consistency:
            return ()
        begun = now()
        rows = self._read(leader, LISTED.format(table=lists_of(table)), patience=90.0, seconds=60.0)
        looks = tuple(Look(int(key), tuple(values)) for key, values in rows)
        return (Transaction("final", 1, Route.FINAL, begun, now(), Fate.OK, looks, leader),)

    def _read(self, host: str, statement: str, *, patience: float = 15.0, seconds: float = 5.0) -> Any:
        """Return a query's rows on a member; a leader that the plan lacks is reached as clients reach it."""
        if host in self._expected.databases:
            return self._crew.sql(host, statement, patience=patience, seconds=seconds)
        there = self.settings(self._plan.pool("primary"), sslmode="require")
        asked = {"settings": there, "statement": statement, "values": [], "seconds": seconds}
        return self._crew.call(self._plan.client, "ask", patience, **asked)

    def _replayed(self, host: str, lsn: str) -> bool:
        try:
            rows = self._crew.sql(host, REPLAYED, values=[lsn])
        except (SessionLostError, AgentError):
            return False
        return bool(rows[0][0])
