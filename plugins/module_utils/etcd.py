# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd membership and authentication as plain data, and the rules on them: nothing here does I/O."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

ROOT = "root"


@dataclass(frozen=True)
class Member:
    """A member as the cluster sees it. One that has never started has no client URLs."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool = False

    @property
    def started(self) -> bool:
        """Whether the member has ever been part of the quorum."""
        return bool(self.client_urls)


@dataclass(frozen=True)
class Peer:
    """A member as it is declared."""

    name: str
    url: str


class Join(Enum):
    """How a member without data joins its cluster."""

    BOOTSTRAP = "bootstrap"  # the cluster is being made
    ADDED = "added"  # the cluster expects it already
    ADD = "add"  # the cluster doesn't know it
    REPLACE = (
        "replace"  # the cluster knows it: removed and added again, with another id than the one whose data is lost
    )

    @property
    def initial_cluster_state(self) -> str:
        """etcd's word for it."""
        return "new" if self is Join.BOOTSTRAP else "existing"


@dataclass(frozen=True)
class LookedAt:
    """What one run found on the members' hosts: names of those without data, and of those with."""

    empty: frozenset[str] = frozenset()
    full: frozenset[str] = frozenset()

    @classmethod
    def of(cls, token: str, found: Iterable[Mapping[str, Any]]) -> LookedAt:
        """Return what etcd_member's ``found`` of a run's hosts say of one cluster; one without says nothing."""
        ours = [one for one in found if one.get("token") == token]
        return cls(
            frozenset(one["name"] for one in ours if one["empty"]),
            frozenset(one["name"] for one in ours if not one["empty"]),
        )

    def all_empty(self, peers: Iterable[Peer]) -> bool:
        """Return whether none of the members has data; then none of them can have lost any."""
        return all(peer.name in self.empty for peer in peers)


def find_member(peer: Peer, members: Sequence[Member]) -> Member | None:
    """Return the member of a cluster that a declared peer is."""
    return next((member for member in members if peer.url in member.peer_urls), None)


def plan_join(
    me: Peer,
    peers: Sequence[Peer],
    answers: Mapping[str, Sequence[Member]],
    looked_at: LookedAt,
    quorum: bool,
) -> Join | None:
    """Return how a member without data joins, or None while that can't be decided.

    Args:
        me: the member
        peers: all members as declared
        answers: by name of each other member that answers, the members it knows
        looked_at: what this run found on the hosts
        quorum: whether the others can change the membership
    """
    made = looked_at.all_empty(peers)
    if not answers:
        return Join.BOOTSTRAP if made else None
    seen = max((find_member(me, members) for members in answers.values()), key=_knowledge)
    if seen is None:
        return Join.ADD
    if seen.started or (quorum and not made):
        return Join.REPLACE
    if not seen.name:
        return Join.ADDED
    accounted = looked_at.empty | set(answers) | {me.name}
    return Join.BOOTSTRAP if all(peer.name in accounted for peer in peers) else None


@dataclass(frozen=True)
class PeerNames:
    """Whether a member may refuse peers whose certificate lacks the cluster's name, and why not yet."""

    required: bool
    hindrance: str | None = None


def judge_peer_names(named: Mapping[str, bool | None], has_data: bool, required_before: bool) -> PeerNames:
    """Judge by member whether its certificate has the name (None: it doesn't answer), the own one included.

    A member whose certificate lacks the name would be shut out. One that doesn't answer may have such a certificate,
    unless the members have always refused those, or are being created.
    """
    unnamed = sorted(name for name, has_name in named.items() if has_name is False)
    silent = sorted(name for name, has_name in named.items() if has_name is None)
    if unnamed:
        return PeerNames(False, f"{', '.join(unnamed)}: the certificate does not have it yet")
    if silent and has_data and not required_before:
        return PeerNames(False, f"{', '.join(silent)}: no answer, so the certificate may not have it yet")
    return PeerNames(True)


def _knowledge(seen: Member | None) -> int:
    """Rank what a member knows of another: started, known, unknown."""
    return 0 if seen is None else 1 + seen.started


