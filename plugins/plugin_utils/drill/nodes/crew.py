# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agents of all nodes: connected at the start, and reconnected after each loss."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.agents import configuration
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.clock import Offset
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.session import (
    AgentError,
    Session,
    SessionLostError,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan

KEEP_SECONDS = 2.0
RETRY_SECONDS = 0.5
SILENCE_SECONDS = 20.0

Stream = Callable[[str, str, list[list[Any]], Offset], None]


class Crew:
    """All sessions; a lost one is reopened in the background unless its node should be off."""

    def __init__(self, plan: Plan, stream: Stream, tell: Callable[[str], None]) -> None:
        self._plan = plan
        self._stream = stream
        self._tell = tell
        self._sessions: dict[str, Session] = {}
        self._off: set[str] = set()
        self._heard: dict[str, float] = {}
        self._stopping = threading.Event()
        self._wake = {node.name: threading.Event() for node in plan.nodes}
        self._keepers: list[threading.Thread] = []
        self.uncertainty: dict[str, float] = {}

    def begin(self, required: Collection[str] | None = None) -> None:
        """Connect to all nodes; raises SessionLostError for those that are required, by default for all."""

        def one(host: str) -> None:
            try:
                self._connect(host)
            except (SessionLostError, AgentError) as error:
                if required is None or host in required:
                    raise
                self._tell(f"{error}: connecting again")

        with ThreadPoolExecutor(len(self._plan.nodes)) as pool:
            list(pool.map(one, [node.name for node in self._plan.nodes]))
        for node in self._plan.nodes:
            keeper = threading.Thread(target=self._keep, args=(node.name,), daemon=True, name=f"keep {node.name}")
            keeper.start()
            self._keepers.append(keeper)

    def end(self) -> None:
        """End all sessions."""
        self._stopping.set()
        for wake in self._wake.values():
            wake.set()
        for session in list(self._sessions.values()):
            session.close()

    def call(self, host: str, operation: str, patience: float = 15.0, **arguments: Any) -> Any:
        """Return an agent's answer; raises SessionLostError or AgentError."""
        return self._session(host).call(operation, patience, **arguments)

    def sql(
        self, host: str, statement: str, values: Sequence[Any] = (), *, patience: float = 15.0, seconds: float = 5.0
    ) -> Any:
        """Return the rows of a statement that the superuser runs there, bounded by seconds; raises as call()."""
        return self.call(host, "sql", patience, statement=statement, values=list(values), seconds=seconds)

    def call_all(
        self, hosts: Iterable[str], operation: str, patience: float = 15.0, **arguments: Any
    ) -> dict[str, Any]:
        """Return the answers of the agents that answer."""

        def one(host: str) -> Any:
            try:
                return self.call(host, operation, patience, **arguments)
            except (SessionLostError, AgentError):
                return None

        listed = list(hosts)
        with ThreadPoolExecutor(max(1, len(listed))) as pool:
            return {
                host: answer for host, answer in zip(listed, pool.map(one, listed), strict=True) if answer is not None
            }

    def expect_off(self, hosts: Iterable[str]) -> None:
        """Do not reconnect to these nodes until expect_on(): they lose power or freeze now."""
        self._off |= set(hosts)

    def hang_up(self, hosts: Iterable[str]) -> None:
        """Forget the sessions of nodes that are off."""
        for host in hosts:
            session = self._sessions.pop(host, None)
            if session:
                session.close()

    def expect_on(self, hosts: Sequence[str]) -> None:
        """Reconnect to these nodes from now on."""
        for host in hosts:
            self._heard[host] = time.monotonic()
        self._off -= set(hosts)
        for host in hosts:
            self._wake[host].set()

    def offset(self, host: str) -> Offset:
        """Return the offset of a node's clock from the controller's; raises SessionLostError."""
        return self._session(host).offset

    def on(self, host: str) -> bool:
        """Say whether there is a session to a node."""
        session = self._sessions.get(host)
        return session is not None and session.alive

    def _session(self, host: str) -> Session:
        session = self._sessions.get(host)
        if session is None:
            raise SessionLostError(f"{host}: no session")
        return session

    def _connect(self, host: str) -> None:
        node = self._plan.node(host)
        session = Session(
            node,
            configuration(self._plan, node),
            lambda stream, rows, offset: self._stream(host, stream, rows, offset),
        )
        self._sessions[host] = session
        self._heard[host] = time.monotonic()
        self._note(host, session)
        if node.ha is not None:
            session.call("sample")

    def _note(self, host: str, session: Session) -> None:
        self.uncertainty[host] = max(session.offset.uncertainty, self.uncertainty.get(host, 0.0))

    def _keep(self, host: str) -> None:
        while True:
            self._wake[host].wait(KEEP_SECONDS if self.on(host) or host in self._off else RETRY_SECONDS)
            self._wake[host].clear()
            if self._stopping.is_set():
                return
            if host in self._off:
                continue
            session = self._sessions.get(host)
            try:
                if session is None or not session.alive:
                    self._connect(host)
                    continue
                session.measure_clock()
                self._heard[host] = time.monotonic()
                self._note(host, session)
            except (SessionLostError, AgentError) as error:
                if session and session.alive and time.monotonic() - self._heard[host] > SILENCE_SECONDS:
                    self._tell(f"{error}: connecting again")
                    with contextlib.suppress(Exception):
                        session.close()

    def describe(self) -> Mapping[str, float]:
        """Return each node's clock uncertainty."""
        return dict(self.uncertainty)
