# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd's leadership: which member may take it over, and the request for that."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.etcd import ROOT, Member
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import (
    POLL_SECONDS,
    EtcdClient,
    Tls,
    in_parallel,
)
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_report import Seen
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError

HTTP_SECONDS = 3.0


class RefusedError(Exception):
    """The leadership can't be moved as asked for; the message is for the user."""


@dataclass(frozen=True)
class Wish:
    """Who shall lead: the member called ``to``, or without it any but the one of ``endpoint``.

    Those to ``avoid`` lead only if no other can.
    """

    endpoint: str
    to: str | None = None
    avoid: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Plan:
    """The member that leads, and the one that shall: the same where nothing is to be done."""

    leader: Member
    heir: Member

    @property
    def needed(self) -> bool:
        """Whether the leadership must move."""
        return self.leader.id != self.heir.id


def plan(seen: Sequence[Seen], members: Sequence[Member], wish: Wish) -> Plan:
    """Return who leads and who shall. Raises RefusedError."""
    leader = leader_of(seen, members)
    if leader is None:
        raise RefusedError("etcd has no leader that a majority follows; playbooks/status.yml shows what is wrong")
    if wish.to is not None:
        return Plan(leader, _named(wish.to, leader, seen, members))
    own = next((member for member in members if wish.endpoint in member.client_urls), None)
    if own is None:
        known = ", ".join(sorted(url for member in members for url in member.client_urls))
        raise RefusedError(f"endpoint: {wish.endpoint} is the client URL of no member; these are {known}")
    return Plan(leader, leader if own.id != leader.id else _best(leader, seen, members, wish.avoid))


def leader_of(seen: Sequence[Seen], members: Sequence[Member]) -> Member | None:
    """Return the member that a majority of the voters follow, None without one."""
    voters = {member.id for member in members if not member.learner}
    followed = [one.leader_id for one in seen if one.error is None and one.member_id in voters]
    return next((one for one in members if followed.count(one.id) > len(voters) // 2), None)


def _named(name: str, leader: Member, seen: Sequence[Seen], members: Sequence[Member]) -> Member:
    member = next((one for one in members if one.name == name), None)
    if member is None:
        known = ", ".join(sorted(one.name for one in members if one.name))
        raise RefusedError(f"to: {name} is no member of etcd; give one of {known}")
    reason = None if member.id == leader.id else _hindrance(member, seen)
    if reason:
        raise RefusedError(f"to: {name} can't lead etcd: {reason}")
    return member


def _best(leader: Member, seen: Sequence[Seen], members: Sequence[Member], avoid: Collection[str]) -> Member:
    others = [member for member in members if member.id != leader.id]
    able = [member for member in others if _hindrance(member, seen) is None]
    if not able:
        reasons = "; ".join(f"{one.name or one.peer_urls}: {_hindrance(one, seen)}" for one in others)
        raise RefusedError(f"no other member than {leader.name} can lead etcd: {reasons or 'there is none'}")
    indexes = {one.member_id: int(one.status.get("raftIndex", 0)) for one in seen}
    return min(able, key=lambda member: (member.name in avoid, -indexes[member.id], member.name))


def _hindrance(member: Member, seen: Sequence[Seen]) -> str | None:
    """Return why a member can't take over, None when it can."""
    if member.learner:
        return "it is a learner without a vote"
    found = next((one for one in seen if one.member_id == member.id), None)
    if found is None:
        silent = next((one.error for one in seen if one.endpoint in member.client_urls), None)
        return silent or "it is none of the endpoints that answer"
    return found.error


class Leadership:
    """One cluster of etcd, asked through all of its endpoints."""

    def __init__(self, tls: Tls, endpoints: Sequence[str], password: str | None) -> None:
        self._clients = [EtcdClient(tls.client(url, HTTP_SECONDS)) for url in endpoints]
        self._password = password

    def look(self) -> tuple[list[Seen], tuple[Member, ...]]:
        """Return what each endpoint says and the members. Raises RefusedError, EndpointError, WrongPasswordError."""
        reasons = in_parallel(EtcdClient.unhealthy_because, self._clients)
        serving = [client for client, reason in zip(self._clients, reasons, strict=True) if reason is None]
        if not serving:
            found = "; ".join(f"{one.http.base_url}: {why}" for one, why in zip(self._clients, reasons, strict=True))
            raise RefusedError(f"no member of etcd serves: {found}")
        token = self._login(serving[0]).token
        asked = zip([replace(client, token=token) for client in self._clients], reasons, strict=True)
        return in_parallel(_seen, asked), replace(serving[0], token=token).members()

    def hand_over(self, made: Plan, wish: Wish, seconds: float) -> Member:
        """Move the leadership, and return the member that leads then.

        Raises RefusedError, EndpointError, WrongPasswordError.
        """
        deadline = time.monotonic() + seconds
        refused = self._transfer(made)
        while True:
            with suppress(EndpointError, RefusedError):
                leader = leader_of(*self.look())
                if leader is not None and (leader.id == made.heir.id if wish.to else leader.id != made.leader.id):
                    return leader
            if time.monotonic() >= deadline:
                reason = f" ({refused})" if refused else ""
                raise RefusedError(f"{made.heir.name} does not lead etcd {seconds:g} s after the request{reason}")
            time.sleep(POLL_SECONDS)

    def _transfer(self, made: Plan) -> str | None:
        """Ask the leader, which alone can do it; return why it says that it did not."""
        leader = next((one for one in self._clients if one.http.base_url in made.leader.client_urls), None)
        if leader is None:
            raise RefusedError(f"endpoints: the leader's ({made.leader.name}) is missing")
        try:
            self._login(leader).call("/v3/maintenance/transfer-leadership", {"targetID": str(made.heir.id)})
        except EndpointError as error:
            return str(error)
        return None

    def _login(self, client: EtcdClient) -> EtcdClient:
        return client if self._password is None else client.login(ROOT, self._password) or client


def _seen(asked: tuple[EtcdClient, str | None]) -> Seen:
    """Return what a member says of itself; one that isn't healthy isn't asked."""
    client, reason = asked
    status: dict[str, Any] = {}
    if reason is None:
        try:
            status = client.call("/v3/maintenance/status")
        except EndpointError as error:
            reason = error.message
    return Seen(client.http.base_url, reason, status)
