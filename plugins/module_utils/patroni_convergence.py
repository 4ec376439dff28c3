# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits until a Patroni cluster is healthy, and restarts the members that need it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError
from ansible_collections.holdfast.ha.plugins.module_utils.journal import cause, command, is_hopeless
from ansible_collections.holdfast.ha.plugins.module_utils.patroni import (
    Answer,
    Cluster,
    Member,
    as_facts,
    merge_answers,
    problems,
    restart_order,
    silent_members,
    with_reasons,
)
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_api import (
    ClusterError,
    PatroniApi,
    await_applied,
    until,
)
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_config import is_synchronous

RESTART_ROUNDS = 3
HOPELESS_SECONDS = 30.0
RECENT_SECONDS = 20.0  # in which a standby tries again, and Patroni too
RELOAD_SECONDS = 2.0  # since when a member may have begun to apply its files
NOT_RELOADED = "Failed to reload config_file"
"""What Patroni says where it has applied only a part of its files."""


@dataclass(frozen=True)
class View:
    """The cluster as the counted members report it; left are the names of the others that do not answer."""

    cluster: Cluster
    left: tuple[str, ...] = ()
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True)
class Convergence:
    """The convergence of one cluster to its declared state."""

    api: PatroniApi
    members: list[str]
    timeout: float
    restart_timeout: float
    others: Mapping[str, str] = field(default_factory=dict)
    journal: Callable[[float], Sequence[str]] = lambda _since: ()

    def look(self) -> View:
        """Return the cluster now."""
        answers = self.api.answers()
        left = silent_members(self.others, answers)
        counted = [answer for answer in answers if answer.endpoint not in {self.others[name] for name in left}]
        return View(merge_answers(counted), tuple(left), tuple(counted))

    def problems(self, view: View) -> list[str]:
        """Return why the cluster is not healthy."""
        expected = [*self.members, *(name for name in self.others if name not in view.left)]
        return problems(view.cluster, expected, len(expected) > 1 and self._synchronous())

    def healthy(self) -> View:
        """Wait for a healthy cluster and return it; raise ClusterError when it takes too long."""
        found: list[str] = []
        begun, since, suspected = time.monotonic(), time.time(), 0.0
        told = ""
        for _left in until(begun + self.timeout):
            view = self.look()
            found = self.problems(view)
            if not found:
                return view
            own = [answer for answer in view.answers if answer.endpoint not in self.others.values()]
            found = with_reasons(found, self.members, own)
            unheard = [shown(answer) for answer in view.answers if answer.error]
            found += [text for text in unheard if text not in "; ".join(found)]
            told = cause(self.journal(since))
            if not is_hopeless(cause(self.journal(max(since, time.time() - RECENT_SECONDS)))):
                suspected = time.monotonic()
            elif time.monotonic() - max(suspected, begun) >= HOPELESS_SECONDS:
                break
        waited = f"within {time.monotonic() - begun:.0f} s"
        raise ClusterError(f"not healthy {waited}: {'; '.join(found)}{in_log(told)}")

    def restart_pending(self, view: View) -> tuple[View, list[str]]:
        """Restart pending members in order and return the cluster after it, and their names.

        A lowered limit stays pending on a standby until the leader has it, hence the rounds.
        """
        restarted: list[str] = []
        for _round in range(RESTART_ROUNDS):
            pending = self.pending(view)
            if not pending:
                return view, restarted
            for member in pending:
                self._restart(member)
                restarted.append(member.name)
                view = self.healthy()
            await_applied(self.api, self.timeout)
            view = self.healthy()
        if self.pending(view):
            raise ClusterError(f"a restart is still pending after restarting {', '.join(restarted)}")
        return view, restarted

    @staticmethod
    def pending(view: View) -> list[Member]:
        """Return the members to restart; one that is down reads its parameters when it starts."""
        return [member for member in restart_order(view.cluster) if member.name not in view.left]

    def _restart(self, member: Member) -> None:
        try:
            self.api.restart(member, self.restart_timeout)
        except EndpointError as error:
            raise ClusterError(f"{member.name} could not be restarted: {error}") from error

    def _synchronous(self) -> bool:
        try:
            return is_synchronous(self.api.read_configuration())
        except EndpointError:
            return False


def in_log(told: str) -> str:
    """Return what a log says, as the end of a message."""
    return f"; its log says: {told}" if told else ""


def shown(answer: Answer) -> str:
    """Return why an endpoint did not answer."""
    return f"{answer.endpoint}: {answer.error}"


def journal_of(module: AnsibleModule) -> Callable[[float], Sequence[str]]:
    """Return a function that reads the journal of the member's unit since a time."""
    unit = module.params["unit"]
    return lambda since: module.run_command(command(unit, since))[1].splitlines() if unit else []


def predict(convergence: Convergence, restart: bool) -> dict[str, Any]:
    """Return the module's result for check mode, from one look."""
    view = convergence.look()
    pending = [member.name for member in convergence.pending(view)] if restart else []
    return result(view, pending, convergence.problems(view))


def converge(convergence: Convergence, restart: bool) -> dict[str, Any]:
    """Wait, restart what is pending, and return the module's result."""
    view = convergence.healthy()
    restarted: list[str] = []
    if restart:
        view, restarted = convergence.restart_pending(view)
    return result(view, restarted, [])


def applied(convergence: Convergence) -> dict[str, Any]:
    """Wait until every endpoint's member has applied what changed, and return the module's result."""
    api, since = convergence.api, time.time()
    try:
        await_applied(api, convergence.timeout, required=api.endpoints)
    except ClusterError as error:
        raise ClusterError(f"{error}{in_log(cause(convergence.journal(since)))}") from error
    told = convergence.journal(since - RELOAD_SECONDS)
    if any(NOT_RELOADED in line for line in told):
        raise ClusterError(f"the member has not applied its files{in_log(cause(told))}")
    return result(View(api.cluster()), [], [])


def result(view: View, restarted: list[str], found: list[str]) -> dict[str, Any]:
    """Return the module's result."""
    return {
        "changed": bool(restarted),
        "cluster": as_facts(view.cluster),
        "restarted": restarted,
        "left": list(view.left),
        "problems": found,
        "diff": {"before": {"pending_restart": restarted}, "after": {"pending_restart": []}},
    }
