# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observes a cluster of etcd through its endpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.etcd import Member
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import (
    EtcdClient,
    Tls,
    WrongPasswordError,
    in_parallel,
)
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_report import Report, Seen, summarise
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient


class Observer:
    """Asks endpoints; a missing answer is a result, too."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.tls = Tls.from_params(params)
        self.endpoints: list[str] = params["endpoints"]
        self.username: str = params["username"]
        self.passwords: list[str] = [params[name] for name in ("password", "former_password") if params.get(name)]
        self.timeout: float = params["timeout"]
        self.errors: list[str] = []

    def report(self) -> Report:
        """Return the report of the whole cluster."""
        seen = in_parallel(self.look_at, self.endpoints)
        serving = next((one.endpoint for one in seen if one.error is None), None)
        members: tuple[Member, ...] = ()
        alarms: list[dict[str, Any]] = []
        if serving is not None:
            client = self.logged_in(self.client(serving))
            seen = in_parallel(lambda one: self.look_again(one, client.token), seen)
            members = self.attempt(client.members) or ()
            alarms = (self.attempt(lambda: client.call("/v3/maintenance/alarm", {"action": "GET"})) or {}).get(
                "alarms", []
            )
        return summarise(seen, members, alarms, self.errors)

    def look_at(self, endpoint: str) -> Seen:
        """Return what one endpoint answers without a login."""
        client = self.client(endpoint)
        try:
            status = client.call("/v3/maintenance/status")
        except EndpointError as error:
            if error.status is None:
                return Seen(endpoint, error=error.message)
            status = {}  # refused without a login since etcd 3.4.42, 3.5.28 and 3.6.9
        return Seen(
            endpoint,
            error=client.unhealthy_because(),
            status=status,
            anonymous_refused=refuses(lambda: client.call("/v3/kv/range", {"key": "AA==", "count_only": True})),
            plaintext_refused=self.refuses_plaintext(endpoint),
            certificate_required=self.requires_certificate(endpoint),
        )

    def look_again(self, seen: Seen, token: str | None) -> Seen:
        """Return the same with the status of an endpoint that requires a login for it."""
        if seen.status or seen.error is not None or token is None:
            return seen
        client = replace(self.client(seen.endpoint), token=token)
        return replace(seen, status=self.attempt(lambda: client.call("/v3/maintenance/status")) or {})

    def client(self, endpoint: str) -> EtcdClient:
        """Return a client of an endpoint."""
        return EtcdClient(self.tls.client(endpoint, self.timeout))

    def logged_in(self, client: EtcdClient) -> EtcdClient:
        """Return the client with a token where one is needed and available."""
        if not self.passwords:
            return client
        try:
            return client.login_with(self.username, self.passwords)[0] or client
        except WrongPasswordError:
            self.errors.append(f"the password of {self.username} is refused")
        except EndpointError as error:
            self.errors.append(str(error))
        return client

    def attempt(self, ask: Callable[[], Any]) -> Any:
        """Return an answer, or None and note why there is none."""
        try:
            return ask()
        except EndpointError as error:
            self.errors.append(str(error))
            return None

    def refuses_plaintext(self, endpoint: str) -> bool:
        """Return whether a client without TLS is refused."""
        plain = HttpJsonClient(endpoint.replace("https://", "http://", 1), timeout=self.timeout)
        return refuses(lambda: plain.request("GET", "/version"))

    def requires_certificate(self, endpoint: str) -> bool:
        """Return whether a client without a certificate is refused."""
        bare = HttpJsonClient(endpoint, ca=self.tls.ca, timeout=self.timeout)
        return refuses(lambda: bare.request("GET", "/version"))


def refuses(ask: Callable[[], Any]) -> bool:
    """Return whether a request fails."""
    try:
        ask()
    except EndpointError:
        return True
    return False
