# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Patroni cluster as data: its members' answers, and its problems.

Nothing here does I/O. ``/cluster`` is the view a member has of the whole cluster,
``/patroni`` what it knows about itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

LEADER_ROLES = frozenset({"leader", "standby_leader"})
SYNCHRONOUS_ROLES = frozenset({"sync_standby", "quorum_standby"})
NO_AGREEMENT = "a majority of the members does not agree on the leader"
NO_SYNCHRONOUS = "no standby is synchronous"


@dataclass(frozen=True)
class Member:
    """One member; ``lag`` is bytes behind the leader, None when unknown or when it leads."""

    name: str
    role: str
    state: str
    host: str | None = None
    port: int | None = None
    api_url: str | None = None
    timeline: int | None = None
    lag: int | None = None
    pending_restart: bool = False
    tags: Mapping[str, Any] | None = None
    version: str | None = None
    server_version: int | None = None
    answers: bool = False

    @property
    def leads(self) -> bool:
        """Whether this member is the leader (of a standby cluster too)."""
        return self.role in LEADER_ROLES


@dataclass(frozen=True)
class Cluster:
    """A whole cluster; ``agreed`` says whether a majority of the asked endpoints sees it so."""

    scope: str | None = None
    members: tuple[Member, ...] = ()
    paused: bool = False
    agreed: bool = False

    @property
    def leader(self) -> Member | None:
        """The leader, or None."""
        return next((member for member in self.members if member.leads), None)

    def member(self, name: str) -> Member | None:
        """The member of that name, or None."""
        return next((member for member in self.members if member.name == name), None)


@dataclass(frozen=True)
class Answer:
    """What one endpoint answered: the bodies of ``/patroni`` and ``/cluster``, None without an answer."""

    endpoint: str
    patroni: Mapping[str, Any] | None = None
    cluster: Mapping[str, Any] | None = None
    error: str | None = None


def parse_member(body: Mapping[str, Any]) -> Member:
    """Return the Member of one entry of ``/cluster``."""
    lag = body.get("lag")
    return Member(
        name=str(body["name"]),
        role=str(body.get("role", "replica")),
        state=str(body.get("state", "unknown")),
        host=body.get("host"),
        port=body.get("port"),
        api_url=body.get("api_url"),
        timeline=body.get("timeline"),
        lag=lag if isinstance(lag, int) else None,
        pending_restart=bool(body.get("pending_restart")),
        tags=body.get("tags") or {},
    )


def api_root(url: str | None) -> str:
    """Return scheme, host and port of an ``api_url`` or endpoint."""
    scheme, _separator, rest = (url or "").partition("://")
    return f"{scheme}://{rest.split('/', 1)[0]}"


def merge_answers(answers: Sequence[Answer]) -> Cluster:
    """Return the cluster that most endpoints report, completed with each member's own state."""
    views = [answer for answer in answers if answer.cluster]
    if not views:
        return Cluster()
    leader = prevailing_leader(answers)
    supporters = [answer for answer in views if leader_name(answer.cluster) == leader]
    chosen = next((answer for answer in supporters if says_it_leads(answer)), supporters[0])
    body = cast("Mapping[str, Any]", chosen.cluster)
    scopes = ((answer.patroni or {}).get("patroni", {}).get("scope") for answer in answers)
    return Cluster(
        scope=next((scope for scope in scopes if scope), None),
        members=complete_members([parse_member(entry) for entry in body.get("members", [])], answers),
        paused=bool(body.get("pause")),
        agreed=2 * len(supporters) > len(answers),
    )


def prevailing_leader(answers: Sequence[Answer]) -> str | None:
    """Return the leader's name in most views; among equals, the one that confirms it itself."""
    votes: dict[str | None, int] = {}
    for answer in answers:
        if answer.cluster:
            name = leader_name(answer.cluster)
            votes[name] = votes.get(name, 0) + 2 + says_it_leads(answer)
    return max(votes, key=lambda name: (votes[name], str(name)))


def leader_name(cluster: Mapping[str, Any] | None) -> str | None:
    """Return the name of the leader in the body of ``/cluster``."""
    members = (cluster or {}).get("members", [])
    return next((entry["name"] for entry in members if entry.get("role") in LEADER_ROLES), None)


def says_it_leads(answer: Answer) -> bool:
    """Whether the endpoint's own ``/patroni`` is that of a running primary."""
    body = answer.patroni or {}
    return body.get("role") in {"master", "primary", "standby_leader"} and body.get("state") == "running"


def complete_members(members: Iterable[Member], answers: Sequence[Answer]) -> tuple[Member, ...]:
    """Return the members with what their own ``/patroni`` and the leader's replication list add."""
    own = {api_root(answer.endpoint): answer.patroni for answer in answers if answer.patroni}
    streaming = {
        entry.get("application_name")
        for body in own.values()
        for entry in body.get("replication") or []
        if entry.get("state") == "streaming"
    }
    return tuple(
        complete_member(member, own.get(api_root(member.api_url)), member.name in streaming) for member in members
    )


