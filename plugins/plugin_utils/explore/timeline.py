# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A schedule as one action of the drill: each step in a thread of its own, with tools and undo steps of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import Expected, View, view
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.action import Action
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.provider import provider
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.tools import Tools
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.crew import Crew
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.recorder import Recorder
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import GateError, Patience, StoppedError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.spans import longest_silence
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.judge import Gap, Hit
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.kinds import KINDS, Kind, agree, loss
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.majority import Shape, leaves_majority
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import (
    ETCD_LEADER,
    LEADER,
    PRIMARY,
    Schedule,
    Step,
)

SETTLE_SECONDS = 5.0
"""Seconds after the last fault in which a late failover still belongs to the schedule."""
WAIT_SECONDS = 60.0
"""Seconds for which a step waits until its target is known, and a majority is left beside it."""
LOOK_SECONDS = 0.25
CLAIM_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Stage:
    """What a schedule is carried out with."""

    plan: Plan
    expected: Expected
    crew: Crew
    recorder: Recorder
    patience: Patience

    @property
    def shape(self) -> Shape:
        """The cluster's hosts."""
        expected = self.expected
        return Shape(expected.etcd, expected.databases, expected.balancers, expected.backup)


@dataclass(slots=True)
class Active:
    """A fault on its hosts; until: when the host serves again, None while it lasts."""

    kind: Kind
    hosts: tuple[str, ...]
    until: float | None = None


def cast(seen: View, expected: Expected) -> dict[str, str]:
    """Return the host of each role when a schedule begins."""
    standbys = [host for host in expected.databases if host != seen.leader]
    apart = [host for host in expected.etcd if host not in expected.databases]
    balancers = sorted(expected.balancers, key=lambda host: host != seen.vip_holder)
    lists = {"standby": standbys, "etcd": apart, "balancer": balancers, "backup": expected.backup}
    numbered = {f"{name}-{at}": host for name, hosts in lists.items() for at, host in enumerate(hosts, 1)}
    return {PRIMARY: seen.leader, **numbered}


