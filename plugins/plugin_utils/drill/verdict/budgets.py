# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long each fault may stop a cluster with given timings, and the user's overrides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Budget
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import Problem, Problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.settings import Checks, Settings

VARIABLE = "drill_budgets"

# Constants in seconds that no setting changes.
LEASE_CHECK = 1.0  # etcd checks for expired leases twice a second, then notifies its watchers
LEADER_RACE = 2.0  # Patroni polls the silent old leader once more, with a fixed timeout
PROMOTION = 2.0
ETCD_ELECTION = 3.0  # a new etcd leader extends every lease to its full TTL
SYN_RETRY = 1.0  # the kernel repeats a connection request after this time
SERVICE_RESTART = 5.0  # systemd restarts a killed service, and the service starts up
SHUTDOWN = 10.0  # an orderly stop of PostgreSQL with its last checkpoint
COLD_START = 120.0  # boot, etcd's quorum, an expired lease, crash recovery


@dataclass(frozen=True, slots=True)
class Timings:
    """The cluster's settings that decide how long a failover takes, in seconds.

    synchronous_mode: Patroni's value, "quorum", true or false; watch: the time after which a watcher really revokes a
    silent leader's lease, None without a watcher; client: the drill's writers wait at most so long before they retry;
    slack: a tolerance for every machine; extra: the user's additional tolerance for a slower one (drill_slack), for
    every step that a process must do in time.
    """

    ttl: float = 20.0
    loop_wait: float = 1.0
    retry_timeout: float = 3.0
    primary_start_timeout: float = 0.0
    checks: Checks = field(default_factory=Checks)
    advert_int: float = 0.2
    wal_sender_timeout: float = 60.0
    synchronous_mode: str | bool = "quorum"
    watch: float | None = None
    client: float = 2.0
    slack: float = 2.0
    extra: float = 0.0

    @classmethod
    def of(cls, settings: Settings) -> Timings:
        """Return the timings of a cluster; without balancers, the roles' defaults stand for theirs."""
        patroni, own = settings.patroni, cls()
        return cls(
            ttl=patroni.ttl,
            loop_wait=patroni.loop_wait,
            retry_timeout=patroni.retry_timeout,
            primary_start_timeout=patroni.primary_start_timeout,
            checks=settings.checks or own.checks,
            advert_int=settings.vrrp.advert_int if settings.vrrp else own.advert_int,
            wal_sender_timeout=patroni.wal_sender_timeout,
            synchronous_mode=patroni.synchronous_mode,
            watch=settings.watcher.seconds if settings.watcher else None,
        )

    @property
    def pool_down(self) -> float:
        """From a server's end until HAProxy takes it out: a check has just passed, then fall checks time out."""
        return self.checks.silent_down

    @property
    def pool_up(self) -> float:
        """From a server's readiness until HAProxy sends clients to it."""
        return self.checks.up + self.checks.timeout

    @property
    def pool_switch(self) -> float:
        """Until HAProxy's state matches Patroni's after any change."""
        return max(self.pool_down, self.pool_up) + self.loop_wait + self.extra

    @property
    def adverts_missed(self) -> float:
        """Until a silent VRRP master is replaced: three adverts and a fraction of a fourth."""
        return 4 * self.advert_int

    @property
    def two_primaries(self) -> float:
        """The time by which the demotion of a primary without etcd may outlast its lease.

        It can take longer when etcd falls silent right after a renewal (docs/model.md). The drill reports that.
        """
        patience = self.loop_wait + 2 * self.retry_timeout
        return 0.0 if self.watch is None else max(0.0, patience - self.watch)

    @property
    def end(self) -> float:
        """The end of every path: the client notices and reconnects."""
        return self.client + self.slack + self.extra

    @property
    def takeover(self) -> float:
        """A failover that Patroni notices at once: the lease is released and does not expire."""
        return 2 * self.loop_wait + LEADER_RACE + PROMOTION + self.pool_up + self.end

    @property
    def lease_takeover(self) -> float:
        """A failover after a leader fell silent: its lease, renewed just before, must expire."""
        return self.ttl + LEASE_CHECK + self.takeover

    @property
    def crash(self) -> float:
        """PostgreSQL dies while its Patroni runs."""
        return self.takeover + self.primary_start_timeout

    @property
    def vip_move(self) -> float:
        """The other balancer takes the VIP over."""
        return self.adverts_missed + SYN_RETRY + self.end

    @property
    def standby_stall(self) -> float:
        """A commit waits for silent synchronous standbys until their walsenders time out."""
        return self.wal_sender_timeout + 2 * self.loop_wait + self.end if self.synchronous_mode else self.end

    @property
    def one_standby_stall(self) -> float:
        """The same with another standby left: a quorum does not wait for the silent one."""
        return self.end if self.synchronous_mode == "quorum" else self.standby_stall