def complete_member(member: Member, own: Mapping[str, Any] | None, streaming: bool) -> Member:
    """Return the member with its own state; ``streaming`` is the leader's report of it."""
    if member.state == "running" and not member.leads and streaming:
        member = replace(member, state="streaming")
    if own is None:
        return member
    state = str(own.get("replication_state") or member.state) if member.state == "running" else member.state
    return replace(
        member,
        state=member.state if member.leads else state,
        timeline=own.get("timeline") or member.timeline,
        pending_restart=bool(own.get("pending_restart")),
        version=own.get("patroni", {}).get("version"),
        server_version=own.get("server_version"),
        answers=True,
    )


def problems(cluster: Cluster, expected: Sequence[str], synchronous: bool = False) -> list[str]:
    """Return why the cluster is not yet as expected, one sentence each; empty when it is.

    ``expected`` names the members that must run; ``synchronous`` asks for a synchronous standby.
    """
    if not cluster.members:
        return ["no member answers"]
    leader = cluster.leader
    if leader is None:
        return ["there is no leader", *member_problems(cluster, expected, None)]
    found = [] if cluster.agreed else [NO_AGREEMENT]
    found += member_problems(cluster, expected, leader)
    if synchronous and not any(member.role in SYNCHRONOUS_ROLES for member in cluster.members):
        found.append(NO_SYNCHRONOUS)
    return found


def nobody_creates(answers: Sequence[Answer]) -> bool:
    """Whether all endpoints answer, no member has a database, and none is creating one."""
    return bool(answers) and all(
        (answer.patroni or {}).get("state") == "stopped" and (answer.patroni or {}).get("role") == "uninitialized"
        for answer in answers
    )


def says_it_is_empty(answer: Answer) -> bool:
    """Whether an amended member reports that it has no data and creates none; others don't report it."""
    return (answer.patroni or {}).get("empty") is True


def all_empty(answers: Sequence[Answer]) -> bool:
    """Whether every endpoint reports that its member has no data."""
    return bool(answers) and all(map(says_it_is_empty, answers))


def hindrance(answers: Sequence[Answer]) -> str:
    """Return why members that wait for a new cluster are not permitted one, "" where none waits."""
    others = [answer.endpoint for answer in answers if not says_it_is_empty(answer)]
    if not others or len(others) == len(answers):
        return ""
    return f"; none is created until every member says that it has no data, and {', '.join(others)} does not"


def holders(answers: Sequence[Answer]) -> list[str]:
    """Return the endpoints whose member has a database."""
    return [answer.endpoint for answer in answers if (answer.patroni or {}).get("database_system_identifier")]


def silent_members(endpoints: Mapping[str, str], answers: Sequence[Answer]) -> list[str]:
    """Return the names of those whose endpoint does not answer."""
    answering = {answer.endpoint for answer in answers if answer.patroni}
    return [name for name, endpoint in endpoints.items() if endpoint not in answering]


def member_problems(cluster: Cluster, expected: Sequence[str], leader: Member | None) -> list[str]:
    """Return what is wrong with each expected member."""
    found = []
    for name in expected:
        member = cluster.member(name)
        problem = "is not a member" if member is None else member_problem(member, leader)
        if problem:
            found.append(f"{name} {problem}")
    return found


def with_reasons(found: Sequence[str], expected: Sequence[str], answers: Sequence[Answer]) -> list[str]:
    """Return the problems; that of a missing member includes why its endpoint does not answer.

    ``answers`` are in the order of ``expected``; otherwise their members are unknown.
    """
    if len(answers) != len(expected):
        return list(found)
    silent = {f"{name} is not a member": answer for name, answer in zip(expected, answers, strict=True) if answer.error}
    return [f"{text}, and {silent[text].error}" if text in silent else text for text in found]


def member_problem(member: Member, leader: Member | None) -> str | None:
    """Return why one member is not healthy, or None."""
    if not member.answers:
        return f"does not answer at {member.api_url}"
    if member.leads:
        return None if member.state == "running" else f"leads, but is {member.state}"
    if member.state != "streaming":
        return f"is {member.state}, not streaming"
    if leader is not None and member.timeline != leader.timeline:
        return f"is on timeline {member.timeline}, the leader on {leader.timeline}"
    return None


def restart_order(cluster: Cluster) -> list[Member]:
    """Return the members whose restart is pending, the leader last."""
    pending = (member for member in cluster.members if member.pending_restart)
    return sorted(pending, key=lambda member: (member.leads, member.name))


def as_facts(cluster: Cluster) -> dict[str, Any]:
    """Return the cluster as plain data for a module's result."""
    leader = cluster.leader
    return {
        "scope": cluster.scope,
        "leader": leader.name if leader else None,
        "paused": cluster.paused,
        "agreed": cluster.agreed,
        "members": [
            {
                "name": member.name,
                "role": member.role,
                "state": member.state,
                "host": member.host,
                "port": member.port,
                "timeline": member.timeline,
                "lag": member.lag,
                "pending_restart": member.pending_restart,
                "tags": dict(member.tags or {}),
                "version": member.version,
                "server_version": member.server_version,
                "answers": member.answers,
            }
            for member in cluster.members
        ],
    }


def from_facts(facts: Mapping[str, Any]) -> Cluster:
    """Return the cluster of as_facts(), empty for {}. The members' URLs are not in it."""
    members = tuple(Member(**entry) for entry in facts.get("members") or ())
    return Cluster(facts.get("scope"), members, bool(facts.get("paused")), bool(facts.get("agreed")))
