# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to the REST interfaces of a Patroni cluster's members, in parallel and with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient
from ansible_collections.holdfast.ha.plugins.module_utils.patroni import Answer, Cluster, Member, merge_answers

ARGUMENT_SPEC: dict[str, Any] = {
    "endpoints": {"type": "list", "elements": "str", "required": True},
    "ca": {"type": "path"},
    "cert": {"type": "path"},
    "key": {"type": "path", "no_log": False},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "request_timeout": {"type": "float", "default": 3.0},
}

CYCLES_TO_APPLY = 3
POLL_INTERVAL = 0.25


class ClusterError(Exception):
    """The cluster did not carry out a request, or not in time; the message is for the user."""


@dataclass(frozen=True)
class PatroniApi:
    """The endpoints of one cluster; any of them answers for the whole."""

    clients: tuple[HttpJsonClient, ...]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> PatroniApi:
        """Return the client for a module's parameters (see ARGUMENT_SPEC)."""
        return cls(
            tuple(
                HttpJsonClient(
                    endpoint,
                    ca=params["ca"],
                    cert=params["cert"],
                    key=params["key"],
                    username=params["username"],
                    password=params["password"],
                    timeout=params["request_timeout"],
                )
                for endpoint in params["endpoints"]
            )
        )

    def without(self, endpoints: Collection[str]) -> PatroniApi:
        """Return the client without some of the endpoints."""
        return replace(self, clients=tuple(client for client in self.clients if client.base_url not in endpoints))

    @property
    def endpoints(self) -> list[str]:
        """The base URLs, in order."""
        return [client.base_url for client in self.clients]

    def answers(self) -> list[Answer]:
        """Return what every endpoint answers, in the endpoints' order."""
        return ask_all(self.clients)

    def cluster(self) -> Cluster:
        """Return the cluster as a majority of its members sees it."""
        return merge_answers(self.answers())

    def view(self) -> Cluster:
        """Return the cluster as the first endpoint that answers sees it; those after it may be silent."""
        answers = (ask(client) for client in self.clients)
        return merge_answers(list(islice((answer for answer in answers if answer.cluster), 1)))

    def read_configuration(self) -> dict[str, Any] | None:
        """Return the dynamic configuration, None when there is none yet.

        Raises EndpointError when no endpoint answers.
        """
        response = self._first(lambda client: client.fetch("GET", "/config"))
        return response.body if response.status == 200 and isinstance(response.body, dict) else None

    def patch_configuration(self, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Apply a merge patch and return the configuration after it."""
        return self._first(lambda client: client.request("PATCH", "/config", patch))

    def put_configuration(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the configuration and return it."""
        return self._first(lambda client: client.request("PUT", "/config", configuration))

    def restart(self, member: Member, timeout: float) -> None:
        """Restart PostgreSQL of one member and wait for it; ``timeout`` is seconds. Raises EndpointError."""
        client = replace(self.clients[0], base_url=root_of(member), timeout=timeout + 10)
        client.request("POST", "/restart", {"restart_pending": True, "timeout": int(timeout)})

    def switch_over(self, leader: Member, candidate: Member | None, timeout: float) -> str:
        """Ask the leader to let the candidate, or any standby, lead; return what it says when that is done.

        Raises EndpointError.
        """
        client = replace(self.clients[0], base_url=root_of(leader), timeout=timeout)
        named = {"candidate": candidate.name} if candidate else {}
        return str(client.request("POST", "/switchover", {"leader": leader.name, **named}))

    def own_state(self, member: Member) -> dict[str, Any] | None:
        """Return what one member says of itself (``/patroni``), None when it doesn't answer."""
        try:
            said = self._client_of(member).fetch("GET", "/patroni").body
        except EndpointError:
            return None
        return said if isinstance(said, dict) else None

    def _client_of(self, member: Member) -> HttpJsonClient:
        """Return the client of its endpoint, which keeps its TLS settings, or one like the others."""
        root = root_of(member)
        known = (client for client in self.clients if client.base_url.rstrip("/") == root.rstrip("/"))
        return next(known, None) or replace(self.clients[0], base_url=root)

    def last_seen(self, among: Collection[str] | None = None) -> dict[str, int]:
        """Return, for every endpoint that answers, when its member last read the DCS (epoch seconds).

        Only those ``among`` some are asked, if these are given.
        """
        clients = [client for client in self.clients if among is None or client.base_url in among]
        return {
            answer.endpoint: int(answer.patroni.get("dcs_last_seen") or 0)
            for answer in ask_all(clients)
            if answer.patroni
        }

    def _first(self, call: Callable[[HttpJsonClient], Any]) -> Any:
        """Return the first endpoint's answer; a later one's when it can't be reached."""
        silent: EndpointError | None = None
        for client in self.clients:
            try:
                return call(client)
            except EndpointError as error:
                if error.status is not None:
                    raise
                silent = error
        raise silent or EndpointError("", None, "no endpoint given")


def ask_all(clients: Collection[HttpJsonClient]) -> list[Answer]:
    """Return the answers of all endpoints, asked in parallel."""
    with ThreadPoolExecutor(max_workers=max(1, len(clients))) as pool:
        return list(pool.map(ask, clients))


def ask(client: HttpJsonClient) -> Answer:
    """Return what one endpoint answers to ``/patroni``, and to ``/cluster``, which takes etcd."""
    own = cluster = error = None
    try:
        own = client.fetch("GET", "/patroni").body
        found = client.fetch("GET", "/cluster")
        cluster = found.body if found.status == 200 else None
    except EndpointError as raised:
        error = raised.message
    return Answer(
        client.base_url,
        patroni=own if isinstance(own, dict) else None,
        cluster=cluster if isinstance(cluster, dict) else None,
        error=error,
    )


def root_of(member: Member) -> str:
    """Return the base URL of a member's REST interface."""
    return (member.api_url or "").rsplit("/", 1)[0]


def until(deadline: float, interval: float | None = None) -> Iterator[float]:
    """Yield the seconds left, at least once and then every ``interval`` until the monotonic deadline."""
    while True:
        left = deadline - time.monotonic()
        yield left
        if left <= 0:
            return
        time.sleep(POLL_INTERVAL if interval is None else interval)


def await_applied(api: PatroniApi, timeout: float, required: Collection[str] = ()) -> None:
    """Wait until the members have run enough cycles to have applied what changed before.

    It waits for the members that answer now and those behind the ``required`` endpoints. Raises ClusterError.
    """
    seen = api.last_seen()
    left = dict.fromkeys([*seen, *required], CYCLES_TO_APPLY)
    for _seconds in until(time.monotonic() + timeout):
        for endpoint, when in api.last_seen(left).items():
            if endpoint in left and when != seen.get(endpoint, when):
                left[endpoint] -= 1
            seen[endpoint] = when
        if all(cycles <= 0 for cycles in left.values()):
            return
    behind = sorted(endpoint for endpoint, cycles in left.items() if cycles > 0)
    raise ClusterError(f"not applied within {timeout:g} s by {', '.join(behind)}")
