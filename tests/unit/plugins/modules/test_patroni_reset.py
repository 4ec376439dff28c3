# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import patroni_api
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_api import ClusterError
from ansible_collections.holdfast.ha.plugins.modules.patroni_reset import name_member, reset, take_leave


class FakeStore:
    """Keys; the lease of ``dying`` members runs out after a look or two."""

    def __init__(self, keys: set[str], dying: set[str] | None = None) -> None:
        self.keys = keys
        self.dying = {f"members/{name}" for name in dying or ()}
        self.looks = 0
        self.named: str | None = None
        self.leads = "db1"

    def leader(self) -> str:
        return self.leads

    def permit(self, member: str, seconds: int) -> bool:
        assert seconds > 60
        if "initialize" in self.keys:
            return False
        self.named = member
        return True

    def names(self) -> tuple[str, ...]:
        self.looks += 1
        if self.looks > 2:
            self.keys -= self.dying
        return tuple(sorted(self.keys))

    def forget(self, names: Sequence[str], *, guarded: bool = True) -> bool:
        if guarded and any(key.startswith("members/") for key in self.keys):
            return False
        self.keys -= set(names)
        return True


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patroni_api, "POLL_INTERVAL", 0.0)


KEYS = {"config", "history", "initialize", "leader", "status", "sync"}
GONE = ("history", "initialize", "leader", "status", "sync")


@pytest.mark.parametrize(
    ("members", "dying", "stopped"),
    [(set(), set(), ()), ({"db1", "db2"}, set(), ("db1", "db2")), ({"db1", "db2"}, {"db2"}, ("db1",))],
    ids=["nobody is alive", "all were stopped", "a lease runs out"],
)
def test_everything_but_the_configuration_is_forgotten(
    members: set[str], dying: set[str], stopped: tuple[str, ...]
) -> None:
    store = FakeStore(KEYS | {f"members/{name}" for name in members}, dying)
    assert reset(cast(Any, store), stopped, 5, dry_run=False) == GONE
    assert store.keys == {"config"}


def test_a_member_that_lives_keeps_its_database() -> None:
    store = FakeStore(KEYS | {"members/db1", "members/db3"})
    with pytest.raises(ClusterError, match="still alive on db3"):
        reset(cast(Any, store), ("db1",), 0.01, dry_run=False)
    assert store.keys >= KEYS


def test_nothing_to_forget_asks_nobody_to_stop() -> None:
    assert reset(cast(Any, FakeStore({"config", "members/db1"})), (), 0, dry_run=False) == ()


def test_check_mode_deletes_nothing() -> None:
    store = FakeStore(KEYS | {"members/db1"})
    assert reset(cast(Any, store), (), 0, dry_run=True) == GONE
    assert store.keys >= KEYS


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(("keys", "may"), [({"config"}, True), (KEYS, False)], ids=["forgotten", "known"])
def test_a_member_is_named_where_no_cluster_is_known(keys: set[str], may: bool, dry_run: bool) -> None:
    store = FakeStore(set(keys))
    assert name_member(cast(Any, store), "db2", dry_run) is may
    assert store.named == ("db2" if may and not dry_run else None)


MEMBERS = {"members/db1", "members/db3"}


@pytest.mark.parametrize(
    ("dying", "stopped"), [(set(), ("db3",)), ({"db3"}, ())], ids=["it was stopped", "its lease runs out"]
)
def test_the_key_of_a_member_that_left_goes(dying: set[str], stopped: tuple[str, ...]) -> None:
    store = FakeStore(KEYS | MEMBERS, dying)
    assert take_leave(cast(Any, store), "db3", stopped, 5, dry_run=False) == ("members/db3",)
    assert store.keys == KEYS | {"members/db1"}


def test_a_member_that_lives_keeps_its_key() -> None:
    store = FakeStore(KEYS | MEMBERS)
    with pytest.raises(ClusterError, match="still alive on db3"):
        take_leave(cast(Any, store), "db3", (), 0.01, dry_run=False)
    assert store.keys == KEYS | MEMBERS


def test_a_leader_keeps_its_key() -> None:
    store = FakeStore(KEYS | MEMBERS)
    with pytest.raises(ClusterError, match="switch over first"):
        take_leave(cast(Any, store), "db1", ("db1",), 5, dry_run=False)


def test_a_member_that_is_gone_is_no_change() -> None:
    assert take_leave(cast(Any, FakeStore(KEYS)), "db3", (), 0, dry_run=False) == ()


def test_check_mode_keeps_the_key() -> None:
    store = FakeStore(KEYS | MEMBERS)
    assert take_leave(cast(Any, store), "db3", ("db3",), 0, dry_run=True) == ("members/db3",)
    assert store.keys == KEYS | MEMBERS