Rule = Callable[[Timings], Budget]


def within(writes: Callable[[Timings], float]) -> Rule:
    """Return the rule of a fault from which the cluster recovers on its own."""
    return lambda timings: Budget(writes=writes(timings))


def until_healed(resumed: Callable[[Timings], float]) -> Rule:
    """Return the rule of a fault that only healing ends."""
    return lambda timings: Budget(writes=None, resumed=resumed(timings))


OTHERWISE = "default"
NUMBER_FIX = "give seconds, 0 or more, or null to report without judging"


class BudgetError(ValueError):
    """The user's budgets are invalid; C(problems) has every reason."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def default_budget(rule: Rule, timings: Timings) -> Budget:
    """Return the budget of a rule's fault in a cluster with these timings."""
    budget = rule(timings)
    reads = timings.vip_move + timings.pool_switch - timings.extra  # both terms include it, and it is granted once
    return replace(
        budget,
        reads=None if budget.writes is None else max(reads, budget.writes),
        two_holders=timings.adverts_missed,
        two_primaries=timings.two_primaries,
        pool_detection=timings.pool_switch,
    )


def budgets(
    rules: Mapping[str, Rule], timings: Timings, overrides: Any = None, worst: Mapping[str, float] | None = None
) -> dict[str, Budget]:
    """Return each fault's budget: the default, changed by drill_budgets; raises BudgetError.

    rules: those of all faults; worst: {fault: the predicted worst case in seconds}, to which the extra seconds are also
    added.
    drill_budgets: {fault, or "default" for all others: seconds without writes, or {field of Budget: seconds}}.
    """
    given = parse_overrides({} if overrides is None else overrides, rules)
    predicted = {fault: seconds + timings.extra for fault, seconds in (worst or {}).items()}
    return {
        fault: replace(
            default_budget(rule, timings),
            **{"predicted": predicted.get(fault), **given.get(fault, given.get(OTHERWISE, {}))},
        )
        for fault, rule in rules.items()
    }


def parse_overrides(overrides: Any, known: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return drill_budgets as {fault: {field: seconds}}; raises BudgetError with all problems.

    known: the names of all faults.
    """
    problems = Problems()
    if not isinstance(overrides, Mapping):
        problems.add(VARIABLE, overrides, "is no mapping", "write {switchover: 3, primary_power_loss: {writes: 30}}")
        raise BudgetError(problems.found)
    known = sorted(known)
    for fault, value in overrides.items():
        if fault != OTHERWISE and fault not in known:
            where, fix = f"{VARIABLE}.{fault}", f"use one of {', '.join(known)} or {OTHERWISE}"
            problems.add(where, value, "no such fault", fix)
    parsed = {str(fault): parse_override(str(fault), value, problems) for fault, value in overrides.items()}
    if problems.found:
        raise BudgetError(problems.found)
    return parsed


def parse_override(fault: str, value: Any, problems: Problems) -> dict[str, Any]:
    """Return one fault's {field: seconds}; its problems are added to the list."""
    where = f"{VARIABLE}.{fault}"
    if not isinstance(value, Mapping):
        return {"writes": parse_seconds(where, value, True, problems)}
    optional = {item.name: item.default is None or item.name == "writes" for item in fields(Budget)}
    for name in value:
        if name not in optional:
            problems.add(f"{where}.{name}", value[name], "no such budget", f"use {', '.join(optional)}")
    return {
        name: parse_seconds(f"{where}.{name}", seconds, optional[name], problems)
        for name, seconds in value.items()
        if name in optional
    }


def parse_seconds(where: str, value: Any, optional: bool, problems: Problems) -> float | None:
    """Return seconds; a value that is not a number of seconds is added to the problems."""
    if value is None and optional:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not isfinite(value) or value < 0:
        fix = NUMBER_FIX if optional else "give seconds, 0 or more"
        problems.add(where, value, "is no number of seconds", fix)
        return None
    return float(value)
