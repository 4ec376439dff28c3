# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long each fault may stop a cluster with given timings, and what the user allows instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Budget
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import Problem, Problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.settings import Checks, Settings

VARIABLE = "drill_budgets"

# Seconds that no setting changes.
LEASE_CHECK = 1.0  # etcd looks for expired leases twice a second, its watchers hear of it after that
LEADER_RACE = 2.0  # Patroni asks the silent old leader once more, with a fixed timeout
PROMOTION = 2.0
ETCD_ELECTION = 3.0  # a new etcd leader gives every lease its whole time again
SYN_RETRY = 1.0  # the kernel repeats a connection request after this
SERVICE_RESTART = 5.0  # systemd starts a killed service again, the service starts up
SHUTDOWN = 10.0  # an orderly stop of PostgreSQL with its last checkpoint
COLD_START = 120.0  # boot, etcd's quorum, an expired lease, crash recovery


@dataclass(frozen=True, slots=True)
class Timings:
    """The cluster's settings that decide how long a failover takes, in seconds.

    synchronous_mode: as Patroni has it, "quorum", true or false; watch: after which a watcher revokes a silent leader's
    lease, None without one; client: what the drill's own writers wait at most
    before they try again; slack: what any machine may add; extra: what the user grants a slower one besides
    (drill_slack), to whatever a process has to do in time.
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
        """Return the timings of a cluster; without balancers those of the roles stand for theirs."""
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
        """From a server's end until HAProxy takes it out: a check just passed, then all fall ones time out."""
        return self.checks.silent_down

    @property
    def pool_up(self) -> float:
        """From a server's readiness until HAProxy sends to it."""
        return self.checks.up + self.checks.timeout

    @property
    def pool_switch(self) -> float:
        """Until HAProxy agrees with Patroni, whatever changed."""
        return max(self.pool_down, self.pool_up) + self.loop_wait + self.extra

    @property
    def adverts_missed(self) -> float:
        """Until a silent VRRP master is replaced: three adverts and a fraction of a fourth."""
        return 4 * self.advert_int

    @property
    def two_primaries(self) -> float:
        """How much longer a primary without etcd takes to demote itself than its lease is left to it."""
        patience = self.loop_wait + 2 * self.retry_timeout
        return 0.0 if self.watch is None else max(0.0, patience - self.watch)

    @property
    def end(self) -> float:
        """What every path ends with: the client notices and connects again."""
        return self.client + self.slack + self.extra

    @property
    def takeover(self) -> float:
        """A failover that Patroni knows of at once: the lease is released, not expired."""
        return 2 * self.loop_wait + LEADER_RACE + PROMOTION + self.pool_up + self.end

    @property
    def lease_takeover(self) -> float:
        """A failover after a silent leader: its lease, renewed just before, must run out."""
        return self.ttl + LEASE_CHECK + self.takeover

    @property
    def crash(self) -> float:
        """PostgreSQL itself dies under a living Patroni."""
        return self.takeover + self.primary_start_timeout

    @property
    def vip_move(self) -> float:
        """The other balancer takes the VIP over."""
        return self.adverts_missed + SYN_RETRY + self.end

    @property
    def standby_stall(self) -> float:
        """A commit waits for silent synchronous standbys until their walsenders are given up."""
        return self.wal_sender_timeout + 2 * self.loop_wait + self.end if self.synchronous_mode else self.end

    @property
    def one_standby_stall(self) -> float:
        """The same when another standby is left: a quorum does not wait for the silent one."""
        return self.end if self.synchronous_mode == "quorum" else self.standby_stall


Rule = Callable[[Timings], Budget]


def within(writes: Callable[[Timings], float]) -> Rule:
    """Return the rule of a fault that the cluster ends by itself."""
    return lambda timings: Budget(writes=writes(timings))


def until_healed(resumed: Callable[[Timings], float]) -> Rule:
    """Return the rule of a fault that nothing but healing ends."""
    return lambda timings: Budget(writes=None, resumed=resumed(timings))


OTHERWISE = "default"
NUMBER_FIX = "give seconds, 0 or more, or null to report without judging"


class BudgetError(ValueError):
    """The user's budgets can't be taken as they stand; every reason is in C(problems)."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def default_budget(rule: Rule, timings: Timings) -> Budget:
    """Return what a fault of a rule may cost in a cluster with these timings."""
    budget = rule(timings)
    reads = timings.vip_move + timings.pool_switch - timings.extra  # both hold it, and it is granted once
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

    rules: those of all faults; worst: {fault: the seconds that are predicted at worst}, to which the extra seconds are
    added as well.
    drill_budgets: {fault, or "default" for those not named: seconds without writes, or {field of Budget: seconds}}.
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
    """Return drill_budgets as {fault: {field: seconds}}; raises BudgetError with everything that is wrong.

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
    """Return one fault's {field: seconds}, adding what is wrong with it."""
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
    """Return seconds, adding a problem when there are none in it."""
    if value is None and optional:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not isfinite(value) or value < 0:
        fix = NUMBER_FIX if optional else "give seconds, 0 or more"
        problems.add(where, value, "is no number of seconds", fix)
        return None
    return float(value)
