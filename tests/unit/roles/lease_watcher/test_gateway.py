# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the watcher sends: an etcd that mends CVE-2026-33413 answers nothing without a login."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from lease_watcher.core import Leadership, Member
from lease_watcher.gateway import Access, Gateway

LEADERSHIP = Leadership("db1", 7, 3)
HEADER = {"raft_term": "1", "member_id": "2", "revision": "3"}


class Connection:
    """An etcd that answers everything and notes who asks."""

    status = 200

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    def request(self, _method: str, path: str, _body: str, headers: Mapping[str, str]) -> None:
        self.asked.append((path, headers.get("Authorization")))

    def getresponse(self) -> Connection:
        return self

    def read(self) -> bytes:
        return json.dumps({"token": "token", "ID": "9", "header": HEADER, "responses": [{}, {}]}).encode()


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("/v3/kv/txn", Gateway.read),
        ("/v3/lease/timetolive", lambda gateway: gateway.time_to_live(7)),
        ("/v3/kv/range", lambda gateway: gateway.member("db1")),
        ("/v3/maintenance/status", Gateway.status),
        ("/v3/maintenance/transfer-leadership", lambda gateway: gateway.move_leader(3)),
        ("/v3/lease/grant", lambda gateway: gateway.set_aside(LEADERSHIP, Member("db1", {}, 5))),
    ],
)
def test_everything_is_asked_after_a_login(monkeypatch, path: str, call: Callable[[Gateway], Any]):
    gateway, connection = Gateway(Access("https://db1:2379", "", "", "", "watcher", "known", 1), "/p/"), Connection()
    monkeypatch.setattr(gateway, "_connected", lambda: connection)
    call(gateway)
    assert gateway.revoke(7)
    assert connection.asked[:2] == [("/v3/auth/authenticate", None), (path, "token")]
    assert all(token == "token" for _path, token in connection.asked[1:])
    assert connection.asked[-1] == ("/v3/lease/revoke", "token")
