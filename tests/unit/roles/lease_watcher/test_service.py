# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop with a store and a clock of the test's own."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import pytest
from lease_watcher.core import Leadership, Member, Reading, Round, Rules, Settings, Sight, TimeToLive, unrenewed
from lease_watcher.fencing import Fencing
from lease_watcher.gateway import GatewayError
from lease_watcher.presence import Presence
from lease_watcher.service import Watcher

DB1 = Leadership("db1", lease=7, created=100)
READING = Reading(3, 1, 500, DB1, Settings(1, 3, synchronous=True))
MEMBERS = ("db1", "db2")
RULES = Rules(seconds=4, stall=1.5, interval=0.5)


@dataclass
class Store:
    """etcd with one lease that nobody renews, and a clock that its calls let pass."""

    now: float = 0.0
    renewed: float = 0.0
    takes: dict[str, float] = field(default_factory=dict)
    fails: set[str] = field(default_factory=set)
    revoked: list[int] = field(default_factory=list)
    closed: int = 0

    def clock(self) -> float:
        return self.now

    def _call(self, name: str) -> None:
        self.now += self.takes.get(name, 0.001)
        if name in self.fails:
            raise GatewayError("no answer")

    def read(self) -> Reading:
        self._call("read")
        return READING

    def time_to_live(self, lease: int) -> TimeToLive:
        self._call("time_to_live")
        return TimeToLive(20, int(self.renewed + 20 - self.now))

    def member(self, name: str) -> Member | None:
        self._call("member")
        return None

    def set_aside(self, leadership: Leadership, member: Member) -> bool:
        raise AssertionError("nobody was asked")

    def revoke(self, lease: int) -> bool:
        self._call("revoke")
        self.revoked.append(lease)
        return True

    def close(self) -> None:
        self.closed += 1


def watcher_of(store: Store, rules: Rules = RULES, command: tuple[str, ...] = ()) -> Watcher:
    said: list[str] = []
    watcher = Watcher(store, rules, Fencing(command, 5, MEMBERS), Presence("", 1), tell=said.append, clock=store.clock)
    watcher.said = said
    return watcher


def go(watcher: Watcher, store: Store, seconds: float) -> None:
    until = store.now + seconds
    while store.now < until and not store.revoked:
        delay = watcher.step()
        store.now += delay


def test_a_silent_lease_is_revoked_in_time():
    store = Store()
    watcher = watcher_of(store)
    go(watcher, store, 10)
    assert store.revoked == [7]
    assert 4 <= store.now < 4.3
    assert any(line.startswith("revoked: lease 7 of db1, not renewed for 4.0 s") for line in watcher.said)


def test_a_watcher_that_was_frozen_forgets():
    store = Store()
    watcher = watcher_of(store)
    go(watcher, store, 3)
    store.now += 60
    thawed = store.now
    go(watcher, store, 10)
    assert store.now - thawed >= 4


def test_a_freeze_between_the_decision_and_the_deed_undoes_the_decision():
    store = Store()
    watcher = watcher_of(store)

    def frozen(sight: Sight, seen: Round) -> None:
        store.now += 30 if unrenewed(sight, seen) >= RULES.seconds else 0

    watcher._report = frozen
    go(watcher, store, 5)
    assert store.revoked == []
    assert any("held up for 30" in line for line in watcher.said)


def test_a_decision_is_as_old_as_the_question_about_the_lease():
    """The leader may renew between the question and the second reading, however fresh that one is."""
    store = Store()
    watcher = watcher_of(store)
    go(watcher, store, 3.5)
    store.takes = {"read": 0.6}
    go(watcher, store, 4)
    assert store.revoked == []
    assert any("held up for 0.6" in line for line in watcher.said)
    store.takes = {}
    slow_until = store.now
    go(watcher, store, 10)
    assert store.revoked == [7]
    assert store.now - slow_until < 1


def test_a_decision_gets_too_old_while_the_leader_is_set_aside():
    store = Store()
    watcher = watcher_of(store)
    watcher.presence.asked = watcher.presence.is_silent = lambda leadership: True
    store.takes = {"member": 0.6}
    go(watcher, store, 6)
    assert store.revoked == []
    assert any("held up for 0.6" in line for line in watcher.said)


@pytest.mark.parametrize("name", ["read", "time_to_live"])
def test_a_call_that_fails_starts_the_counting_anew(name):
    store = Store()
    watcher = watcher_of(store)
    go(watcher, store, 3)
    store.fails.add(name)
    watcher.step()
    store.fails.clear()
    back = store.now
    go(watcher, store, 10)
    assert store.closed == 1
    assert store.now - back >= 4


