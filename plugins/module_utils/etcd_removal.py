# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes a member out of an etcd cluster that keeps its quorum."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.etcd import ROOT, Member
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import (
    POLL_SECONDS,
    EtcdClient,
    Tls,
    any_healthy,
    first_healthy,
    health,
    wait_for,
)
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError

HTTP_TIMEOUT = 5.0
SETTLING = "unhealthy cluster"  # what etcd answers for some seconds after a change of its members


class RefusedError(Exception):
    """The member can't be taken out safely; the message has the fix."""


def leaving_member(name: str, peer_url: str, members: Sequence[Member]) -> Member | None:
    """Return the member with a peer URL or else a name; one that never started has no name."""
    by_url = next((member for member in members if peer_url and peer_url in member.peer_urls), None)
    return by_url or next((member for member in members if member.name == name), None)


def quorum_refusal(name: str, voters: int, healthy: int) -> str:
    """Return why a voter can't be taken out, "" when it can.

    voters: the members with a vote, the leaving one included. healthy: those of the others that are healthy.
    """
    left = voters - 1
    needed = left // 2 + 1
    if left < 1:
        return f"{name} is etcd's only member"
    if healthy >= needed:
        return ""
    return (
        f"without {name} etcd has {left} members and needs {needed} of them, but only {healthy} are known to be "
        "healthy: bring the others back first"
    )


class Remover:
    """The removal of one member, asked of those that stay."""

    def __init__(self, params: Mapping[str, Any], *, check_mode: bool) -> None:
        self.params = params
        self.check_mode = check_mode
        tls = Tls.from_params(dict(params))
        self.clients = {url: EtcdClient(tls.client(url, HTTP_TIMEOUT)) for url in params["endpoints"]}
        self.tls = tls
        self.deadline = time.monotonic() + params["timeout"]

    def run(self) -> dict[str, Any]:
        """Remove the member where it is one, and return the module's result. Raises RefusedError, EndpointError."""
        seen = wait_for(list(self.clients.values()), any_healthy, self.deadline - time.monotonic())
        first = first_healthy(list(self.clients.values()), seen)
        if first is None:
            raise RefusedError(f"no member of etcd that stays is healthy: {seen}")
        client = first.login(ROOT, self.params["root_password"]) or first
        members = client.members()
        leaving = leaving_member(self.params["name"], self.params["peer_url"], members)
        before = [member.name for member in members]
        if leaving is None:
            return result(before, before)
        after = [member.name for member in members if member is not leaving]
        self._refuse(leaving, members, seen)
        if not self.check_mode:
            self._lead_elsewhere(client, leaving, members, seen)
            self._remove(client, leaving)
            self._wait()
        return result(before, after)

    def _refuse(self, leaving: Member, members: Sequence[Member], seen: Mapping[str, str | None]) -> None:
        """Raise RefusedError where the member stays in the group, or the others would have no quorum."""
        urls = set(leaving.client_urls) & set(self.clients)
        if urls:
            raise RefusedError(f"{leaving.name} answers at {', '.join(sorted(urls))}, a member that is to stay")
        voters = [member for member in members if not member.learner]
        others = [member for member in voters if member is not leaving]
        healthy = sum(any(seen.get(url, "") is None for url in member.client_urls) for member in others)
        reason = "" if leaving.learner else quorum_refusal(leaving.name or self.params["name"], len(voters), healthy)
        if reason:
            raise RefusedError(reason)

    def _lead_elsewhere(
        self, client: EtcdClient, leaving: Member, members: Sequence[Member], seen: Mapping[str, str | None]
    ) -> None:
        """Move the leadership off the member. Where it does not answer, etcd elects another leader by itself."""
        status = client.call("/v3/maintenance/status")
        if int(status.get("leader") or 0) != leaving.id or not leaving.client_urls:
            return
        heir = next(
            member
            for member in members
            if not member.learner and any(seen.get(url, "") is None for url in member.client_urls)
        )
        leader = EtcdClient(self.tls.client(leaving.client_urls[0], HTTP_TIMEOUT), client.token)
        try:
            leader.call("/v3/maintenance/transfer-leadership", {"targetID": str(heir.id)})
        except EndpointError:
            return

    def _remove(self, client: EtcdClient, leaving: Member) -> None:
        while True:
            try:
                client.call("/v3/cluster/member/remove", {"ID": str(leaving.id)})
            except EndpointError as error:
                if SETTLING not in error.message or time.monotonic() > self.deadline:
                    raise
                time.sleep(POLL_SECONDS)
            else:
                return

    def _wait(self) -> None:
        """Wait until the members that stay have a leader. Raises RefusedError."""
        clients = list(self.clients.values())
        if not any_healthy(wait_for(clients, any_healthy, max(self.deadline - time.monotonic(), POLL_SECONDS))):
            raise RefusedError(f"the member is removed, but etcd does not serve: {health(clients)}")


def result(before: Sequence[str], after: Sequence[str]) -> dict[str, Any]:
    """Return the module's result from the members' names."""
    diff = {"before": {"members": sorted(before)}, "after": {"members": sorted(after)}}
    return {"changed": len(before) != len(after), "members": sorted(after), "diff": diff}
