# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reduces a soak's observations to changes, so that an hour takes no more memory than a minute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.recorder import Recorder
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.alerts import calls
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Alert, Outcome, Write
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.judge import Change, State
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.lease import Look


def on(address: str, host: str) -> str:
    """Return a balancer's hold on a virtual IP, in words."""
    return f"{address} on {host}"


def alertmanager(host: str) -> str:
    """Return the name of the observer that reads the alerts."""
    return f"Alertmanager on {host}"


class Witness(Recorder):
    """A recorder that keeps only the keys of acknowledged rows; it judges after watch()."""

    def __init__(self, members_by_address: Mapping[str, str], virtual_ips: Sequence[str]) -> None:
        self._virtual_ips = virtual_ips
        self._before: State | None = None
        self._begun = 0.0
        self._last_seen: dict[str, float] = {}
        self._gaps: dict[str, float] = {}
        self._changes: dict[str, Change] = {}
        self.acknowledged: set[tuple[str, int]] = set()
        self.lease_silence = 0
        self.lease_looks = 0
        super().__init__(members_by_address)

    def watch(self, before: State, observers: Sequence[str]) -> None:
        """Compare all observations with this state from now on; each of these observers must report."""
        self._begun = self.now()
        self._last_seen = dict.fromkeys(observers, self._begun)
        self._gaps = dict.fromkeys(observers, 0.0)
        self._before = before

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes, each once, with the time of its first observation."""
        return tuple(self._changes.values())

    def blind(self) -> dict[str, float]:
        """Return the longest gap of each observer so far, in seconds."""
        now = self.now()
        return {name: max(gap, now - self._last_seen[name]) for name, gap in self._gaps.items()}

    def look(self, at: float, seen: Look) -> None:
        """Record a sample of the leader's lease."""
        before = self._before
        if before is None:
            return
        self._saw("etcd", at)
        self.lease_looks += 1
        self.lease_silence = max(self.lease_silence, seen.unrenewed)
        if seen.leader != before.leader:
            self._changed(at, "same leader", f"the leader key names {seen.leader or 'no member'}")
        if seen.lease != before.lease:
            self._changed(at, "same lease", f"the leader key has the lease {seen.lease or 'none'}")

    def _write(self, host: str, row: Sequence[Any], at: Callable[[float], float]) -> None:
        super()._write(host, row, at)
        self._keep(self.writes)
        self.writes.clear()

    def _keep(self, writes: Sequence[Write]) -> None:
        self.acknowledged |= {
            (write.writer, write.sequence) for write in writes if write.outcome is Outcome.ACKNOWLEDGED
        }

    def _member(self, host: str, row: Sequence[Any], at: Callable[[float], float]) -> None:
        taken, recovering, claims, _takes, timeline = row
        before = self._before
        if before is None or recovering is None:
            return
        when = at(taken)
        self._saw(f"PostgreSQL on {host}", when)
        if host != before.leader:
            if not recovering:
                self._changed(when, "one primary", f"{host} is no longer a standby")
            return
        if recovering:
            self._changed(when, "same leader", f"{host} is a standby")
        elif timeline != before.timeline:
            self._changed(when, "same timeline", f"{host} is on timeline {timeline}")
        if claims is False:
            self._changed(when, "same leader", f"Patroni on {host} does not answer /primary with 200")

    def _balancer(self, host: str, row: Sequence[Any], at: Callable[[float], float]) -> None:
        taken, holds, _up = row
        before = self._before
        if before is None:
            return
        self._saw(f"addresses of {host}", at(taken))
        for address in self._virtual_ips:
            held, had = address in holds, on(address, host) in before.holders
            if held != had:
                text = f"{address} {'came to' if held else 'left'} {host}"
                self._changed(at(taken), "same holders", text)

    def _alerts(self, host: str, row: Sequence[Any], at: Callable[[float], float]) -> None:
        taken, told = row
        if self._before is None or told is None:
            return
        self._saw(alertmanager(host), at(taken))
        for alert in (Alert(*fields) for fields in told):
            if calls(alert):
                self._changed(at(taken), "no page", f"the alert {alert} fires")

    def _saw(self, observer: str, at: float) -> None:
        last = self._last_seen.get(observer)
        if last is not None and at > last:
            self._gaps[observer] = max(self._gaps[observer], at - last)
            self._last_seen[observer] = at

    def _changed(self, at: float, rule: str, text: str) -> None:
        self._changes.setdefault(text, Change(round(at - self._begun, 1), rule, text))
