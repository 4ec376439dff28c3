# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tools of all actions, and the list of steps that undo them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import Expected
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.provider import Provider
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.crew import Crew
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.session import SessionLostError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan

PROOF_SECONDS = 10.0
POLL_SECONDS = 0.1


class Tools:
    """The plan, the agents, the power provider, and the steps that heal() takes."""

    def __init__(
        self, plan: Plan, expected: Expected, crew: Crew, provider: Provider, now: Callable[[], float]
    ) -> None:
        self.plan = plan
        self.expected = expected
        self.crew = crew
        self.provider = provider
        self._now = now
        self._cut_since: dict[str, float] = {}
        self._undo: list[tuple[str, Callable[[], Any]]] = []

    def undo_later(self, name: str, undo: Callable[[], Any]) -> None:
        """Register the step that undoes a harm. Call this before the harm."""
        self._undo.append((name, undo))

    def arm(self, host: str, name: str, undo: Sequence[str], title: str = "") -> None:
        """Register a command on a host, which a timer there runs in any case. Call this before the harm."""
        self.undo_later(title or name, lambda: self.crew.call(host, "undo", name=name))
        self.crew.call(host, "arm", name=name, seconds=self.plan.dead_man, undo=list(undo))

    def heal(self) -> list[str]:
        """Take every registered step, even if another one fails; return the failures, which stay for the next call."""
        self._cut_since = {}
        failures, left = [], []
        for name, undo in reversed(self._undo):
            try:
                undo()
            except Exception as error:  # noqa: BLE001 - the other steps must be taken
                failures.append(f"{name}: {error or type(error).__name__}")
                left.append((name, undo))
        self._undo = left[::-1]
        return failures

    def note_cut(self, host: str) -> None:
        """Record that a host is cut off from all other hosts from now on."""
        self._cut_since[host] = self._now()

    def is_cut(self, host: str) -> bool:
        """Return whether a host was recorded as cut off."""
        return host in self._cut_since

    def cut(self) -> dict[str, tuple[tuple[float, float], ...]]:
        """Return the spans until now for which hosts were cut off from all others, if the action proves it."""
        return {host: ((since, self._now()),) for host, since in self._cut_since.items()}

    def must(self, host: str, *argv: str) -> str:
        """Return the output of a command on a host; raises NotProvenError when it fails."""
        done = self.crew.call(host, "run", 40.0, argv=list(argv))
        if done["code"]:
            raise NotProvenError(f"{host}: {' '.join(argv[:4])}: {done['err'].strip() or done['code']}")
        return str(done["out"])

    @staticmethod
    def await_proof(holds: Callable[[], str], otherwise: str) -> str:
        """Wait for a proof and return it; raises NotProvenError."""
        deadline = time.monotonic() + PROOF_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(SessionLostError):
                proof = holds()
                if proof:
                    return proof
            time.sleep(POLL_SECONDS)
        raise NotProvenError(otherwise)
