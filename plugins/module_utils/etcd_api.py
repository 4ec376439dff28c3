# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd's v3 API through its JSON gateway, which etcd 3.4 and 3.5 both serve under /v3."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ansible_collections.holdfast.ha.plugins.module_utils.certificate import parse_peer_certificate
from ansible_collections.holdfast.ha.plugins.module_utils.etcd import (
    ROOT,
    AuthState,
    Member,
    User,
    parse_member,
    parse_permission,
)
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient

T = TypeVar("T")
R = TypeVar("R")

POLL_SECONDS = 0.2
UNDECIDED = frozenset({"not_decided", "3.0.0"})  # what a new cluster says of its version until its members agree on one

# The arguments every etcd module takes to reach the cluster.
CONNECTION_ARGUMENTS: dict[str, Any] = {
    "ca_path": {"type": "path", "required": True},
    "certificate_path": {"type": "path", "required": True},
    "private_key_path": {"type": "path", "required": True, "no_log": False},
}


class WrongPasswordError(Exception):
    """Authentication is on and a user's password was refused."""


@dataclass(frozen=True)
class Tls:
    """Paths of the authority, and of the client's certificate and key."""

    ca: str
    cert: str
    key: str

    def client(self, url: str, timeout: float) -> HttpJsonClient:
        """Return a client of one endpoint."""
        return HttpJsonClient(url, ca=self.ca, cert=self.cert, key=self.key, timeout=timeout)

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> Tls:
        """Return the paths a module was given."""
        return cls(params["ca_path"], params["certificate_path"], params["private_key_path"])


@dataclass(frozen=True)
class EtcdClient:
    """One member's client endpoint, with the token of a login or without."""

    http: HttpJsonClient
    token: str | None = None

    def call(self, path: str, body: Any = None) -> dict[str, Any]:
        """Return the gateway's answer; raise EndpointError."""
        headers = {} if self.token is None else {"Authorization": self.token}
        answer = self.http.request("POST", path, body or {}, headers)
        return answer if isinstance(answer, dict) else {}

    def unhealthy_because(self) -> str | None:
        """Return why the member doesn't serve with a quorum behind it, or None when it does."""
        try:
            answer = self.http.request("GET", "/health")
        except EndpointError as error:
            return error.message
        healthy = isinstance(answer, dict) and str(answer.get("health")).lower() == "true"
        return None if healthy else f"its health is {answer}"

    def unready_because(self) -> str | None:
        """Return why the member can't be used yet, or None.

        A new cluster reports the oldest version until it has agreed on its own, seconds after it is healthy. Patroni
        asks once at its start, and with that answer fails until it is restarted.
        """
        reason = self.unhealthy_because()
        if reason is not None:
            return reason
        try:
            version = self.http.request("GET", "/version")["etcdcluster"]
        except EndpointError as error:
            return error.message
        return f"its cluster has not agreed on a version yet ({version})" if version in UNDECIDED else None

    def login(self, name: str, password: str) -> EtcdClient | None:
        """Return a client with a token, or None while authentication is off; raise WrongPasswordError."""
        try:
            answer = self.call("/v3/auth/authenticate", {"name": name, "password": password})
        except EndpointError as error:
            if "authentication is not enabled" in error.message:
                return None
            if "authentication failed" in error.message:
                raise WrongPasswordError(name) from error
            raise
        return replace(self, token=answer["token"])

    def members(self) -> tuple[Member, ...]:
        """Return the cluster's members."""
        answer = self.call("/v3/cluster/member/list")
        return tuple(parse_member(member) for member in answer.get("members", ()))

    def auth_state(self, users: Sequence[User], enabled: bool) -> AuthState:
        """Return authentication as found; needs root's token when it is on."""
        names = self.call("/v3/auth/user/list").get("users", ())
        roles = self.call("/v3/auth/role/list").get("roles", ())
        wanted = {ROOT, *(user.name for user in users)}
        return AuthState(
            enabled=enabled,
            users={name: self._roles_of(name) if name in wanted else frozenset() for name in names},
            roles={role: self._permissions_of(role) if role in wanted else frozenset() for role in roles},
            refused=frozenset(user.name for user in users if enabled and user.name in names and self._refuses(user)),
        )

    def _roles_of(self, user: str) -> frozenset[str]:
        return frozenset(self.call("/v3/auth/user/get", {"name": user}).get("roles", ()))

    def _permissions_of(self, role: str) -> Any:
        answer = self.call("/v3/auth/role/get", {"role": role})
        return frozenset(parse_permission(permission) for permission in answer.get("perm", ()))

    def _refuses(self, user: User) -> bool:
        try:
            self.login(user.name, user.password)
        except WrongPasswordError:
            return True
        return False


def peer_members(http: HttpJsonClient) -> tuple[Member, ...]:
    """Return the members one member's peer port knows of: answered without a quorum or a login."""
    return tuple(parse_member(member) for member in http.request("GET", "/members") or ())


def presented_names(address: str, port: int, tls: Tls, timeout: float) -> frozenset[str] | None:
    """Return the names in the certificate that a port presents, or None when it presents none of the authority's."""
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        context.check_hostname = False
        context.load_cert_chain(tls.cert, tls.key)
        with socket.create_connection((address, port), timeout) as plain, context.wrap_socket(plain) as connection:
            return parse_peer_certificate(connection.getpeercert() or {}).names
    except (OSError, ValueError):
        return None


def in_parallel(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return the results in the order of the items."""
    listed = list(items)
    with ThreadPoolExecutor(max_workers=max(1, len(listed))) as pool:
        return list(pool.map(function, listed))


def health(clients: Sequence[EtcdClient], *, ready: bool = False) -> dict[str, str | None]:
    """Return by endpoint why it isn't healthy, or *ready* to be used, or None."""
    reasons = in_parallel(EtcdClient.unready_because if ready else EtcdClient.unhealthy_because, clients)
    return {client.http.base_url: reason for client, reason in zip(clients, reasons, strict=True)}


def wait_for(
    clients: Sequence[EtcdClient],
    enough: Callable[[dict[str, str | None]], bool],
    seconds: float,
    *,
    ready: bool = False,
) -> dict[str, str | None]:
    """Poll every endpoint's health until it is enough or the time is over; return the last one seen."""
    deadline = time.monotonic() + seconds
    while True:
        seen = health(clients, ready=ready)
        if enough(seen) or time.monotonic() >= deadline:
            return seen
        time.sleep(POLL_SECONDS)


def any_healthy(seen: dict[str, str | None]) -> bool:
    """Return whether an endpoint serves and has a quorum."""
    return any(reason is None for reason in seen.values())


def all_healthy(seen: dict[str, str | None]) -> bool:
    """Return whether every endpoint serves."""
    return all(reason is None for reason in seen.values())


def first_healthy(clients: Sequence[EtcdClient], seen: dict[str, str | None]) -> EtcdClient | None:
    """Return the first client whose endpoint is healthy."""
    return next((client for client in clients if seen[client.http.base_url] is None), None)
