# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import etcd_removal
from ansible_collections.holdfast.ha.plugins.module_utils.etcd import Member
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import EtcdClient
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_removal import RefusedError, Remover, quorum_refusal
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError

NAMES = ("db1", "db2", "db3")


def member(number, **more):
    return Member(number, f"db{number}", (f"https://db{number}:2380",), (f"https://db{number}:2379",), **more)


class Store:
    """An etcd of three members; ``down`` don't answer."""

    def __init__(self, down=(), leader=1, refusals=0):
        self.members = [member(number) for number in (1, 2, 3)]
        self.down, self.leader, self.refusals = set(down), leader, refusals
        self.calls = []

    def is_down(self, client):
        return any(f"//{name}:" in client.http.base_url for name in self.down)

    def unhealthy_because(self, client):
        return "no route" if self.is_down(client) else None

    def call(self, client, path, body=None):
        if self.is_down(client):
            raise EndpointError(client.http.base_url, None, "no route")
        if path.endswith("/status"):
            return {"leader": str(self.leader)}
        self.calls.append((path.rpartition("/")[2], client.http.base_url, body))
        if path.endswith("leadership"):
            self.leader = int(body["targetID"])
        elif self.refusals:
            self.refusals -= 1
            raise EndpointError(client.http.base_url, 503, "etcdserver: unhealthy cluster")
        else:
            self.members = [one for one in self.members if str(one.id) != body["ID"]]
        return {}


@pytest.fixture
def remove(monkeypatch):
    """Return what removes a member from a store, asked at some endpoints."""
    monkeypatch.setattr(etcd_removal, "POLL_SECONDS", 0)

    def run(store, name="db3", endpoints=("db1", "db2"), check_mode=False, peer_url=""):
        monkeypatch.setattr(EtcdClient, "unhealthy_because", store.unhealthy_because)
        monkeypatch.setattr(EtcdClient, "call", lambda client, path, body=None: store.call(client, path, body))
        monkeypatch.setattr(EtcdClient, "login", lambda client, name, password: None)
        monkeypatch.setattr(EtcdClient, "members", lambda client: tuple(store.members))
        params = dict.fromkeys(("ca_path", "certificate_path", "private_key_path"), "/none")
        params |= {"endpoints": [f"https://{one}:2379" for one in endpoints], "name": name, "peer_url": peer_url}
        return Remover(params | {"root_password": "pw", "timeout": 0.3}, check_mode=check_mode).run()

    return run


def test_a_follower_goes(remove):
    store = Store()
    done = remove(store)
    assert (done["changed"], done["members"]) == (True, ["db1", "db2"])
    assert [call[0] for call in store.calls] == ["remove"]


def test_a_leader_hands_over_first(remove):
    store = Store(leader=3)
    remove(store)
    assert [(call, url) for call, url, _body in store.calls] == [
        ("transfer-leadership", "https://db3:2379"),
        ("remove", "https://db1:2379"),
    ]
    assert store.leader == 1


def test_a_lost_member_goes_without_being_asked(remove):
    store = Store(down=["db3"], leader=3)
    assert remove(store)["members"] == ["db1", "db2"]


def test_a_refusal_for_the_last_change_is_no_end(remove):
    store = Store(refusals=2)
    assert remove(store)["changed"] is True


def test_a_member_that_is_gone_is_no_change(remove):
    store = Store()
    store.members.pop()
    assert remove(store)["changed"] is False
    assert store.calls == []


def test_check_mode_removes_nothing(remove):
    store = Store()
    done = remove(store, check_mode=True)
    assert (done["changed"], store.calls) == (True, [])


@pytest.mark.parametrize(
    ("down", "endpoints", "name", "reason"),
    [
        (["db2"], ("db1", "db2"), "db3", "has 2 members and needs 2 of them, but only 1"),
        ([], NAMES, "db3", "a member that is to stay"),
        (["db1", "db2"], ("db1", "db2"), "db3", "no member of etcd that stays is healthy"),
    ],
)
def test_what_would_cost_the_quorum_is_refused(remove, down, endpoints, name, reason):
    store = Store(down=down)
    with pytest.raises(RefusedError, match=reason):
        remove(store, name=name, endpoints=endpoints)
    assert store.calls == []


def test_a_member_that_never_started_is_known_by_its_url(remove):
    store = Store()
    store.members.append(Member(9, "", ("https://db9:2380",), ()))
    assert remove(store, name="db9", endpoints=NAMES, peer_url="https://db9:2380")["members"] == list(NAMES)


@pytest.mark.parametrize(
    ("voters", "healthy", "refused"),
    [(1, 0, True), (2, 1, False), (3, 2, False), (3, 1, True), (4, 2, False), (5, 3, False), (5, 2, True)],
)
def test_the_quorum_of_those_that_stay(voters, healthy, refused):
    assert bool(quorum_refusal("db9", voters, healthy)) is refused