def test_calls_that_crawl_mean_that_the_leader_may_have_been_held_up_too():
    store = Store(takes={"time_to_live": 2.0})
    go(watcher_of(store), store, 60)
    assert store.revoked == []


def test_a_revocation_that_fails_is_told_and_not_repeated_blindly():
    store = Store(fails={"revoke"})
    watcher = watcher_of(store)
    go(watcher, store, 7)
    assert sum(line.startswith("could not revoke") for line in watcher.said) == 1


@dataclass
class Offers:
    """Notes when etcd's leadership may be moved."""

    store: Store
    member: str = "db1"
    after: float = 60.0
    quiet: list[float] = field(default_factory=list)
    forgotten: int = 0

    def offer(self, own: int, *, quiet: bool) -> None:
        assert own == READING.etcd_member
        self.quiet += [self.store.now] if quiet else []

    def forget(self) -> None:
        self.forgotten += 1

    def poll(self) -> str | None:
        return None


def test_etcds_leadership_may_move_after_a_minute_without_a_change_or_a_gap():
    store = Store()
    watcher = watcher_of(store)
    watcher.handover = Offers(store)

    def renewed_for(seconds: float) -> None:
        until = store.now + seconds
        while store.now < until:
            store.renewed = store.now
            store.now += watcher.step()

    renewed_for(60)
    assert watcher.handover.quiet == []
    renewed_for(2)
    assert watcher.handover.quiet
    watcher.handover.quiet.clear()
    store.now += 5
    renewed_for(59)
    assert watcher.handover.quiet == []


@pytest.mark.parametrize("trouble", ["silence", "etcd"])
def test_what_troubles_the_leader_begins_the_looks_again(trouble):
    store = Store()
    watcher = watcher_of(store)
    watcher.handover = Offers(store)
    watcher.step()
    assert watcher.handover.forgotten == 0
    if trouble == "etcd":
        store.fails.add("read")
        watcher.step()
    else:
        go(watcher, store, 3.5)
    assert watcher.handover.forgotten > 0


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestFencing:
    """The command beside the rounds."""

    @pytest.mark.parametrize(
        ("command", "status", "confirmed"),
        [
            (["test", "{member}", "=", "db1"], 0, DB1),
            (["sh", "-c", 'test "$HOLDFAST_MEMBER" = db1'], 0, DB1),
            (["false"], 1, None),
            (["sleep", "60"], -1, None),
        ],
    )
    def test_only_status_0_confirms(self, command, status, confirmed):
        fencing, ended = Fencing(command, 0.3, MEMBERS), []
        assert fencing.ask(DB1)
        assert not fencing.ask(DB1)
        until(lambda: ended or ended.extend(code for code in [fencing.poll()] if code is not None))
        assert (ended, fencing.confirmed) == ([status], confirmed)

    def test_a_command_that_does_not_exist_confirms_nothing(self):
        fencing = Fencing(["/nowhere/at/all"], 1, MEMBERS)
        assert not fencing.ask(DB1)
        assert fencing.poll() is None
        assert fencing.confirmed is None

    @pytest.mark.parametrize("name", ["--help", "db1; reboot", "", "db9", "DB1", "../db1"])
    def test_the_command_is_asked_about_the_members_only(self, name):
        """Whoever may write the leader key chooses its words."""
        fencing = Fencing(["true"], 5, MEMBERS)
        assert not fencing.ask(replace(DB1, member=name))
        assert fencing.poll() is None

    def test_a_leader_that_is_no_member_is_told_of(self):
        store = Store()
        watcher = watcher_of(store, Rules(60, 1.5, 0.5, fencing_after=2), command=("true",))
        watcher.fencing = Fencing(["true"], 5, ["db9"])
        go(watcher, store, 4)
        assert store.revoked == []
        assert [line for line in watcher.said if "is no known member" in line] == [
            "'db1' is no known member: the fencing command is not asked"
        ]

    def test_a_leader_that_renews_while_the_command_runs_undoes_its_answer(self):
        store = Store()
        watcher = watcher_of(store, Rules(60, 1.5, 0.5, fencing_after=2), command=("sleep", "0.2"))
        go(watcher, store, 3)
        assert any("asking whether it is off" in line for line in watcher.said)
        store.renewed = store.now
        watcher.step()
        assert watcher.fencing._process is None

    def test_an_answer_is_void_once_the_leader_renews(self):
        store = Store()
        watcher = watcher_of(store, Rules(60, 1.5, 0.5, fencing_after=2), command=("false",))
        watcher.fencing.confirmed = DB1
        watcher.step()
        assert watcher.fencing.confirmed is None
