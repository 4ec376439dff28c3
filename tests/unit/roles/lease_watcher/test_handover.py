# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When etcd's leadership is led away from Patroni's leader, and to whom."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace

import pytest
from lease_watcher.__main__ import build
from lease_watcher.core import Leadership, Reading, Round, Settings, Sight, TimeToLive, renews
from lease_watcher.gateway import GatewayError, Status, parse_status
from lease_watcher.handover import LAG, Handover, Move, Stay, decide

from tests.unit.roles.render import render

OWN = Status(member=1, leader=1, term=3, index=1000, votes=True, sound=True)
ALL = {"m1": OWN, "m2": replace(OWN, member=2), "m3": replace(OWN, member=3)}
TO_M2, TO_M3 = Move("m1", 3, 2, "m2"), Move("m1", 3, 3, "m3")


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        pytest.param({}, TO_M2, id="the first of those that can"),
        pytest.param({"m2": {"index": 1000 - LAG}}, TO_M2, id="one that is nearly there"),
        pytest.param({"m2": {"index": 999 - LAG}}, TO_M3, id="not one that has fallen behind"),
        pytest.param({"m2": {"votes": False}}, TO_M3, id="not a learner"),
        pytest.param({"m1": {"leader": 2}}, Stay(), id="another leads"),
        pytest.param({"m3": None}, "m3 gives no answer", id="a member is down, though m2 could lead"),
        pytest.param({"m3": {"leader": 0}}, "m3 follows another leader", id="one has no leader"),
        pytest.param({"m3": {"term": 4}}, "m3 follows another leader", id="an election is under way"),
        pytest.param({"m3": {"sound": False}}, "reports a fault", id="an alarm"),
        pytest.param({"m1": None}, "none of those that answer", id="the own member is silent"),
        pytest.param({"m2": {"index": 1}, "m3": {"index": 1}}, "no other member", id="nobody has caught up"),
    ],
)
def test_who_shall_lead(changed, verdict):
    seen = {**ALL, **{name: change and replace(ALL[name], **change) for name, change in changed.items()}}
    found = decide(1, seen)
    if isinstance(verdict, str):
        assert isinstance(found, Stay)
        assert verdict in found.reason
    else:
        assert found == verdict


READING = Reading(3, 1, 500, Leadership("db1", 7, 100), Settings(1, 3, synchronous=True))


def round_of(reading=READING, remaining=19, after=None, ended=100.0):
    return Round(reading, TimeToLive(20, remaining), after or reading, ended - 0.01, ended)


@pytest.mark.parametrize(
    ("seen", "renewing"),
    [
        pytest.param(round_of(), True, id="as usual"),
        pytest.param(round_of(remaining=16), False, id="a late renewal"),
        pytest.param(round_of(after=replace(READING, term=4)), False, id="an election"),
        pytest.param(round_of(replace(READING, leadership=None)), False, id="no leader"),
        pytest.param(round_of(replace(READING, leadership=Leadership("db2", 7, 100))), False, id="led elsewhere"),
        pytest.param(round_of(replace(READING, settings=Settings(paused=True))), False, id="Patroni is paused"),
        pytest.param(round_of(replace(READING, settings=None)), False, id="no configuration"),
    ],
)
def test_whether_patronis_leader_is_well(seen, renewing):
    assert renews(Sight(READING, since=0.0, at=seen.ended), seen, "db1") == renewing


@dataclass
class Client:
    """A member that answers with its status."""

    answer: Status | GatewayError
    moved: list[int] = field(default_factory=list)
    closed: int = 0

    def status(self) -> Status:
        if isinstance(self.answer, GatewayError):
            raise self.answer
        return self.answer

    def move_leader(self, member: int) -> None:
        self.moved.append(member)

    def close(self) -> None:
        self.closed += 1


def look(handover: Handover, *, quiet: bool = True) -> str | None:
    """Offer it once, and wait for what comes of it."""
    handover._again = 0.0
    handover.offer(1, quiet=quiet)
    assert handover._thread is not None
    handover._thread.join(5)
    return handover.poll()


def clients(**changed: Client) -> dict[str, Client]:
    return {name: changed.get(name, Client(status)) for name, status in ALL.items()}


def well_for(handover: Handover, seconds: float) -> None:
    assert handover._well_since is not None
    handover._well_since = time.monotonic() - seconds


def test_the_leadership_moves_when_all_was_well_for_a_minute_and_not_again_at_once():
    known = clients()
    handover = Handover(known, "db1", after=60)
    assert look(handover) is None
    well_for(handover, 59)
    assert look(handover) is None
    well_for(handover, 60)
    assert look(handover) == "moved etcd's leadership away from Patroni's leader, to m2 (after term 3)"
    assert look(handover) is None
    assert [client.moved for client in known.values()] == [[2], [], []]


def test_it_does_not_move_while_a_leader_is_new():
    known = clients()
    handover = Handover(known, "db1", after=60)
    look(handover)
    well_for(handover, 600)
    assert look(handover, quiet=False) is None
    assert known["m1"].moved == []


@pytest.mark.parametrize(
    ("error", "told"),
    [(GatewayError("nothing"), "m3 gives no answer"), (GatewayError("permission denied", 403), "permission denied")],
)
def test_one_bad_look_begins_again(error, told):
    known = clients(m3=Client(OWN))
    handover = Handover(known, "db1", after=60)
    look(handover)
    well_for(handover, 600)
    known["m3"].answer = error
    assert told in (look(handover) or "")
    known["m3"].answer = ALL["m3"]
    assert look(handover) is None
    assert known["m1"].moved == []
    assert {client.closed for client in known.values()} == {1}


def test_a_look_is_not_repeated_at_once():
    handover = Handover(clients(), "db1", after=60)
    look(handover)
    thread = handover._thread
    handover.offer(1, quiet=True)
    assert handover._thread is thread


def test_without_clients_nothing_is_done():
    handover = Handover({}, "db1", after=60)
    handover.offer(1, quiet=True)
    assert handover._thread is None


def test_a_gateway_leaves_out_what_is_nothing():
    answer = {"header": {"member_id": "7"}, "leader": "7", "raftTerm": "3", "raftIndex": "1000"}
    assert parse_status(answer) == Status(7, 7, 3, 1000, votes=True, sound=True)
    fault = {"header": {"member_id": "7"}, "isLearner": True, "errors": ["memberID:7 alarm:NOSPACE"]}
    assert parse_status(fault) == Status(7, 0, 0, 0, votes=False, sound=False)


URLS = ["https://192.0.2.11:2379", "https://192.0.2.12:2379"]


@pytest.mark.parametrize(("moves", "asked"), [(True, URLS), ("false", [])])
def test_the_rendered_configuration(moves, asked):
    given = {
        "lease_watcher_scope": "lab",
        "lease_watcher_seconds": 8,
        "lease_watcher_password": "known",
        "lease_watcher_member": "db1",
        "lease_watcher_etcd_endpoints": URLS,
        "lease_watcher_moves_etcd_leader": moves,
    }
    watcher = build(json.loads(render("lease_watcher", "config.json.j2", given)))
    assert list(watcher.handover._clients) == asked
    assert (watcher.handover.member, watcher.handover.after) == ("db1", 60.0)
