# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may take over etcd's leadership; and the module on a real etcd."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.holdfast.ha.plugins.module_utils import etcd_leadership
from ansible_collections.holdfast.ha.plugins.module_utils.etcd import Member
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_leadership import RefusedError, Wish, plan
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_report import Seen
from ansible_collections.holdfast.ha.plugins.modules import etcd_leader

from tests.unit.roles.lease_watcher.etcd_cluster import PASSWORD, Cluster

MEMBERS = tuple(
    Member(number, f"db{number}", (f"https://db{number}:2380",), (f"https://db{number}:2379",)) for number in (1, 2, 3)
)
LEARNER = replace(MEMBERS[2], learner=True)


def seen(number: int, index: int = 100, leader: int = 1) -> Seen:
    status = {"header": {"member_id": str(number)}, "leader": str(leader), "raftIndex": str(index)}
    return Seen(f"https://db{number}:2379", None, status)


def sick(number: int) -> Seen:
    return Seen(f"https://db{number}:2379", "no route")


def away(number: int, *avoid: str) -> Wish:
    return Wish(f"https://db{number}:2379", None, frozenset(avoid))


def to(name: str) -> Wish:
    return Wish("https://db1:2379", name)


WELL = (seen(1), seen(2, 90), seen(3, 99))


@pytest.mark.parametrize(
    ("found", "members", "wish", "heir"),
    [
        (WELL, MEMBERS, away(1), "db3"),
        (WELL, MEMBERS, away(1, "db3"), "db2"),
        (WELL, MEMBERS, away(1, "db2", "db3"), "db3"),
        ((seen(1), seen(2), seen(3)), MEMBERS, away(1), "db2"),
        (WELL, MEMBERS, away(2), "db1"),  # it does not lead
        (WELL, (*MEMBERS[:2], LEARNER), away(1), "db2"),
        ((seen(1), seen(2, 90), sick(3)), MEMBERS, away(1), "db2"),
        (WELL, MEMBERS, to("db1"), "db1"),
        (WELL, MEMBERS, to("db2"), "db2"),
    ],
)
def test_plan(found: tuple[Seen, ...], members: tuple[Member, ...], wish: Wish, heir: str) -> None:
    made = plan(found, members, wish)
    assert (made.leader.name, made.heir.name, made.needed) == ("db1", heir, heir != "db1")


@pytest.mark.parametrize(
    ("found", "members", "wish", "message"),
    [
        ((seen(1), sick(2), sick(3)), MEMBERS, away(1), "no leader that a majority follows"),
        ((seen(1), seen(2, leader=0), seen(3, leader=0)), MEMBERS, away(1), "no leader that a majority follows"),
        ((seen(1), sick(2)), (MEMBERS[0], replace(MEMBERS[1], learner=True)), away(1), "db2: it is a learner"),
        ((seen(1),), MEMBERS[:1], away(1), "no other member than db1 can lead etcd: there is none"),
        (WELL, MEMBERS, away(4), "endpoint: https://db4:2379 is the client URL of no member; these are https://db1"),
        (WELL, MEMBERS, to("db4"), "to: db4 is no member of etcd; give one of db1, db2, db3"),
        ((*WELL[:2], sick(3)), MEMBERS, to("db3"), "to: db3 can't lead etcd: no route"),
        (WELL[:2], MEMBERS, to("db3"), "to: db3 can't lead etcd: it is none of the endpoints that answer"),
        (WELL, (*MEMBERS[:2], LEARNER), to("db3"), "to: db3 can't lead etcd: it is a learner"),
    ],
)
def test_refusals(found: tuple[Seen, ...], members: tuple[Member, ...], wish: Wish, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        plan(found, members, wish)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster.started(tmp_path_factory.mktemp("etcd"))
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def run(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    monkeypatch.setattr(etcd_leadership, "HTTP_SECONDS", 1.0)

    def call(endpoint: str, **arguments: Any) -> dict[str, Any]:
        tls = cluster.tls
        common = {
            "endpoint": endpoint,
            "endpoints": [member.client for member in cluster.members],
            "ca_path": tls.ca,
            "certificate_path": tls.cert,
            "private_key_path": tls.key,
            "password": PASSWORD,
        }
        with patch_module_args({**common, **arguments}), pytest.raises(SystemExit):
            etcd_leader.main()
        return dict(json.loads(capsys.readouterr().out))

    return call


@pytest.mark.xdist_group("etcd-leadership")
class TestReal:
    def test_away_and_there(self, cluster: Cluster, run: Callable[..., dict[str, Any]]) -> None:
        first = cluster.leader()
        predicted = run(first.client, away_from=True, _ansible_check_mode=True)
        assert (predicted["changed"], predicted["old_leader"]) == (True, first.name)
        assert cluster.leader() is first
        moved = run(first.client, away_from=True)
        assert (moved["changed"], moved["leader"]) == (True, cluster.leader().name)
        assert moved["leader"] != first.name
        again = run(first.client, away_from=True)
        assert (again["changed"], again["leader"]) == (False, moved["leader"])
        back = run(first.client, to=first.name)
        assert (back["changed"], back["leader"], cluster.leader()) == (True, first.name, first)
        assert not run(first.client, to=first.name)["changed"]

    def test_a_member_that_hangs_is_not_chosen(self, cluster: Cluster, run: Callable[..., dict[str, Any]]) -> None:
        leader, hung = cluster.leader(), cluster.follower()
        hung.signal(signal.SIGSTOP)
        try:
            refused = run(leader.client, to=hung.name)
            moved = run(leader.client, away_from=True)
        finally:
            hung.signal(signal.SIGCONT)
        assert refused["msg"].startswith(f"to: {hung.name} can't lead etcd: ")
        assert moved["changed"]
        assert moved["leader"] not in (leader.name, hung.name)
        cluster.wait_until_healthy()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"away_from": True, "password": "wrong"}, "password: etcd refuses this password of root"),
            ({"away_from": False}, "away_from: false asks for nothing"),
            ({}, "one of the following is required: away_from, to"),
            ({"away_from": True, "endpoints": ["https://127.0.0.1:1"]}, "is none of endpoints"),
        ],
    )
    def test_what_it_refuses(
        self, cluster: Cluster, run: Callable[..., dict[str, Any]], arguments: dict[str, Any], message: str
    ) -> None:
        assert message in run(cluster.members[0].client, **arguments)["msg"]
