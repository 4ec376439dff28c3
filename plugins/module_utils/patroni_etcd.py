# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patroni's own keys in etcd, for what its REST interface can't do: release an abandoned bootstrap, delete a database's
state."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.etcd import encode, prefix_end
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import EtcdClient, WrongPasswordError
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient
from ansible_collections.holdfast.ha.plugins.module_utils.patroni import Answer, all_empty, holders, nobody_creates

ARGUMENT_SPEC: dict[str, Any] = {
    "endpoints": {"type": "list", "elements": "str", "required": True},
    "prefix": {"type": "str", "required": True},
    "ca": {"type": "path"},
    "cert": {"type": "path"},
    "key": {"type": "path", "no_log": False},
    "username": {"type": "str"},
}
"""Of the option C(etcd). The password is an option beside it: Ansible hides only such ones from the host's log."""
PASSWORD_SPEC: dict[str, Any] = {"etcd_password": {"type": "str", "no_log": True}}
TIMEOUT = 5.0
MEMBERS = "members/"
KEPT = frozenset({"config"})  # the dynamic configuration is declared, not the database's
INITIALIZED = "initialize"
LEADER = "leader"
PERMIT = "holdfast_permit"  # what the amended Patroni (patroni_start/permit.py) looks for where etcd knows no cluster
NEW_CLUSTER = ""  # a permit's value; otherwise it is the name of the member that starts with its data
PERMIT_SECONDS = 30
NAMED_SECONDS = 600  # in which the member that was named has to start
PERMITTED_EVERY = 5.0
ABANDONED_AFTER = 10.0  # seconds in which a member would have begun to create the cluster
LOST_AFTER = 30.0  # seconds in which a member would have written a database that it adopts to etcd


@dataclass(frozen=True)
class Store:
    """The keys below ``prefix`` (``/service/<scope>/``) of one etcd cluster."""

    clients: tuple[EtcdClient, ...]
    prefix: str
    username: str | None = None
    password: str = field(default="", repr=False)

    @classmethod
    def from_params(cls, params: Mapping[str, Any], password: str | None) -> Store:
        """Return the store for a module's parameters (see ARGUMENT_SPEC)."""
        clients = tuple(
            EtcdClient(HttpJsonClient(url, ca=params["ca"], cert=params["cert"], key=params["key"], timeout=TIMEOUT))
            for url in params["endpoints"]
        )
        return cls(clients, params["prefix"], params["username"], password or "")

    def free_initialization(self) -> bool:
        """Delete the initialize key if it is empty and there is no leader; return whether it was.

        An empty key says that a member is creating the cluster. Raises EndpointError and WrongPasswordError.
        """
        return bool(self._any(lambda client: client.call("/v3/kv/txn", self._freeing())).get("succeeded"))

    def permit(self, member: str = NEW_CLUSTER, seconds: int = PERMIT_SECONDS) -> bool:
        """Permit *member* to start with its data, or any to create the cluster, unless etcd knows one; return whether
        it may.

        Raises EndpointError and WrongPasswordError.
        """
        return bool(self._any(lambda client: self._permitting(client, member, seconds)).get("succeeded"))

    def names(self) -> tuple[str, ...]:
        """Return the names of all keys, without the prefix. Raises EndpointError and WrongPasswordError."""
        start = self.prefix.encode()
        body = {"key": encode(start), "range_end": encode(prefix_end(start)), "keys_only": True}
        answer = self._any(lambda client: client.call("/v3/kv/range", body))
        keys = (base64.b64decode(item["key"]).decode() for item in answer.get("kvs", ()))
        return tuple(sorted(key.removeprefix(self.prefix) for key in keys))

    def leader(self) -> str:
        """Return the name in the leader's key, "" without one. Raises EndpointError and WrongPasswordError."""
        answer = self._any(lambda client: client.call("/v3/kv/range", {"key": self._key(LEADER)}))
        return next((base64.b64decode(item["value"]).decode() for item in answer.get("kvs", ())), "")

    def forget(self, names: Sequence[str], *, guarded: bool = True) -> bool:
        """Delete keys at once, if *guarded* only when no member of the cluster is alive; return whether they were."""
        body = self._forgetting(names, guarded)
        return bool(self._any(lambda client: client.call("/v3/kv/txn", body)).get("succeeded"))

    def _any(self, ask: Callable[[EtcdClient], dict[str, Any]]) -> dict[str, Any]:
        silent: EndpointError | None = None
        for client in self.clients:
            try:
                return ask(self._login(client))
            except EndpointError as error:
                silent = error
        raise silent or EndpointError("", None, "no etcd endpoint given")

    def _forgetting(self, names: Sequence[str], guarded: bool) -> dict[str, Any]:
        members = f"{self.prefix}{MEMBERS}".encode()
        nobody = {"key": encode(members), "range_end": encode(prefix_end(members))}
        return {
            "compare": [{**nobody, "target": "VERSION", "result": "EQUAL", "version": "0"}] if guarded else [],
            "success": [{"requestDeleteRange": {"key": self._key(name)}} for name in names],
        }

    def _login(self, client: EtcdClient) -> EtcdClient:
        return (self.username and client.login(self.username, self.password)) or client

    def _permitting(self, client: EtcdClient, member: str, seconds: int) -> dict[str, Any]:
        lease = client.call("/v3/lease/grant", {"TTL": str(seconds)})["ID"]
        put = {"key": self._key(PERMIT), "value": encode(member.encode()), "lease": lease}
        body = {"compare": [self._absent(INITIALIZED), self._absent(LEADER)], "success": [{"requestPut": put}]}
        return client.call("/v3/kv/txn", body)

    def _freeing(self) -> dict[str, Any]:
        key = self._key(INITIALIZED)
        return {
            "compare": [
                {"key": key, "target": "VERSION", "result": "GREATER", "version": "0"},
                {"key": key, "target": "VALUE", "result": "EQUAL", "value": ""},
                self._absent(LEADER),
            ],
            "success": [{"requestDeleteRange": {"key": key}}],
        }

    def _key(self, name: str) -> str:
        return encode(f"{self.prefix}{name}".encode())

    def _absent(self, name: str) -> dict[str, str]:
        return {"key": self._key(name), "target": "VERSION", "result": "EQUAL", "version": "0"}


