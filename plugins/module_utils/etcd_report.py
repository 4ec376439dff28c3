# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen of an etcd cluster, summed up: nothing here does I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.etcd import Member


@dataclass(frozen=True)
class Seen:
    """One endpoint: why it isn't healthy, the gateway's status, and what it refuses (None: it couldn't be asked)."""

    endpoint: str
    error: str | None = None
    status: Mapping[str, Any] = field(default_factory=dict)
    anonymous_refused: bool | None = None
    plaintext_refused: bool | None = None
    certificate_required: bool | None = None

    @property
    def member_id(self) -> int:
        """Return the id of the endpoint's member, 0 when not known."""
        return int(self.status.get("header", {}).get("member_id", 0))

    @property
    def leader_id(self) -> int:
        """Return the id of the member this one follows, 0 when there is none."""
        return int(self.status.get("leader", 0))


@dataclass(frozen=True)
class Endpoint:
    """One endpoint as reported."""

    endpoint: str
    name: str | None
    healthy: bool
    error: str | None
    leader: bool
    version: str | None
    db_size: int | None
    db_size_in_use: int | None
    revision: int | None
    raft_term: int | None
    raft_index: int | None


@dataclass(frozen=True)
class Report:
    """The cluster as reported."""

    healthy: bool
    quorum: bool
    leader: str | None
    endpoints: list[Endpoint]
    members: list[dict[str, Any]]
    alarms: list[str]
    auth_enabled: bool | None
    plaintext_refused: bool | None
    certificate_required: bool | None
    errors: list[str]


def summarise(
    seen: Sequence[Seen], members: Sequence[Member], alarms: Iterable[Mapping[str, Any]], errors: Sequence[str]
) -> Report:
    """Return the report of a cluster."""
    names = {member.id: member.name for member in members}
    leaders = {one.leader_id for one in seen if one.error is None}
    leader = next(iter(leaders)) if len(leaders) == 1 else 0
    raised = sorted(
        f"{names.get(int(alarm.get('memberID', 0)), alarm.get('memberID'))} {alarm.get('alarm')}" for alarm in alarms
    )
    return Report(
        healthy=all(one.error is None for one in seen) and leader != 0 and not raised,
        quorum=any(one.error is None for one in seen),
        leader=names.get(leader),
        endpoints=[_endpoint(one, names) for one in seen],
        members=[_member(member) for member in sorted(members, key=lambda member: member.name)],
        alarms=raised,
        auth_enabled=_all_known(one.anonymous_refused for one in seen if one.error is None),
        plaintext_refused=_all_known(one.plaintext_refused for one in seen),
        certificate_required=_all_known(one.certificate_required for one in seen),
        errors=list(errors),
    )


def _endpoint(seen: Seen, names: Mapping[int, str]) -> Endpoint:
    status = seen.status
    return Endpoint(
        endpoint=seen.endpoint,
        name=names.get(seen.member_id) or None,
        healthy=seen.error is None,
        error=seen.error,
        leader=seen.member_id != 0 and seen.member_id == seen.leader_id,
        version=status.get("version"),
        db_size=_number(status.get("dbSize")),
        db_size_in_use=_number(status.get("dbSizeInUse")),
        revision=_number(status.get("header", {}).get("revision")),
        raft_term=_number(status.get("raftTerm")),
        raft_index=_number(status.get("raftIndex")),
    )


def _member(member: Member) -> dict[str, Any]:
    return {
        "name": member.name,
        "id": f"{member.id:x}",
        "peer_urls": list(member.peer_urls),
        "client_urls": list(member.client_urls),
        "learner": member.learner,
    }


def _all_known(answers: Iterable[bool | None]) -> bool | None:
    known = [answer for answer in answers if answer is not None]
    return all(known) if known else None


def _number(text: str | int | None) -> int | None:
    return None if text is None else int(text)
