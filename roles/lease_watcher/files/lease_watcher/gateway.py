# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One etcd member's JSON gateway (etcd 3.4 and 3.5), over one connection that is kept open."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from lease_watcher.core import Leadership, Member, Reading, TimeToLive, parse_settings

NOT_FOUND = 404
ASIDE = 10  # seconds after which a member's key that was set aside expires, unless its owner writes it again
FORGOTTEN = ("invalid auth token", "revision of auth store is old")  # a new login helps


class GatewayError(Exception):
    """The member gave no answer, or refused with this HTTP status (None without an answer)."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Access:
    """The member's URL, paths of the TLS files, and the login ("" without one); timeout is seconds for each answer."""

    endpoint: str
    ca: str
    cert: str
    key: str
    username: str
    password: str = field(repr=False)
    timeout: float


@dataclass(frozen=True)
class Status:
    """An etcd member by its own account: ids of itself and its leader (0: none), term and index of raft.

    votes: whether it is no learner; sound: whether it reports no fault, such as an alarm.
    """

    member: int
    leader: int
    term: int
    index: int
    votes: bool
    sound: bool


class Gateway:
    """Reads Patroni's keys below a prefix with etcd's quorum behind it, and revokes a lease."""

    def __init__(self, access: Access, prefix: str) -> None:
        self._access = access
        self._prefix = prefix
        self._keys = {name: _encode(f"{prefix}{name}") for name in ("leader", "config")}
        self._connection: http.client.HTTPConnection | None = None
        self._token = ""

    def read(self) -> Reading:
        """Return one linearizable reading; raise GatewayError."""
        ranges = [{"requestRange": {"key": key}} for key in self._keys.values()]
        return parse_reading(self._call("/v3/kv/txn", {"success": ranges}))

    def time_to_live(self, lease: int) -> TimeToLive:
        """Return a lease's time to live from the member that considers itself etcd's leader; raise GatewayError."""
        answer = self._call("/v3/lease/timetolive", {"ID": str(lease)})
        return TimeToLive(int(answer.get("grantedTTL", 0)), int(answer.get("TTL", 0)))

    def member(self, name: str) -> Member | None:
        """Return the contents of a member's own key; raise GatewayError."""
        answer = self._call("/v3/kv/range", {"key": self._member_key(name)})
        return parse_member(name, (answer.get("kvs") or [None])[0])

    def set_aside(self, leadership: Leadership, member: Member) -> bool:
        """Keep a leader's member key beyond its lease for a while, without a REST interface; raise GatewayError.

        Return False, without a change, if the leader key has changed or the member has written its own key again.
        """
        lease = self._call("/v3/lease/grant", {"TTL": str(ASIDE)})["ID"]
        leader, key = self._keys["leader"], self._member_key(member.name)
        compare = [
            {"key": leader, "target": "CREATE", "create_revision": str(leadership.created)},
            {"key": leader, "target": "LEASE", "lease": str(leadership.lease)},
            {"key": key, "target": "MOD", "mod_revision": str(member.revision)},
        ]
        put = {"requestPut": {"key": key, "value": _encode(member.aside), "lease": lease}}
        return bool(self._call("/v3/kv/txn", {"compare": compare, "success": [put]}).get("succeeded"))

    def revoke(self, lease: int) -> bool:
        """Revoke a lease; return False if there was none. Raise GatewayError if it may not have been revoked.

        It is never retried: by then the observation may be too old.
        """
        try:
            self._post("/v3/lease/revoke", {"ID": str(lease)})
        except GatewayError as error:
            if error.status != NOT_FOUND:
                raise
            return False
        return True

    def status(self) -> Status:
        """Return the member's status; raise GatewayError.

        From etcd 3.5.28 and 3.6 on, some versions answer only the user root, and so they do in move_leader().
        """
        return parse_status(self._call("/v3/maintenance/status", {}))

    def move_leader(self, member: int) -> None:
        """Have another member lead etcd; only the leader can. Raise GatewayError."""
        self._call("/v3/maintenance/transfer-leadership", {"targetID": str(member)})

    def close(self) -> None:
        """Drop the connection and the login; the next call opens new ones.

        etcd delays a request until the raft index at which its token was issued: forever, if its data was lost.
        """
        self._hang_up()
        self._token = ""

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _member_key(self, name: str) -> str:
        return _encode(f"{self._prefix}members/{name}")

    def _call(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Log in if needed, and again if the member does not know the token any more."""
        if self._access.username and not self._token:
            self._login()
        try:
            return self._post(path, body)
        except GatewayError as error:
            if not self._access.username or not any(words in str(error) for words in FORGOTTEN):
                raise
            self._login()
        return self._post(path, body)

    def _login(self) -> None:
        self._token = ""
        login = {"name": self._access.username, "password": self._access.password}
        self._token = self._post("/v3/auth/authenticate", login)["token"]

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            connection = self._connected()
            headers = {"Authorization": self._token} if self._token else {}
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            answer = json.loads(response.read() or b"{}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._hang_up()
            raise GatewayError(f"{self._access.endpoint}: {error or type(error).__name__}") from None
        if response.status >= 400 or not isinstance(answer, dict):
            message = answer.get("message") or answer.get("error") if isinstance(answer, dict) else answer
            raise GatewayError(f"{self._access.endpoint}{path}: {response.status}: {message}", response.status)
        return answer

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            url = urlsplit(self._access.endpoint)
            context = ssl.create_default_context(cafile=self._access.ca)
            context.load_cert_chain(self._access.cert, self._access.key)
            self._connection = http.client.HTTPSConnection(
                url.hostname or "", url.port, timeout=self._access.timeout, context=context
            )
            self._connection.connect()
        return self._connection


def parse_reading(answer: Mapping[str, Any]) -> Reading:
    """Return the reading in the answer to a transaction that reads the keys `leader` and `config`."""
    header = answer["header"]
    leader, config = (_first(part) for part in answer["responses"])
    return Reading(
        term=int(header["raft_term"]),
        etcd_member=int(header["member_id"]),
        revision=int(header["revision"]),
        leadership=_leadership(leader),
        settings=parse_settings(_decode(config["value"]) if config and "value" in config else None),
    )


def parse_status(answer: Mapping[str, Any]) -> Status:
    """Return the status in the answer, which leaves out what is 0 or false."""
    return Status(
        member=int(answer["header"]["member_id"]),
        leader=int(answer.get("leader", 0)),
        term=int(answer.get("raftTerm", 0)),
        index=int(answer.get("raftIndex", 0)),
        votes=not answer.get("isLearner"),
        sound=not answer.get("errors"),
    )


def parse_member(name: str, key: Mapping[str, Any] | None) -> Member | None:
    """Return the member in the answer's key; None without a key, or if it is unreadable."""
    try:
        data = json.loads(_decode(key["value"])) if key and "value" in key else None
    except ValueError:
        return None
    return Member(name, data, int(key["mod_revision"])) if key and isinstance(data, dict) else None


def _first(part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = (part.get("response_range") or part.get("responseRange") or {}).get("kvs") or [None]
    return found[0]


def _leadership(key: Mapping[str, Any] | None) -> Leadership | None:
    """Treat a leader key without a lease, as another store writes it, as absent: no lease could be revoked."""
    if key is None or int(key.get("lease", 0)) == 0:
        return None
    return Leadership(_decode(key.get("value", "")), int(key["lease"]), int(key["create_revision"]))


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decode(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")
