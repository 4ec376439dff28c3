# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small faultless record to start cases from: db1 loses power at 10 s, db2 takes over, db1 is back at 20 s.

Writes end at 10.0 and go on at 14.0 s; everybody is sampled every 0.2 s until 30 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import ledger_file
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import (
    Alert,
    AlertSample,
    BalancerSample,
    Budget,
    Event,
    Ledger,
    MemberSample,
    Outcome,
    Presence,
    Read,
    Write,
)

DATA = Path(__file__).parent / "data"
MEMBERS = ("db1", "db2", "db3")
BALANCERS = ("lb1", "lb2")
VIP = "192.0.2.100"
BEGUN, INJECTED, RESUMED, HEALED, ENDED = 5.0, 10.0, 14.0, 20.0, 30.0
STEP = 0.2
BUDGET = Budget(writes=5.0, reads=1.0, two_holders=0.8, pool_detection=1.0, resumed=1.0)


def times(begin: float, end: float, step: float = STEP) -> list[float]:
    """The times from begin until just before end."""
    return [round(begin + number * step, 6) for number in range(round((end - begin) / step))]


def write(sequence: int, at: float, outcome: Outcome = Outcome.ACKNOWLEDGED, server: str = "db1", **more: Any) -> Write:
    """A write of w1 that took 10 ms and ended at a time."""
    return Write(
        **{
            "writer": "w1",
            "sequence": sequence,
            "begun": at - 0.01,
            "ended": at,
            "outcome": outcome,
            "server": server,
            **more,
        }
    )


def writes() -> Iterator[Write]:
    """Acknowledged by db1 until 10 s, unknown once, refused until 14 s, then by db2."""
    sequence = 0
    for at in times(BEGUN, INJECTED + STEP):
        sequence += 1
        yield write(sequence, at)
    sequence += 1
    yield write(sequence, 12.0, Outcome.UNKNOWN, begun=10.01)
    for at in times(12.2, RESUMED):
        sequence += 1
        yield write(sequence, at, Outcome.REFUSED, "", error="could not connect")
    for at in times(RESUMED, ENDED):
        sequence += 1
        yield write(sequence, at, server="db2")


def naive() -> Iterator[Write]:
    """The same client waits from 10 to 22 s."""
    yield Write("naive", 1, 9.0, 9.9, Outcome.ACKNOWLEDGED, "db1")
    yield Write("naive", 2, 9.9, 22.0, Outcome.UNKNOWN, "db1", "server closed the connection unexpectedly")
    yield Write("naive", 3, 22.0, 22.1, Outcome.ACKNOWLEDGED, "db2")
    yield Write("naive", 4, 29.8, 29.9, Outcome.ACKNOWLEDGED, "db2")


def member(name: str, at: float) -> MemberSample | None:
    """What a member says at a time, None while it is off."""
    if name == "db1":
        if INJECTED < at < HEALED:
            return None
        if at <= INJECTED:
            return MemberSample(at, name, False, True, False, 1)
    if name == "db2" and at > 13.0:
        return MemberSample(at, name, False, True, False, 2)
    return MemberSample(at, name, True, False, False, 1 if at < 13.0 else 2)


def balancer(name: str, at: float) -> BalancerSample:
    """What a balancer says at a time."""
    primary = ("db1",) if at <= 11.0 else () if at < 13.5 else ("db2",)
    standby = ("db2", "db3") if at < 13.5 else ("db3",) if at < 21.0 else ("db1", "db3")
    return BalancerSample(at, name, (VIP,) if name == "lb1" else (), {"primary": primary, "standby": standby})


def presence(found: tuple[Write, ...]) -> tuple[Presence, ...]:
    """Every acknowledged row once on every member."""
    counts = {(row.writer, row.sequence): 1 for row in found if row.outcome is Outcome.ACKNOWLEDGED}
    return tuple(Presence(name, dict(counts)) for name in MEMBERS)


def ledger(**changes: Any) -> Ledger:
    """The faultless record with some fields replaced."""
    written, simple = tuple(writes()), tuple(naive())
    samples = [member(name, at) for at in times(BEGUN, ENDED) for name in MEMBERS]
    calm = Ledger(
        fault="primary_power_loss",
        repetition=1,
        begun=BEGUN,
        injected=INJECTED,
        healed=HEALED,
        ended=ENDED,
        proof="db1: the container's first process is gone",
        primary_before="db1",
        primary_after="db2",
        writes=written,
        reads=tuple(Read("r1", at - 0.01, at, True, "db3") for at in times(BEGUN, ENDED)),
        naive=simple,
        local_writes=(),
        members=tuple(sample for sample in samples if sample is not None),
        balancers=tuple(balancer(name, at) for at in times(BEGUN, ENDED) for name in BALANCERS),
        events=(
            Event(INJECTED, "injected", "db1", "link cut, then killed"),
            Event(12.8, "detected", "db1", "lease expired"),
            Event(13.0, "promoted", "db2"),
            Event(13.5, "pool switched", "lb1", "db2"),
            Event(HEALED, "healed", "db1"),
            Event(21.0, "rejoined", "db1"),
        ),
        presence=presence((*written, *simple)),
        recovery={"postgresql": 1.0, "etcd": 2.0},
        clock_uncertainty=dict.fromkeys((*MEMBERS, *BALANCERS), 0.001),
        expected_members=MEMBERS,
        expected_balancers=BALANCERS,
        dark={"db1": ((INJECTED, HEALED),)},
        phases={"gate before": 1.0, "fault": 10.0, "rows": 0.5},
    )
    return replace(calm, **changes)


Span = tuple[Alert, float, float]


def monitored(*spans: Span, silent: tuple[float, float] = (0.0, 0.0), **changes: Any) -> Ledger:
    """A record in which these alerts fire from one time until before another; Alertmanager is silent in between."""
    alerts = tuple(
        AlertSample(at, None if silent[0] <= at < silent[1] else firing(spans, at))
        for at in times(BEGUN, ENDED + 1.0, 1.0)
    )
    return ledger(**{"monitor": "backup1", "alerts": alerts, **changes})


def firing(spans: Iterable[Span], at: float) -> tuple[Alert, ...]:
    """The alerts that fire at a time."""
    return tuple(alert for alert, begin, end in spans if begin <= at < end)


@cache
def recorded(name: str) -> Ledger:
    """A ledger that a real drill wrote."""
    return ledger_file.read(DATA / f"{name}.ledger.json.gz")
