# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
from typing import Any, cast

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import patroni_configuration
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError
from ansible_collections.holdfast.ha.plugins.module_utils.patroni import Answer, Cluster, Member
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_api import ClusterError
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_etcd import Rescue

LEADER = Cluster(members=(Member("db1", "leader", "running", pending_restart=True),), agreed=True)
PARAMS: dict[str, Any] = {"config": {"ttl": 20}, "exact": False, "keep": [], "etcd": None, "timeout": 0, "others": []}


class FakeApi:
    """A cluster with one stored configuration; ``conflicts`` patches fail first."""

    def __init__(self, stored: dict[str, Any] | None, cluster: Cluster = LEADER, conflicts: int = 0) -> None:
        self.stored = stored
        self.conflicts = conflicts
        self.calls: list[str] = []
        self._cluster = cluster

    def without(self, endpoints: list[str]) -> FakeApi:
        return self

    def view(self) -> Cluster:
        return self._cluster

    def answers(self) -> list[Any]:
        return []

    def read_configuration(self) -> dict[str, Any] | None:
        if not self._cluster.members:
            raise EndpointError("https://a/config", None, "refused")
        return self.stored

    def patch_configuration(self, patch: dict[str, Any]) -> None:
        self.calls.append("PATCH")
        if self.conflicts:
            self.conflicts -= 1
            raise EndpointError("https://a/config", 409, "conflict")
        self.stored = {**(self.stored or {}), **patch}

    def put_configuration(self, configuration: dict[str, Any]) -> None:
        self.calls.append("PUT")
        self.stored = configuration


@pytest.fixture(autouse=True)
def applied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patroni_configuration, "await_applied", lambda api, timeout: None)


@pytest.mark.parametrize(
    ("stored", "check_mode", "changed", "calls"),
    [
        ({"ttl": 20}, False, False, []),
        ({"ttl": 20}, True, False, []),
        ({"ttl": 30}, False, True, ["PATCH"]),
        ({"ttl": 30}, True, True, []),
        (None, False, True, ["PUT"]),
        (None, True, True, []),
    ],
)
def test_converge(
    stored: dict[str, Any] | None,
    check_mode: bool,
    changed: bool,
    calls: list[str],
) -> None:
    api = FakeApi(stored)

    result = patroni_configuration.converge(cast("Any", api), PARAMS, check_mode)

    assert result["changed"] is changed
    assert result["diff"] == {"before": stored or {}, "after": {"ttl": 20}}
    assert result["pending_restart"] == ["db1"]
    assert api.calls == calls
    assert check_mode or api.stored == {"ttl": 20}


SECRETS = {"postgresql": {"parameters": {"app.jwt_secret": "S3CRET", "archive_command": "AWS_SECRET_ACCESS_KEY=S3 x"}}}


@pytest.mark.parametrize(
    "stored",
    [{}, SECRETS, {"postgresql": {"parameters": {**SECRETS["postgresql"]["parameters"], "app.jwt_secret": "S3"}}}],
)
def test_the_result_shows_no_secret_but_says_that_one_changed(stored: dict[str, Any]) -> None:
    api = FakeApi(stored)
    result = patroni_configuration.converge(cast("Any", api), {**PARAMS, "config": SECRETS}, check_mode=False)
    assert "S3" not in str(result)
    assert "AWS_SECRET" in str(result["config"])
    assert result["changed"] is (stored != SECRETS)
    assert ("prepared" in result["diff"]) is (result["changed"] and stored != {})


def test_without_a_cluster_check_mode_predicts() -> None:
    result = patroni_configuration.converge(cast("Any", FakeApi(None, Cluster())), PARAMS, check_mode=True)

    assert result["changed"]
    assert result["diff"] == {"before": {}, "after": {"ttl": 20}}


@pytest.mark.parametrize(
    ("cluster", "why"),
    [(Cluster(), "refused"), (Cluster(members=(Member("db1", "replica", "running"),)), "no leader")],
)
def test_without_a_cluster_it_fails(cluster: Cluster, why: str) -> None:
    with pytest.raises(ClusterError, match=why):
        patroni_configuration.converge(cast("Any", FakeApi(None, cluster)), PARAMS, check_mode=False)


def test_who_may_be_off_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    api, waited = FakeApi({"ttl": 30}), []
    monkeypatch.setattr(api, "without", lambda endpoints: ("all but", endpoints))
    monkeypatch.setattr(patroni_configuration, "await_applied", lambda asked, timeout: waited.append(asked))
    patroni_configuration.converge(cast("Any", api), {**PARAMS, "others": ["https://c"]}, check_mode=False)
    assert waited == [("all but", ["https://c"])]


def test_a_conflict_is_planned_again() -> None:
    api = FakeApi({"ttl": 30}, conflicts=1)

    assert patroni_configuration.converge_despite_others(cast("Any", api), PARAMS, check_mode=False)["changed"]
    assert api.calls == ["PATCH", "PATCH"]


EMPTY: dict[str, Any] = {"state": "stopped", "role": "uninitialized", "empty": True}


class FakeStore:
    permits = 0

    def permit(self) -> bool:
        self.permits += 1
        return True


@pytest.mark.parametrize("stored", [None, {"ttl": 20}], ids=["bare hosts", "etcd still has the configuration"])
def test_members_without_data_are_permitted_a_new_cluster(
    monkeypatch: pytest.MonkeyPatch, stored: dict[str, Any] | None
) -> None:
    api = FakeApi(stored, Cluster(members=(Member("db1", "replica", "stopped"),)))
    monkeypatch.setattr(api, "answers", lambda: [Answer("https://a", EMPTY), Answer("https://b", EMPTY)])
    store = FakeStore()

    with contextlib.suppress(ClusterError):
        patroni_configuration.load(cast("Any", api), 0, Rescue(cast("Any", store)))

    assert store.permits == 1


def test_who_keeps_members_without_data_waiting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi(None, Cluster(members=(Member("db1", "replica", "stopped"),)))
    monkeypatch.setattr(api, "answers", lambda: [Answer("https://a", EMPTY), Answer("https://b", error="refused")])
    store = FakeStore()

    with pytest.raises(ClusterError, match="until every member says that it has no data, and https://b does not"):
        patroni_configuration.load(cast("Any", api), 0, Rescue(cast("Any", store)))

    assert store.permits == 0
