# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
from typing import Any, cast

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import patroni_etcd
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient
from ansible_collections.holdfast.ha.plugins.module_utils.patroni import Answer
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_etcd import LostError, Rescue, Store

Call = tuple[str, str, Any, Any]

PARAMS: dict[str, Any] = {
    "endpoints": ["https://a", "https://b"],
    "prefix": "/service/lab/",
    "ca": None,
    "cert": None,
    "key": None,
    "username": "patroni",
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Return what etcd was asked; the first endpoint is silent, the second says the key was empty."""
    made: list[Call] = []

    def request(client: HttpJsonClient, method: str, path: str, body: Any = None, headers: Any = None) -> Any:
        made.append((client.base_url, path, body, headers))
        if client.base_url == "https://a":
            raise EndpointError("https://a", None, "refused")
        return {"token": "t0ken"} if path.endswith("authenticate") else {"succeeded": True}

    monkeypatch.setattr(HttpJsonClient, "request", request)
    return made


def test_the_key_is_deleted_only_if_empty_and_without_a_leader(calls: list[Call]) -> None:
    assert Store.from_params(PARAMS, "secret").free_initialization()

    url, path, body, headers = calls[-1]
    assert (url, path, headers) == ("https://b", "/v3/kv/txn", {"Authorization": "t0ken"})
    keys = [base64.b64decode(condition["key"]).decode() for condition in body["compare"]]
    assert keys == ["/service/lab/initialize", "/service/lab/initialize", "/service/lab/leader"]
    assert body["compare"][1] == {"key": body["compare"][0]["key"], "target": "VALUE", "result": "EQUAL", "value": ""}
    assert body["success"] == [{"requestDeleteRange": {"key": body["compare"][0]["key"]}}]


def test_without_a_user_there_is_no_login(calls: list[Call]) -> None:
    assert Store.from_params({**PARAMS, "username": ""}, None).free_initialization()

    assert [path for _url, path, _body, _headers in calls] == ["/v3/kv/txn", "/v3/kv/txn"]


def test_all_silent(calls: list[Call]) -> None:
    with pytest.raises(EndpointError, match="refused"):
        Store.from_params({**PARAMS, "endpoints": ["https://a"]}, "secret").free_initialization()


@pytest.mark.parametrize(
    ("arguments", "seconds", "value"), [((), "30", b""), (("db2", 600), "600", b"db2")], ids=["a new cluster", "db2"]
)
def test_a_permit_ends_by_itself_and_is_none_where_etcd_knows_a_cluster(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[Any, ...], seconds: str, value: bytes
) -> None:
    made: list[Any] = []

    def request(_client: HttpJsonClient, _method: str, path: str, body: Any = None, headers: Any = None) -> Any:
        made.append((path, body))
        return {"token": "t0ken", "ID": "4711", "succeeded": True}

    monkeypatch.setattr(HttpJsonClient, "request", request)
    assert Store.from_params(PARAMS, "secret").permit(*arguments)

    assert made[-2] == ("/v3/lease/grant", {"TTL": seconds})
    path, body = made[-1]
    assert path == "/v3/kv/txn"
    guards = [(base64.b64decode(one["key"]), one["target"], one["version"]) for one in body["compare"]]
    assert guards == [(b"/service/lab/initialize", "VERSION", "0"), (b"/service/lab/leader", "VERSION", "0")]
    put = body["success"][0]["requestPut"]
    assert (base64.b64decode(put["key"]), put["lease"]) == (b"/service/lab/holdfast_permit", "4711")
    assert base64.b64decode(put["value"]) == value


class FakeStore:
    """Counts how often it is asked to free or to permit a bootstrap; it has some keys, or does not answer."""

    prefix = "/service/lab/"
    asked = 0
    permits = 0

    def permit(self) -> bool:
        self.permits += 1
        if self.keys is None:
            raise EndpointError("https://192.0.2.1:2379", None, "refused")
        return True

    def __init__(self, keys: tuple[str, ...] | None = ()) -> None:
        self.keys = keys

    def names(self) -> tuple[str, ...]:
        if self.keys is None:
            raise EndpointError("https://192.0.2.1:2379", None, "refused")
        return self.keys

    def free_initialization(self) -> bool:
        self.asked += 1
        return True


@pytest.mark.parametrize(
    ("after", "state", "asked"),
    [(0.0, "stopped", 2), (60.0, "stopped", 0), (0.0, "initializing new cluster", 0)],
)
def test_rescue(monkeypatch: pytest.MonkeyPatch, after: float, state: str, asked: int) -> None:
    monkeypatch.setattr(patroni_etcd, "ABANDONED_AFTER", after)
    store = FakeStore()
    rescue = Rescue(cast("Store", store))

    for _look in range(2):
        rescue.look([Answer("https://192.0.2.1:8008", {"state": state, "role": "uninitialized"})])

    assert store.asked == asked


def waiting(endpoint: str, **more: Any) -> Answer:
    return Answer(endpoint, {"state": "stopped", "role": "uninitialized", "empty": True, **more})


@pytest.mark.parametrize(
    ("others", "permits"),
    [
        ([waiting("https://b"), waiting("https://c")], 1),
        ([], 1),
        ([waiting("https://b"), Answer("https://c", error="refused")], 0),
        ([Answer("https://b", {"state": "running", "database_system_identifier": "7000000000000000001"})], 0),
        ([Answer("https://b", {"state": "stopped", "role": "replica"})], 0),
        ([waiting("https://b", empty=False)], 0),
        ([Answer("https://b", {"state": "stopped", "role": "uninitialized"})], 0),
    ],
    ids=["three", "alone", "one is silent", "one has data", "one has data, stopped", "can't be read", "not amended"],
)
def test_a_new_cluster_is_permitted_when_every_member_says_that_it_is_empty(others: list[Answer], permits: int) -> None:
    store = FakeStore()
    rescue = Rescue(cast("Store", store))

    for _look in range(2):
        rescue.permit([waiting("https://a"), *others])

    assert store.permits == permits


def test_the_permit_is_given_again_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patroni_etcd, "PERMITTED_EVERY", 0.0)
    store = FakeStore(None)
    rescue = Rescue(cast("Store", store))

    for _look in range(2):
        rescue.permit([waiting("https://a")])

    assert store.permits == 2


def test_without_a_store_or_members_nothing_is_permitted() -> None:
    store = FakeStore()
    Rescue(None).permit([waiting("https://a")])
    Rescue(cast("Store", store)).permit([])
    assert store.permits == 0


HOLDER = Answer("https://192.0.2.1:8008", {"state": "running", "database_system_identifier": "7000000000000000001"})


def test_an_etcd_that_lost_its_data_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patroni_etcd, "LOST_AFTER", 0.0)

    with pytest.raises(LostError, match=r"https://192\.0\.2\.1:8008 has a database .* /service/lab/: .*etcd_lost\.yml"):
        Rescue(cast("Store", FakeStore(("config", "members/db1")))).look([HOLDER])


@pytest.mark.parametrize(
    ("after", "keys", "answer"),
    [
        (60.0, (), HOLDER),
        (0.0, ("initialize",), HOLDER),
        (0.0, None, HOLDER),
        (0.0, (), Answer("https://192.0.2.1:8008", {"state": "starting"})),
    ],
)
def test_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch, after: float, keys: tuple[str, ...] | None, answer: Answer
) -> None:
    monkeypatch.setattr(patroni_etcd, "LOST_AFTER", after)

    Rescue(cast("Store", FakeStore(keys))).look([answer])


def test_without_a_store_nothing_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patroni_etcd, "ABANDONED_AFTER", 0.0)

    Rescue(None).look([Answer("https://192.0.2.1:8008", {"state": "stopped", "role": "uninitialized"})])


def test_keys_are_forgotten_only_while_no_member_is_alive(calls: list[Call]) -> None:
    store = Store.from_params(PARAMS, "secret")
    assert store.forget(["leader"])

    body = calls[-1][2]
    assert base64.b64decode(body["compare"][0]["key"]) == b"/service/lab/members/"
    assert base64.b64decode(body["compare"][0]["range_end"]) == b"/service/lab/members0"
    assert (body["compare"][0]["target"], body["compare"][0]["version"]) == ("VERSION", "0")
    assert base64.b64decode(body["success"][0]["requestDeleteRange"]["key"]) == b"/service/lab/leader"

    store.forget(["members/db1"], guarded=False)
    assert calls[-1][2]["compare"] == []


def test_the_names_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [base64.b64encode(f"/service/lab/{name}".encode()).decode() for name in ("members/db1", "config", "sync")]
    monkeypatch.setattr(
        HttpJsonClient, "request", lambda *_arguments: {"token": "t", "kvs": [{"key": key} for key in keys]}
    )
    names = Store.from_params(PARAMS, "secret").names()
    assert names == ("config", "members/db1", "sync")
    assert patroni_etcd.forgettable(names) == ("sync",)
    assert patroni_etcd.alive(names) == ("db1",)
