# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to etcd as its root user: a change of leadership, and any path of its gateway."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.etcd import ROOT
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import member_id
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gatekeeper import Gatekeeper
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.crew import Crew
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import GateError

OK = 200


class EtcdAdmin:
    """Sends requests through the agents of etcd's hosts. Every method raises SessionLostError or AgentError."""

    def __init__(self, *, password: str, crew: Crew, gatekeeper: Gatekeeper) -> None:
        self._password = password
        self._crew = crew
        self._gatekeeper = gatekeeper

    def hand_over(self, leader: str, successor: str) -> None:
        """Move the leadership to another host's member; raises GateError as well."""
        body = {"targetID": member_id(self._gatekeeper.probe(), successor)}
        answer = self._ask(leader, "/v3/maintenance/transfer-leadership", body, self._token(leader))
        if answer["status"] != OK:
            raise GateError(f"etcd did not let {successor} lead: {answer['status']} {answer['body']}")

    def asking(self, host: str) -> Callable[[str, Mapping[str, Any]], Mapping[str, Any]]:
        """Return a function that posts a body to a path of a host's member; it logs in on its own."""
        token = ""

        def ask(path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
            nonlocal token
            for _attempt in range(2):
                token = token or self._token(host)
                answer = self._ask(host, path, body, token)
                if answer["status"] == OK:
                    return dict(answer["body"])
                token = ""
            raise GateError(f"etcd on {host} answered {path} with {answer['status']}: {answer['body']}")

        return ask

    def _token(self, host: str) -> str:
        login = {"name": ROOT, "password": self._password}
        return str((self._ask(host, "/v3/auth/authenticate", login)["body"] or {}).get("token", ""))

    def _ask(self, host: str, path: str, body: Mapping[str, Any], token: str = "") -> dict[str, Any]:
        """Return {"status": the HTTP status, "body": ...}."""
        arguments: dict[str, Any] = {"service": "etcd", "method": "POST", "path": path, "body": body, "token": token}
        return dict(self._crew.call(host, "request", **arguments))