class Timeline(Action):
    """The steps of a schedule at their times; heals each one by itself."""

    on_hosts = "the faults of a schedule, each at its time"
    in_containers = on_hosts

    def __init__(self, schedule: Schedule, stage: Stage, settle: float = SETTLE_SECONDS) -> None:
        self._schedule = schedule
        self._stage = stage
        self._settle = settle
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._active: list[Active] = []
        self._tools: list[Tools] = []
        self._roles: Mapping[str, str] = {}
        self.hits: list[Hit] = []
        self.injected: float | None = None

    def inject(self, tools: Tools, targets: Sequence[str], view: View) -> str:  # noqa: ARG002
        """Carry out all steps, and wait for a late failover; returns the proofs."""
        tools.undo_later("schedule", self.heal)
        self._roles = cast(view, self._stage.expected)
        self.injected = self._stage.recorder.now()
        steps = self._schedule.steps
        with ThreadPoolExecutor(len(steps)) as pool:
            under_way = [pool.submit(self._carry_out, step, view) for step in steps]
            try:
                self._await(under_way)
            finally:
                self._over.set()
        for future in under_way:
            future.result()
        self.hits.sort(key=lambda hit: hit.begun)
        return "; ".join(hit.proof for hit in self.hits)

    def heal(self) -> None:
        """Undo what is left of each step; raises GateError."""
        self._over.set()
        failures = [failure for tools in self._tools for failure in tools.heal()]
        if failures:
            raise GateError("; ".join(failures))

    def _await(self, under_way: Sequence[Future[None]]) -> None:
        """Wait until all steps are done or one failed, then a moment longer."""
        patience = self._stage.patience
        while not all(future.done() for future in under_way):
            for future in under_way:
                if future.done():
                    future.result()
            patience.progress(f"{self._elapsed():5.1f} s of {self._schedule.seconds:g} s into the schedule")
            patience.pause()
        until = time.monotonic() + self._settle
        while time.monotonic() < until:
            patience.pause()

    def _elapsed(self) -> float:
        return self._stage.recorder.now() - (self.injected or 0.0)

    # One step

    def _carry_out(self, step: Step, seen: View) -> None:
        """Wait for the step's time, do its harm for its duration, and heal it."""
        stage = self._stage
        self._sleep(step.at - self._elapsed())
        active = self._claim(step)
        tools = Tools(stage.plan, stage.expected, stage.crew, provider(stage.plan, stage.crew), stage.recorder.now)
        self._tools.append(tools)
        action = active.kind.action(step)
        begun, proofs, cut = stage.recorder.now(), [""], None
        try:
            proofs.append(action.inject(tools, active.hosts, seen))
            stage.patience.tell(f"{step}: {proofs[-1]}")
            if action.lasts(tools):
                self._sleep(begun + step.seconds - stage.recorder.now())
            proofs.append(action.still(tools, active.hosts))
            cut = next(iter(tools.cut().get(active.hosts[0], ())), None)
        finally:
            failures = tools.heal()
            ended = stage.recorder.now()
            active.until = ended + active.kind.returns
        if failures:
            raise NotProvenError(f"{step}: not healed at its end: {'; '.join(failures)}")
        dark = self._unseen(active.hosts[0], begun, ended) if action.darkens(tools) else None
        proof = ", ".join(filter(None, proofs))
        self.hits.append(Hit(step, active.hosts, begun, ended, proof, dark, cut))

    def _unseen(self, host: str, begun: float, ended: float) -> Gap:
        return longest_silence(self._stage.recorder.seen(host), begun, ended)

    def _sleep(self, seconds: float) -> None:
        """Wait; raises StoppedError when the schedule is over before."""
        if self._over.wait(max(0.0, seconds)):
            raise StoppedError

    def _claim(self, step: Step) -> Active:
        """Return the step's hosts, once a majority is left beside them: an earlier fault may end late."""
        kind, deadline = KINDS[step.kind], time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            target = self._target(step.target)
            hosts = (target, self._roles[step.other]) if step.other else (target,)
            with self._lock:
                if target and self._permitted(kind, hosts):
                    self._active.append(active := Active(kind, hosts))
                    return active
            self._sleep(LOOK_SECONDS)
        raise NotProvenError(f"{step}: no host that may be hit in {WAIT_SECONDS:g} s")

    def _permitted(self, kind: Kind, hosts: tuple[str, ...]) -> bool:
        now = self._stage.recorder.now()
        active = [one for one in self._active if one.until is None or one.until > now]
        losses = [loss(one.kind, *one.hosts) for one in active]
        same = [one for one in active if one.until is None and one.hosts[0] == hosts[0]]
        return all(agree(kind, one.kind) for one in same) and leaves_majority(
            self._stage.shape, [*losses, loss(kind, *hosts)]
        )

    def _target(self, role: str) -> str:
        """Return the host of a role, "" while that is unclear."""
        if role == LEADER:
            return self._leader()
        return self._etcd_leader() if role == ETCD_LEADER else self._roles[role]

    def _leader(self) -> str:
        """Return the member that says it is primary, preferably one that no fault hits now."""
        now, recorder = self._stage.recorder.now(), self._stage.recorder
        claims = {host: recorder.claimed(host) for host in self._stage.expected.databases}
        fresh = [host for host, at in claims.items() if at is not None and now - at < CLAIM_SECONDS]
        hit = {host for one in self._active if one.until is None for host in one.hosts}
        return min(fresh, key=lambda host: host in hit, default="")

    def _etcd_leader(self) -> str:
        """Return the leader of etcd by the members that no fault hits."""
        hit = {one.hosts[0] for one in self._active if one.until is None}
        asked = [host for host in self._stage.expected.etcd if host not in hit and self._stage.crew.on(host)]
        return view(self._stage.expected, self._stage.crew.call_all(asked, "probe", 5.0)).etcd_leader