def forgettable(names: Sequence[str]) -> tuple[str, ...]:
    """Return the keys with a former database's state: its leader, its identifier, its history and more."""
    return tuple(name for name in names if name not in KEPT and not name.startswith(MEMBERS))


def alive(names: Sequence[str]) -> tuple[str, ...]:
    """Return the members whose Patroni runs, or ran until less than its ttl ago."""
    return tuple(name.removeprefix(MEMBERS) for name in names if name.startswith(MEMBERS))


class LostError(Exception):
    """etcd does not know the database that members have; the message has the fix."""


class Rescue:
    """Watches a cluster that has no leader yet.

    Permits a new one when every member reports that it has no data. Releases a bootstrap that made no progress for
    ABANDONED_AFTER seconds, and gives up on an etcd that has not known the members' database for LOST_AFTER seconds.
    """

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._abandoned = self._lost = time.monotonic()
        self._permitted = -PERMITTED_EVERY

    def permit(self, answers: Sequence[Answer]) -> None:
        """Permit a new cluster when all members have no data, and again before the permit ends.

        An etcd that does not answer is asked again. Raises WrongPasswordError.
        """
        now = time.monotonic()
        if self._store is None or not all_empty(answers) or now - self._permitted < PERMITTED_EVERY:
            return
        self._permitted = now
        with suppress(EndpointError):
            self._store.permit()

    def look(self, answers: Sequence[Answer]) -> None:
        """Record the members' present answers, and act when it is time. Raises LostError."""
        if self._store is None:
            return
        now = time.monotonic()
        if not nobody_creates(answers):
            self._abandoned = now
        elif now - self._abandoned >= ABANDONED_AFTER:
            self._store.free_initialization()
            self._abandoned = now
        if not holders(answers) or self._known(self._store):
            self._lost = now
        elif now - self._lost >= LOST_AFTER:
            raise LostError(
                f"{', '.join(holders(answers))} has a database that etcd knows nothing of below {self._store.prefix}: "
                "where etcd lost its data, etcd_lost.yml lets the cluster go on with its own (docs/etcd-recovery.md)"
            )

    @staticmethod
    def _known(store: Store) -> bool:
        """Whether etcd knows the database; taken for granted where it does not answer."""
        try:
            return INITIALIZED in store.names()
        except (EndpointError, WrongPasswordError):
            return True


__all__ = [
    "ARGUMENT_SPEC",
    "INITIALIZED",
    "NAMED_SECONDS",
    "PASSWORD_SPEC",
    "LostError",
    "Rescue",
    "Store",
    "WrongPasswordError",
    "alive",
    "forgettable",
]
