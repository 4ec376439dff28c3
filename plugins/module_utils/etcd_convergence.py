# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for a cluster of etcd, and brings its users and rights into the declared state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.etcd import ROOT, Call, User, plan_auth
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import (
    EtcdClient,
    Tls,
    all_healthy,
    any_healthy,
    first_healthy,
    wait_for,
)

HTTP_TIMEOUT = 5.0
# For others than those that are waited for: as long as etcd takes to elect a leader after a restart.
OTHERS_SECONDS = 2.0


class UnhealthyError(Exception):
    """Members were not healthy within the time-out."""


class Cluster:
    """The cluster as declared by a module's parameters."""

    def __init__(self, params: dict[str, Any], check_mode: bool) -> None:
        tls = Tls.from_params(params)
        self.awaited = [EtcdClient(tls.client(url, HTTP_TIMEOUT)) for url in params["endpoints"]]
        self.others = {name: EtcdClient(tls.client(url, OTHERS_SECONDS)) for name, url in params["others"].items()}
        self.root_passwords: list[str] = [params["root_password"], *filter(None, [params.get("former_root_password")])]
        self.users = [User.from_params(user, params["passwords"]) for user in params["users"]]
        self.absent: list[str] = params.get("absent_users") or []
        self.check_mode = check_mode
        self.seconds: float = 0 if check_mode else params["timeout"]

    def run(self) -> dict[str, Any]:
        """Compare, apply unless in check mode, and return the module's result."""
        seen = wait_for(self.awaited, any_healthy, self.seconds)
        client = first_healthy(self.awaited, seen) or self.first_other()
        if client is None:
            if self.check_mode:
                return result(["form the cluster, declare users and enable authentication"])
            raise UnhealthyError(describe(seen))
        root, password = client.login_with(ROOT, self.root_passwords)
        admin = root or client
        state = admin.auth_state(self.users, enabled=root is not None)
        if password != self.root_passwords[0]:
            state = replace(state, refused=state.refused | {ROOT})
        plan = plan_auth(state, self.root_passwords[0], self.users, self.absent)
        members = sorted(member.name for member in admin.members())
        if not self.check_mode:
            apply(admin, plan)
            self.wait_for_all()
        return {**result([call.text for call in plan]), "members": members, "left": self.left()}

    def first_other(self) -> EtcdClient | None:
        """Return one of the others that is healthy now; each that is down costs its time-out."""
        others = list(self.others.values())
        return first_healthy(others, wait_for(others, any_healthy, 0))

    def wait_for_all(self) -> None:
        """Wait until every required member can be used; raise UnhealthyError."""
        seen = wait_for(self.awaited, all_healthy, self.seconds, ready=True)
        if not all_healthy(seen):
            raise UnhealthyError(describe(seen))

    def left(self) -> list[str]:
        """Return the names of the others that are not healthy."""
        seen = wait_for(list(self.others.values()), all_healthy, min(self.seconds, OTHERS_SECONDS))
        return sorted(name for name, client in self.others.items() if seen[client.http.base_url] is not None)


def apply(client: EtcdClient, plan: Sequence[Call]) -> None:
    """Carry out a plan."""
    for call in plan:
        client.call(call.path, dict(call.body))


def describe(seen: dict[str, str | None]) -> str:
    """Return which endpoints aren't healthy, and why."""
    return "; ".join(f"{url}: {reason}" for url, reason in seen.items() if reason is not None)


def result(actions: list[str]) -> dict[str, Any]:
    """Return the module's result."""
    return {
        "changed": bool(actions),
        "actions": actions,
        "diff": {"before": "", "after": "".join(f"{action}\n" for action in actions)},
    }