def why_unknown(me: Peer, peers: Sequence[Peer], answers: Collection[str], looked_at: LookedAt) -> str:
    """Return why it can't be decided how a member without data joins, and the fix."""
    silent = sorted(peer.name for peer in peers if peer.name not in answers and peer.name not in looked_at.empty)
    unseen = "was not looked at in this run, and its etcd does not answer"
    known = dict.fromkeys(looked_at.full, "has data, but its etcd does not answer")
    known |= {me.name: "still runs on data that is no longer in its directory"}
    return (
        f"{me.name} has no data, and whether its cluster has is unknown: "
        f"{'; '.join(f'{name} {known.get(name, unseen)}' for name in silent)}. To start it empty could lose what was "
        "acknowledged. Have those hosts up and run this again for all members at once, without --limit; "
        "take a host that is gone for good out of the members (the group etcd)"
    )


def initial_cluster(join: Join, me: Peer, peers: Sequence[Peer], members: Sequence[Member]) -> tuple[Peer, ...]:
    """Return the members for etcd's settings: the declared ones, or those of the existing cluster."""
    if join is Join.BOOTSTRAP:
        return tuple(sorted(peers, key=lambda peer: peer.name))
    names = {peer.url: peer.name for peer in peers}
    others = [
        Peer(member.name or names.get(peer_url, peer_url), peer_url)
        for member in members
        for peer_url in member.peer_urls
        if me.url not in member.peer_urls
    ]
    return tuple(sorted([*others, me], key=lambda peer: peer.name))


def bootstrap_environment(join: Join, token: str, cluster: Sequence[Peer]) -> str:
    """Return the environment file with the settings etcd heeds on an empty data directory only."""
    members = ",".join(f"{peer.name}={peer.url}" for peer in cluster)
    return (
        f"ETCD_INITIAL_CLUSTER={members}\n"
        f"ETCD_INITIAL_CLUSTER_STATE={join.initial_cluster_state}\n"
        f"ETCD_INITIAL_CLUSTER_TOKEN={token}\n"
    )


class Restart(Enum):
    """Whether one member may be restarted now."""

    SAFE = "safe"  # the others keep the quorum, or all are well
    HARMLESS = "harmless"  # there is no quorum to lose
    UNSAFE = "unsafe"  # it would take the quorum away


def judge_restart(me: str, health: Mapping[str, bool]) -> Restart:
    """Judge a member's restart by every member's health, the own one included."""
    quorum = len(health) // 2 + 1
    others = sum(healthy for name, healthy in health.items() if name != me)
    if all(health.values()) or others >= quorum:
        return Restart.SAFE
    return Restart.UNSAFE if sum(health.values()) >= quorum else Restart.HARMLESS


@dataclass(frozen=True)
class Permission:
    """What a role may do with the keys from ``key`` up to, but without, ``range_end``."""

    kind: str
    key: bytes
    range_end: bytes

    def as_json(self) -> dict[str, str]:
        """Return the form the JSON gateway takes."""
        return {"permType": self.kind, "key": encode(self.key), "range_end": encode(self.range_end)}

    def __str__(self) -> str:
        """Name the prefix, or the range when it is none."""
        prefix = self.key.decode(errors="replace")
        if self.range_end == prefix_end(self.key):
            return f"{self.kind.lower()} {prefix}*"
        return f"{self.kind.lower()} {prefix}..{self.range_end.decode(errors='replace')}"


@dataclass(frozen=True)
class User:
    """A declared user, with a role of the same name and only these permissions.

    It reads and writes ``prefixes``, reads ``read_prefixes`` and writes ``write_prefixes``. With ``like``, it has the
    role of that user instead.
    """

    name: str
    password: str = field(repr=False)
    prefixes: tuple[str, ...] = ()
    read_prefixes: tuple[str, ...] = ()
    write_prefixes: tuple[str, ...] = ()
    like: str = ""

    @property
    def role(self) -> str:
        """The name of its only role."""
        return self.like or self.name

    @classmethod
    def from_params(cls, params: Mapping[str, Any], passwords: Mapping[str, str]) -> User:
        """Return the user that an entry of a module's parameter is; the passwords stand apart, by name."""
        kinds = ("prefixes", "read_prefixes", "write_prefixes")
        prefixes = {kind: tuple(params.get(kind) or ()) for kind in kinds}
        return cls(params["name"], passwords[params["name"]], **prefixes, like=params.get("like") or "")

    @property
    def permissions(self) -> frozenset[Permission]:
        """What the user's role shall be allowed."""
        kinds = {"READWRITE": self.prefixes, "READ": self.read_prefixes, "WRITE": self.write_prefixes}
        return frozenset(
            Permission(kind, prefix.encode(), prefix_end(prefix.encode()))
            for kind, prefixes in kinds.items()
            for prefix in prefixes
        )


