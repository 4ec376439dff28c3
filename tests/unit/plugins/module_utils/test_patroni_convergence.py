# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import patroni_api, patroni_convergence
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError
from ansible_collections.holdfast.ha.plugins.module_utils.patroni import Answer, Cluster, Member
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_api import ClusterError
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_convergence import Convergence, converge, predict


def cluster(*pending: str, state: str = "streaming") -> Cluster:
    return Cluster(
        scope="lab",
        agreed=True,
        members=(
            Member("db1", "leader", "running", timeline=1, answers=True, pending_restart="db1" in pending),
            Member("db2", "sync_standby", state, timeline=1, answers=True, pending_restart="db2" in pending),
            Member("db3", "replica", state, timeline=1, answers=True, pending_restart="db3" in pending),
        ),
    )


class FakeApi:
    """A cluster whose restarts clear the pending flag, except of members in ``stubborn`` for their first restart."""

    def __init__(self, state: Cluster, stubborn: tuple[str, ...] = (), broken: bool = False) -> None:
        self.state = state
        self.stubborn = list(stubborn)
        self.broken = broken
        self.restarted: list[str] = []
        self.endpoints: list[str] = []

    def answers(self) -> list[Answer]:
        return [Answer("https://192.0.2.1:8008", error="slow")]

    def cluster(self) -> Cluster:
        return self.state

    def read_configuration(self) -> dict[str, Any]:
        return {"synchronous_mode": True}

    def restart(self, member: Member, timeout: float) -> None:
        if self.broken:
            raise EndpointError("https://192.0.2.2:8008/restart", 503, "restart failed")
        self.restarted.append(member.name)
        if member.name in self.stubborn:
            self.stubborn.remove(member.name)
            return
        members = tuple(
            replace(each, pending_restart=False) if each.name == member.name else each for each in self.state.members
        )
        self.state = replace(self.state, members=members)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeApi], Convergence]:
    monkeypatch.setattr(patroni_api, "POLL_INTERVAL", 0.0)
    monkeypatch.setattr(patroni_convergence, "await_applied", lambda api, timeout: None)

    def make(api: FakeApi) -> Convergence:
        monkeypatch.setattr(patroni_convergence, "merge_answers", lambda answers: api.cluster())
        return Convergence(cast("Any", api), ["db1", "db2", "db3"], timeout=0.01, restart_timeout=1)

    return make


@pytest.mark.parametrize(
    ("pending", "stubborn", "restarted"),
    [
        ((), (), []),
        (("db3",), (), ["db3"]),
        (("db1", "db2", "db3"), (), ["db2", "db3", "db1"]),
        (("db1", "db2"), ("db2",), ["db2", "db1", "db2"]),
    ],
)
def test_restarts(
    made: Callable[[FakeApi], Convergence],
    pending: tuple[str, ...],
    stubborn: tuple[str, ...],
    restarted: list[str],
) -> None:
    api = FakeApi(cluster(*pending), stubborn)

    result = converge(made(api), restart=True)

    assert result["restarted"] == api.restarted == restarted
    assert result["changed"] is bool(restarted)


def test_restarts_can_be_left_to_the_operator(made: Callable[[FakeApi], Convergence]) -> None:
    api = FakeApi(cluster("db1", "db2"))

    assert not converge(made(api), restart=False)["changed"]
    assert api.restarted == []


def test_check_mode_predicts(made: Callable[[FakeApi], Convergence]) -> None:
    api = FakeApi(cluster("db1", "db2"))

    result = predict(made(api), restart=True)

    assert result["restarted"] == ["db2", "db1"]
    assert result["changed"]
    assert api.restarted == []


@pytest.mark.parametrize("state", [Cluster(), cluster(state="stopped")])
def test_check_mode_never_fails(made: Callable[[FakeApi], Convergence], state: Cluster) -> None:
    result = predict(made(FakeApi(state)), restart=True)

    assert not result["changed"]
    assert result["problems"]


def test_not_healthy_in_time(made: Callable[[FakeApi], Convergence]) -> None:
    with pytest.raises(ClusterError, match=r"db2 is stopped.*192\.0\.2\.1:8008: slow"):
        converge(made(FakeApi(cluster(state="stopped"))), restart=True)


REFUSED = 'FATAL:  password authentication failed for user "replicator"'


def test_the_log_stands_in_the_message(made: Callable[[FakeApi], Convergence]) -> None:
    lines = [REFUSED, "LOG:  waiting for WAL to become available at 0/3000000"]
    convergence = replace(made(FakeApi(cluster(state="in archive recovery"))), journal=lambda _since: lines)
    with pytest.raises(ClusterError, match=f"db2 is in archive recovery, not streaming; .*; its log says: {REFUSED}$"):
        convergence.healthy()


def test_a_hopeless_wait_ends_early(made: Callable[[FakeApi], Convergence], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patroni_convergence, "HOPELESS_SECONDS", 0.0)
    convergence = replace(made(FakeApi(cluster(state="stopped"))), timeout=3600, journal=lambda _since: [REFUSED])
    with pytest.raises(ClusterError, match=r"not healthy within 0 s: .*password authentication failed"):
        convergence.healthy()


def test_a_failure_that_was_over_soon_is_waited_out(
    made: Callable[[FakeApi], Convergence], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patroni_convergence, "HOPELESS_SECONDS", 0.0)
    monkeypatch.setattr(patroni_convergence, "RECENT_SECONDS", -1.0)
    begun = time.time()

    def lines(since: float) -> list[str]:
        return [REFUSED] if since <= begun + 0.5 else []

    with pytest.raises(ClusterError, match=r"within 1 s: .*password authentication failed"):
        replace(made(FakeApi(cluster(state="stopped"))), timeout=1.2, journal=lines).healthy()


