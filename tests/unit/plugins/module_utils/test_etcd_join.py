# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A member joins as a learner and gets its vote when etcd grants it, also after an interrupted run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import etcd_join
from ansible_collections.holdfast.ha.plugins.module_utils.etcd import Member
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import EtcdClient
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError

NAMES = ("db1", "db2", "db3")
LAGS = "etcdserver: can only promote a learner member which is in sync with leader"


def member(number, **more):
    return Member(number, f"db{number}", (f"https://db{number}:2380",), (f"https://db{number}:2379",), **more)


class Store:
    """An etcd of two members, and db3 where a case adds it; it refuses the first promotions as ``refusals`` say."""

    def __init__(self, *more, refusals=(), status=412):
        self.members = (member(1), member(2), *more)
        self.refusals, self.status = list(refusals), status
        self.calls = []

    def call(self, path, body, asked):
        """Answer as the member db1 or db2, of which the latter leads."""
        if path.endswith("/status"):
            return {"leader": "2", "header": {"member_id": asked.removeprefix("db")}}
        self.calls.append((path.rpartition("/")[2], body))
        if path.endswith("/promote") and asked != "db2":
            raise EndpointError(asked, 504, "etcdserver: request timed out")
        if path.endswith("/add"):
            url = body["peerURLs"][0]
            self.members += (Member(9, "", (url,), (), learner=body.get("isLearner", False)),)
        elif path.endswith("/remove"):
            self.members = tuple(one for one in self.members if str(one.id) != body["ID"])
        elif self.refusals:
            raise EndpointError("https://db1:2379", self.status, self.refusals.pop(0))
        else:
            self.members = tuple(replace(one, learner=False) for one in self.members)
        return {}


@pytest.fixture
def host(monkeypatch, tmp_path):
    """Return what runs the module's work on db3 against a store."""
    monkeypatch.setattr(etcd_join, "POLL_SECONDS", 0)

    def run(store, work="join", data=False, check_mode=False):
        def call(client, path, body=None):
            return store.call(path, body, urlsplit(client.http.base_url).hostname)

        monkeypatch.setattr(etcd_join, "peer_members", lambda http: store.members)
        monkeypatch.setattr(EtcdClient, "unhealthy_because", lambda client: None)
        monkeypatch.setattr(EtcdClient, "call", call)
        monkeypatch.setattr(EtcdClient, "login", lambda client, name, password: None)
        monkeypatch.setattr(EtcdClient, "members", lambda client: store.members)
        if data:
            (tmp_path / "member/wal").mkdir(parents=True)
            (tmp_path / "member/wal/0.wal").touch()
        params = dict.fromkeys(("ca_path", "certificate_path", "private_key_path"), "/none")
        params |= {
            "name": "db3",
            "members": [{"name": name, "address": name} for name in NAMES],
            "unit": "etcd.service",
        }
        params |= {"client_port": 2379, "peer_port": 2380, "token": "lab", "timeout": 0.5, "root_password": "pw"}
        params |= {"data_directory": str(tmp_path), "wal_directory": None, "settings_path": None}
        params |= {"permit_path": str(tmp_path / "permit.env")}
        found = [{"name": name, "token": "lab", "empty": name == "db3"} for name in NAMES]
        module = SimpleNamespace(
            params=params | {"looked_at": None if work == "look" else found}, check_mode=check_mode
        )
        module.tmpdir, module.atomic_move = str(tmp_path), shutil.move
        module.run_command = lambda command, **_more: (0, "0", "")
        return etcd_join.look(module) if work == "look" else etcd_join.Joiner(module).run()

    return run


# The gateway of etcd 3.4 says 412, those of 3.5 and later say 400; the message is the same.
@pytest.mark.parametrize("status", [412, 400])
def test_a_new_member_has_no_vote_until_it_has_caught_up(host, status):
    store = Store(refusals=[LAGS, LAGS], status=status)
    done = host(store)
    assert (done["changed"], done["join"]) == (True, "add")
    assert store.calls[0] == ("add", {"peerURLs": ["https://db3:2380"], "isLearner": True})
    assert [call for call, _body in store.calls[1:]] == ["promote"] * 3
    assert not any(one.learner for one in store.members)


def test_a_member_whose_data_is_lost_comes_back_as_a_learner(host):
    store = Store(member(3))
    assert host(store)["join"] == "replace"
    assert [call for call, _body in store.calls] == ["remove", "add", "promote"]


def test_a_member_that_lags_too_long_keeps_waiting_for_its_vote(host):
    with pytest.raises(etcd_join.RefusedError, match="in sync with leader"):
        host(Store(refusals=[LAGS] * 100_000))


def test_another_refusal_ends_it(host):
    store = Store(refusals=["etcdserver: permission denied"])
    with pytest.raises(EndpointError, match="permission denied"):
        host(store)
    assert len(store.calls) == 2


@pytest.mark.parametrize("learner", [True, False])
def test_a_learner_that_an_interrupted_run_left_gets_its_vote(host, learner):
    store = Store(member(3, learner=learner))
    assert host(store, work="look", data=True)["learner"] is learner
    assert store.calls == []
    done = host(store, data=False)
    assert (done["changed"], done["has_data"]) == (learner, True)
    assert [call for call, _body in store.calls] == ["promote"] * learner


def test_check_mode_gives_no_vote(host):
    store = Store(member(3, learner=True))
    assert host(store, data=True, check_mode=True)["changed"]
    assert store.calls == []
