# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill records, and what it concludes.

Every time is in seconds on the client's monotonic clock. A node's own readings are translated by the offset measured
over its session, whose uncertainty (half the shortest round trip) is kept with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What a client knows of one write when it stops waiting for it."""

    ACKNOWLEDGED = "acknowledged"  # the commit returned, without a warning
    UNKNOWN = "unknown"  # sent, never answered: present or absent are both right, twice is wrong
    WARNED = "warned"  # committed with "canceled … replicated": not a promise
    REFUSED = "refused"  # an error, or never sent: certainly not stored by this attempt


@dataclass(frozen=True, slots=True)
class Write:
    """One row a writer tried to insert; (writer, sequence) is its unique key. server is "" when never connected."""

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
    """What a PostgreSQL member says of itself, asked on the node; None where it did not answer.

    in_recovery: pg_is_in_recovery(); claims_primary: Patroni's own /primary answers as the balancers want it;
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
    """What a balancer says of itself, asked on the node; up names the servers up by pool, None when HAProxy is dead."""

    at: float
    balancer: str
    holds: tuple[str, ...]
    up: Mapping[str, tuple[str, ...]] | None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: injected, detected, promoted, pool switched, vip moved, healed, rejoined."""

    at: float
    kind: str
    subject: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Presence:
    """How often each key was found on a member after healing; acknowledged keys missing there are what was lost."""

    member: str
    counts: Mapping[tuple[str, int], int]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything recorded around one injection of one fault.

    ended: when the clients were told to stop; rows are looked up after that. local_writes: rows inserted on a node
    itself, server names the member. expected_*: the hosts that an observer must see. dark: when a host certainly ran
    nothing (powered off, frozen), so that its silence is no blindness. cut: when a host that ran certainly exchanged
    packets with the drill only and served no client; a partial or one-way cut does not count. recovery: {what must
    be well again: seconds after healing until it was, None when it never was}. write_pools lead to the primary,
    read_pools never do. phases: {what the drill did: the seconds it took}. pooled: writes through the poolers, where
    there are some; a pooler does not show which server took each. pooled_pool: the pool that leads there, "" for none.
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


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a fault may cost, in seconds; None where it is only reported.

    writes, reads: the longest time without an acknowledged write, or a served read; two_holders: two balancers with
    one VIP at once (the documented advert window); two_primaries: two members that call themselves primary at once,
    which only a watch allows that is shorter than a cut-off primary takes to demote itself; predicted: the worst case
    predicted for this cluster; resumed: from healing to the next acknowledged write, for faults that only
    healing ends; pool_detection: how long HAProxy may list a server that is no longer what its pool wants; blind: how
    long an observer may see nothing; boot: the same for a host that comes back from the dark; pooled: the longest time
    without an acknowledged write through the poolers; pooled_errors: how many of their clients' writes may fail.
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
    """A broken budget or invariant: rule is a stable name, text says what was seen and where to look."""

    rule: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one injection cost; a drill passes when no verdict has a breach.

    rto: the longest gap between acknowledged writes that overlaps the fault, from write_gap[0] to write_gap[1]; lost:
    acknowledged rows absent from the leader (RPO); missing: acknowledged rows absent from another member; resumed: from
    healing to the next acknowledged write, None when there was none; seconds everywhere.
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
