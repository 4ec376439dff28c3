# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records and the verdicts of a drill.

Every time is in seconds on the client's monotonic clock. A node's own times are translated by the offset measured over
its session; the uncertainty of that offset (half the shortest round trip) is kept with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import Transaction


class Outcome(StrEnum):
    """A client's knowledge of one write when it stops waiting for the answer."""

    ACKNOWLEDGED = "acknowledged"  # the commit returned, without a warning
    UNKNOWN = "unknown"  # sent, never answered: it may be present or absent, but not twice
    WARNED = "warned"  # committed with "canceled … replicated": not a promise
    REFUSED = "refused"  # an error, or never sent: this attempt certainly did not store it


@dataclass(frozen=True, slots=True)
class Write:
    """One row that a writer tried to insert; (writer, sequence) is its unique key. server is "" if never connected."""

    writer: str
    sequence: int
    begun: float
    ended: float
    outcome: Outcome
    server: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """One query of a reader on the read port."""

    reader: str
    begun: float
    ended: float
    ok: bool
    server: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class MemberSample:
    """The state of a PostgreSQL member, sampled on the node; None where it did not answer.

    in_recovery: pg_is_in_recovery(); claims_primary: Patroni's /primary on the node passes the balancers' check;
    takes_write: a local row was committed and acknowledged without a warning since the last sample.
    """

    at: float
    member: str
    in_recovery: bool | None
    claims_primary: bool | None
    takes_write: bool
    timeline: int | None = None


@dataclass(frozen=True, slots=True)
class BalancerSample:
    """The state of a balancer, sampled on the node; up has the servers up by pool, None when HAProxy does not run."""

    at: float
    balancer: str
    holds: tuple[str, ...]
    up: Mapping[str, tuple[str, ...]] | None


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert; host is "" where it is about the whole cluster, quiet when it is silenced or inhibited."""

    name: str
    severity: str
    host: str = ""
    quiet: bool = False

    def __str__(self) -> str:
        return f"{self.name} on {self.host}" if self.host else self.name


@dataclass(frozen=True, slots=True)
class AlertSample:
    """The alerts that fire, asked from Alertmanager; None where it did not answer."""

    at: float
    alerts: tuple[Alert, ...] | None


@dataclass(frozen=True, slots=True)
class Event:
    """An event: injected, detected, promoted, pool switched, vip moved, healed, rejoined."""

    at: float
    kind: str
    subject: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Presence:
    """How often each key was found on a member after healing; acknowledged keys that are missing are lost."""

    member: str
    counts: Mapping[tuple[str, int], int]


@dataclass(frozen=True, slots=True)
class Ledger:
    """The complete record of one injection of one fault.

    ended: when the drill stopped the clients, after which it looks the rows up. local_writes: rows inserted on a node
    itself; server names the member. expected_*: the hosts that must be observed. dark: when a host certainly ran no
    process (powered off, frozen), so that its silence counts as observed. cut: when a running host certainly exchanged
    packets with the drill only and served no client; a partial or one-way cut does not count. recovery: {part: seconds
    from healing to its recovery, None if it did not recover}. write_pools lead to the primary, read_pools never do.
    phases: {the drill's phase: its seconds}. pooled: writes through the poolers, if there are any; a pooler does not
    show which server took each. pooled_pool: the pool that leads to the poolers, "" for none. monitor: the host whose
    Alertmanager was asked, "" for none. consistency: whether clients ran transactions on lists; the last of these
    transactions has the lists on the leader after healing.
    """

    fault: str
    repetition: int
    begun: float
    injected: float
    healed: float
    ended: float
    proof: str
    primary_before: str
    primary_after: str
    writes: tuple[Write, ...]
    reads: tuple[Read, ...]
    naive: tuple[Write, ...]
    local_writes: tuple[Write, ...]
    members: tuple[MemberSample, ...]
    balancers: tuple[BalancerSample, ...]
    events: tuple[Event, ...]
    presence: tuple[Presence, ...]
    recovery: Mapping[str, Any] = field(default_factory=dict)
    clock_uncertainty: Mapping[str, float] = field(default_factory=dict)
    expected_members: tuple[str, ...] = ()
    expected_balancers: tuple[str, ...] = ()
    dark: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    write_pools: tuple[str, ...] = ("primary",)
    read_pools: tuple[str, ...] = ("standby",)
    cut: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    phases: Mapping[str, float] = field(default_factory=dict)
    pooled: tuple[Write, ...] = ()
    pooled_pool: str = ""
    monitor: str = ""
    alerts: tuple[AlertSample, ...] = ()
    consistency: bool = False
    transactions: tuple[Transaction, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """The maximum cost of a fault, in seconds; None where it is only reported.

    writes, reads: the longest time without an acknowledged write, or a served read; two_holders: two balancers with
    one VIP at once (the documented advert window); two_primaries: two members that claim to be primary at once, above 0
    only if the watch is shorter than an isolated primary takes to demote itself; predicted: the worst case predicted
    for this cluster; resumed: from healing to the next acknowledged write, for faults that only healing ends;
    pool_detection: how long HAProxy may list a server that no longer fits its pool; blind: how long a host may be
    unobserved; boot: the same for a host that comes back from the dark; pooled: the longest time without an
    acknowledged write through the poolers; pooled_errors: how many of their clients' writes may fail.
    """

    writes: float | None
    reads: float | None = None
    two_holders: float = 0.0
    two_primaries: float = 0.0
    predicted: float | None = None
    resumed: float | None = None
    pool_detection: float = 0.0
    blind: float = 2.0
    boot: float = 60.0
    pooled: float | None = None
    pooled_errors: float | None = None


@dataclass(frozen=True, slots=True)
class Breach:
    """A broken budget or invariant: rule is a stable name, text describes the observation and its place."""

    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class Heard(Alert):
    """An alert that fired or had to, its times in seconds after the injection.

    fired: None if it did not; settled: seconds after the recovery, less than 0 if before it, None while it fires; due:
    the seconds by which it had to fire, None if it did not have to.
    """

    fired: float | None = None
    settled: float | None = None
    due: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """An anomaly of the transactions on lists.

    port: through which it was seen, primary (also through the poolers) or standby; count: how often; example: the
    first one, explained; seconds: the greatest age of stale reads.
    """

    name: str
    port: str
    count: int
    example: tuple[str, ...]
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The cost of one injection; a drill passes when no verdict has a breach.

    rto: the longest gap between acknowledged writes that overlaps the fault, from write_gap[0] to write_gap[1]; lost:
    acknowledged rows absent from the leader (RPO); missing: acknowledged rows absent from another member; resumed: from
    healing to the next acknowledged write, None when there was none; all in seconds.
    """

    fault: str
    repetition: int
    rto: float
    read_gap: float
    naive_gap: float
    acknowledged: int
    lost: tuple[tuple[str, int], ...]
    duplicated: tuple[tuple[str, int], ...]
    unknown: int
    warned: int
    read_errors: int
    breaches: tuple[Breach, ...]
    write_gap: tuple[float, float] = (0.0, 0.0)
    missing: tuple[tuple[str, int], ...] = ()
    resumed: float | None = None
    pooled_gap: float | None = None
    pooled_errors: int = 0
    heard: tuple[Heard, ...] = ()
    anomalies: tuple[Found, ...] = ()