def test_a_member_that_is_off_is_told_with_its_endpoint(made: Callable[[FakeApi], Convergence]) -> None:
    made_ = made(FakeApi(replace(cluster(), members=cluster().members[:2])))
    answers = [Answer("1"), Answer("2"), Answer("3", error="3: no route to host")]
    made_.api.answers = lambda: answers  # type: ignore[method-assign]
    with pytest.raises(ClusterError, match="db3 is not a member, and 3: no route to host"):
        made_.healthy()


def test_a_restart_that_fails_ends_it(made: Callable[[FakeApi], Convergence]) -> None:
    with pytest.raises(ClusterError, match="db2 could not be restarted"):
        converge(made(FakeApi(cluster("db1", "db2"), broken=True)), restart=True)


def test_still_pending(made: Callable[[FakeApi], Convergence]) -> None:
    with pytest.raises(ClusterError, match="still pending"):
        converge(made(FakeApi(cluster("db1"), stubborn=("db1",) * 9)), restart=True)


def test_applied_waits_for_every_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(patroni_convergence, "await_applied", lambda api, timeout, required: asked.append(required))
    api = FakeApi(cluster("db2"))
    api.endpoints = ["https://192.0.2.1:8008"]

    convergence = Convergence(cast("Any", api), [], timeout=5, restart_timeout=1)
    assert not patroni_convergence.applied(convergence)["changed"]
    assert asked == [["https://192.0.2.1:8008"]]


def test_a_member_that_fails_to_reload_has_not_applied_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patroni_convergence, "await_applied", lambda _api, _timeout, required: None)
    said = ["INFO: no action", "ERROR: Failed to reload config_file=/etc/patroni/config.yml", "INFO: no action"]
    convergence = Convergence(cast("Any", FakeApi(cluster())), [], 5, 1, journal=lambda _since: said)
    with pytest.raises(ClusterError, match=r"has not applied its files; its log says: ERROR: Failed to reload"):
        patroni_convergence.applied(convergence)


def answer(number: int, *names: str, leader: str = "db1") -> Answer:
    """Return what the endpoint of one member answers."""
    members = [
        {
            "name": name,
            "role": "leader" if name == leader else "sync_standby",
            "state": "running" if name == leader else "streaming",
            "api_url": f"https://{name}:8008/patroni",
            "timeline": 1,
            "pending_restart": name == "db3",
        }
        for name in names
    ]
    role, state = ("primary", "running") if f"db{number}" == leader else ("replica", "streaming")
    own = {"role": role, "state": "running", "replication_state": state, "timeline": 1, "pending_restart": False}
    return Answer(f"https://db{number}:8008", patroni=own, cluster={"members": members})


def silent(number: int) -> Answer:
    return Answer(f"https://db{number}:8008", error="no route")


class Answering(FakeApi):
    """A cluster as its endpoints answer."""

    def __init__(self, answers: list[Answer]) -> None:
        super().__init__(Cluster())
        self.given = answers

    def answers(self) -> list[Answer]:
        return self.given


def url(name: str) -> str:
    return f"https://{name}:8008"


@pytest.mark.parametrize(
    ("answers", "members", "others", "left"),
    [
        # off, and still or no longer in the store
        ([answer(1, "db1", "db2", "db3"), answer(2, "db1", "db2", "db3"), silent(3)], ["db1", "db2"], ["db3"], ["db3"]),
        ([answer(1, "db1", "db2"), answer(2, "db1", "db2"), silent(3)], ["db1", "db2"], ["db3"], ["db3"]),
        # it takes no part in the run, but is there
        ([answer(n, "db1", "db2", "db3") for n in (1, 2, 3)], ["db1", "db2"], ["db3"], []),
        # one of two: it can't be outvoted, nor have a synchronous standby
        ([answer(1, "db1"), silent(2)], ["db1"], ["db2"], ["db2"]),
    ],
)
def test_a_member_that_may_be_off_is_not_waited_for(
    answers: list[Answer], members: list[str], others: list[str], left: list[str]
) -> None:
    api = cast("Any", Answering(answers))
    convergence = Convergence(api, members, timeout=0, restart_timeout=1, others={name: url(name) for name in others})

    result = predict(convergence, restart=True)

    assert (result["problems"], result["left"]) == ([], left)
    assert "db3" not in result["restarted"]
    assert list(convergence.healthy().left) == left


def test_a_member_that_may_be_off_must_be_healthy_once_it_answers() -> None:
    behind = replace(answer(3, "db1", "db2", "db3"), patroni={"state": "starting", "role": "replica"})
    starting = {
        "members": [
            {**entry, "state": "starting"} if entry["name"] == "db3" else entry
            for entry in (answer(1, "db1", "db2", "db3").cluster or {})["members"]
        ]
    }
    api = Answering([replace(answer(1), cluster=starting), replace(answer(2), cluster=starting), behind])
    convergence = Convergence(cast("Any", api), ["db1", "db2"], 0, 1, {"db3": url("db3")})

    with pytest.raises(ClusterError, match="db3 is starting"):
        convergence.healthy()


def test_a_member_that_applies_nothing_tells_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(_api: Any, _timeout: float, required: Any) -> None:
        raise ClusterError(f"not applied within 5 s by {required}")

    monkeypatch.setattr(patroni_convergence, "await_applied", late)
    convergence = Convergence(cast("Any", FakeApi(cluster())), [], 5, 1, journal=lambda _since: [REFUSED])
    with pytest.raises(ClusterError, match=f"not applied within 5 s by .*; its log says: {REFUSED}$"):
        patroni_convergence.applied(convergence)