@dataclass(frozen=True)
class AuthState:
    """Authentication as found: roles by user, permissions by role, and users who can't log in as declared."""

    enabled: bool
    users: Mapping[str, frozenset[str]]
    roles: Mapping[str, frozenset[Permission]]
    refused: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Call:
    """One call of the JSON gateway, and its description."""

    text: str
    path: str
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)


def plan_auth(
    current: AuthState, root_password: str, users: Sequence[User], absent: Collection[str] = ()
) -> tuple[Call, ...]:
    """Return the calls from the observed to the declared state; enabling comes last.

    Before it comes root's password, because its change ends the login that carries out the calls.
    """
    everyone = [*users, User(ROOT, root_password)]
    calls = [call for user in everyone for call in _plan_user(current, user)]
    gone = [
        Call(f"delete user {name}", "/v3/auth/user/delete", {"name": name}) for name in absent if name in current.users
    ]
    if not current.enabled:
        calls.append(Call("enable authentication", "/v3/auth/enable"))
    return (*gone, *calls)


def _plan_user(current: AuthState, user: User) -> list[Call]:
    calls = []
    if user.role not in current.roles and not user.like:
        calls.append(Call(f"add role {user.role}", "/v3/auth/role/add", {"name": user.role}))
    if user.name != ROOT and not user.like:
        calls += _plan_permissions(user, current.roles.get(user.role, frozenset()))
    roles = _plan_roles(user, current.users.get(user.name, frozenset()))
    if user.name not in current.users:
        return [*calls, _with_password("add user", "/v3/auth/user/add", user), *roles]
    if user.name in current.refused or not current.enabled:
        return [*calls, *roles, _with_password("set the password of user", "/v3/auth/user/changepw", user)]
    return [*calls, *roles]


def _with_password(text: str, path: str, user: User) -> Call:
    return Call(f"{text} {user.name}", path, {"name": user.name, "password": user.password})


def _plan_permissions(user: User, found: frozenset[Permission]) -> list[Call]:
    # Granting a range that is there with another kind replaces it: only ranges that aren't wanted are revoked.
    wanted = user.permissions
    ranges = {(permission.key, permission.range_end) for permission in wanted}
    revoke = [
        Call(
            f"revoke from role {user.name}: {permission}",
            "/v3/auth/role/revoke",
            {"role": user.name, "key": encode(permission.key), "range_end": encode(permission.range_end)},
        )
        for permission in sorted(found - wanted, key=str)
        if (permission.key, permission.range_end) not in ranges
    ]
    grant = [
        Call(
            f"grant to role {user.name}: {permission}",
            "/v3/auth/role/grant",
            {"name": user.name, "perm": permission.as_json()},
        )
        for permission in sorted(wanted - found, key=str)
    ]
    return revoke + grant


def _plan_roles(user: User, found: frozenset[str]) -> list[Call]:
    name, wanted = user.name, user.role
    revoke = [
        Call(f"revoke role {role} from user {name}", "/v3/auth/user/revoke", {"name": name, "role": role})
        for role in sorted(found - {wanted})
    ]
    if wanted in found:
        return revoke
    return [*revoke, Call(f"grant role {wanted} to user {name}", "/v3/auth/user/grant", {"user": name, "role": wanted})]


def prefix_end(prefix: bytes) -> bytes:
    """Return the end of the range that holds exactly the keys with a prefix."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else b"\0"


def encode(key: bytes) -> str:
    """Return bytes as the JSON gateway takes them."""
    return base64.b64encode(key).decode()


def parse_member(data: Mapping[str, Any]) -> Member:
    """Return a member from the gateway's (``peerURLs``, id as text) or the peer port's JSON (id as number)."""
    return Member(
        id=int(data.get("ID", data.get("id", 0))),
        name=data.get("name", ""),
        peer_urls=tuple(data.get("peerURLs") or ()),
        client_urls=tuple(data.get("clientURLs") or ()),
        learner=bool(data.get("isLearner")),
    )


def parse_permission(data: Mapping[str, Any]) -> Permission:
    """Return a permission from the gateway's JSON, which leaves out the kind READ."""
    key, range_end = (base64.b64decode(data.get(name, "")) for name in ("key", "range_end"))
    return Permission(data.get("permType", "READ"), key, range_end)
