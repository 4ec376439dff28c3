# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.etcd import AuthState, Permission, User, plan_auth, prefix_end
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import (
    EtcdClient,
    WrongPasswordError,
    all_healthy,
    any_healthy,
    first_healthy,
    wait_for,
)
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError

PATRONI = User("patroni", "pw", ("/service/lab/",))
PREFIX = b"/service/lab/"


@dataclass
class Gateway:
    """etcd's authentication as its JSON gateway shows it: stands in for the HTTP client."""

    enabled: bool = False
    passwords: dict[str, str] = field(default_factory=dict)
    granted: dict[str, list[str]] = field(default_factory=dict)
    roles: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    health: list[Any] = field(default_factory=lambda: [{"health": "true"}])
    base_url: str = "https://db1:2379"

    def request(self, _method: str, path: str, body: Any = None, headers: Any = None) -> Any:
        if path == "/health":
            answer = self.health.pop(0) if len(self.health) > 1 else self.health[0]
            if isinstance(answer, str):
                raise EndpointError(self.base_url, None, answer)
            return answer
        name = path.removeprefix("/v3/auth/").replace("/", "_")
        if self.enabled and name != "authenticate" and (headers or {}).get("Authorization") != "token-root":
            raise EndpointError(self.base_url, 400, "etcdserver: user name is empty")
        return getattr(self, name)(body) or {}

    def authenticate(self, body: dict[str, str]) -> dict[str, str]:
        if not self.enabled:
            raise EndpointError(self.base_url, 400, "etcdserver: authentication is not enabled")
        if self.passwords.get(body["name"]) != body["password"]:
            raise EndpointError(self.base_url, 400, "etcdserver: authentication failed, invalid user ID or password")
        return {"token": f"token-{body['name']}"}

    def user_list(self, _body: Any) -> Any:
        return {"users": list(self.passwords)} if self.passwords else {}

    def role_list(self, _body: Any) -> Any:
        return {"roles": list(self.roles)} if self.roles else {}

    def user_get(self, body: dict[str, str]) -> Any:
        return {"roles": self.granted[body["name"]]}

    def role_get(self, body: dict[str, str]) -> Any:
        return {"perm": self.roles[body["role"]]}

    def role_add(self, body: dict[str, str]) -> None:
        self.roles[body["name"]] = []

    def role_grant(self, body: dict[str, Any]) -> None:
        self.roles[body["name"]].append(body["perm"])

    def user_add(self, body: dict[str, str]) -> None:
        self.passwords[body["name"]] = body["password"]
        self.granted[body["name"]] = []

    def user_changepw(self, body: dict[str, str]) -> None:
        self.passwords[body["name"]] = body["password"]

    def user_grant(self, body: dict[str, str]) -> None:
        self.granted[body["user"]].append(body["role"])

    def enable(self, _body: Any) -> None:
        self.enabled = True


def client(gateway: Gateway) -> EtcdClient:
    return EtcdClient(gateway)  # type: ignore[arg-type]


def declare(gateway: Gateway, calls: int | None = None) -> list[str]:
    """Load, plan and apply as the module does, at most so many calls; return the plan."""
    root = client(gateway).login("root", "root-pw")
    admin = root or client(gateway)
    plan = plan_auth(admin.auth_state([PATRONI], enabled=root is not None), "root-pw", [PATRONI])
    for call in plan[:calls]:
        admin.call(call.path, dict(call.body))
    return [call.text for call in plan]


def test_declared_once_is_enough() -> None:
    gateway = Gateway()
    assert len(declare(gateway)) == 8
    assert declare(gateway) == []
    state = client(gateway).login("root", "root-pw")
    assert state is not None
    allowed = frozenset({Permission("READWRITE", PREFIX, prefix_end(PREFIX))})
    assert state.auth_state([PATRONI], enabled=True) == AuthState(
        True,
        {"root": frozenset({"root"}), "patroni": frozenset({"patroni"})},
        {"root": frozenset(), "patroni": allowed},
    )


@pytest.mark.parametrize("calls", range(8))
def test_an_interrupted_run_is_finished_by_the_next(calls: int) -> None:
    gateway = Gateway()
    declare(gateway, calls)
    declare(gateway)
    assert gateway.enabled
    assert gateway.passwords == {"root": "root-pw", "patroni": "pw"}
    assert declare(gateway) == []


def test_a_changed_password_is_set() -> None:
    gateway = Gateway()
    declare(gateway)
    gateway.passwords["patroni"] = "old"
    assert declare(gateway) == ["set the password of user patroni"]
    assert gateway.passwords["patroni"] == "pw"


def test_a_wrong_root_password_is_told_apart() -> None:
    gateway = Gateway(enabled=True, passwords={"root": "other"})
    with pytest.raises(WrongPasswordError, match="root"):
        declare(gateway)


@pytest.mark.parametrize(
    ("answer", "healthy"),
    [
        ({"health": "true"}, True),
        ({"health": "true", "reason": ""}, True),
        ({"health": "false", "reason": "RAFT NO LEADER"}, False),
        ("Connection refused", False),
    ],
)
def test_health(answer: Any, healthy: bool) -> None:
    assert (client(Gateway(health=[answer])).unhealthy_because() is None) is healthy


def test_wait_until_all_are_healthy() -> None:
    clients = [
        client(Gateway(base_url="a")),
        client(Gateway(base_url="b", health=["Connection refused", "Connection refused", {"health": "true"}])),
    ]
    seen = wait_for(clients, any_healthy, 0)
    assert seen == {"a": None, "b": "Connection refused"}
    assert first_healthy(clients, seen) is clients[0]
    assert all_healthy(wait_for(clients, all_healthy, 5))


def test_waiting_ends() -> None:
    clients = [client(Gateway(health=["Connection refused"]))]
    seen = wait_for(clients, all_healthy, 0.1)
    assert first_healthy(clients, seen) is None
