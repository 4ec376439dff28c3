# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.clock import Offset
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.judge import State
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.lease import Look
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.witness import Witness

VIP = "192.0.2.100"
HERE = Offset(0.0, 0.0)
BEFORE = State("db1", 4, (f"{VIP} on lb1",), "a1", 7)
OBSERVERS = ("etcd", "PostgreSQL on db1", "addresses of lb1")


@pytest.fixture
def witness(monkeypatch) -> Witness:
    """A witness that watches since its second 100, at which its clock stands still."""
    made = Witness({"192.0.2.11": "db1"}, (VIP,))
    made.reset(HERE)
    monkeypatch.setattr(made, "now", lambda: 100.0)
    made.watch(BEFORE, OBSERVERS)
    return made


def member(at: float, *, recovering: bool | None = False, claims: bool | None = True, timeline: int = 4) -> list[Any]:
    return [at, recovering, claims, False, timeline]


@pytest.mark.parametrize(
    ("host", "stream", "row", "text"),
    [
        ("db1", "members", member(101.0), ""),
        ("db1", "members", member(101.0, recovering=None, claims=None), ""),
        ("db1", "members", member(101.0, claims=None), ""),
        ("db2", "members", member(101.0, recovering=True, claims=False), ""),
        ("db1", "members", member(101.0, recovering=True), "db1 is a standby"),
        ("db1", "members", member(101.0, timeline=5), "db1 is on timeline 5"),
        ("db1", "members", member(101.0, claims=False), "Patroni on db1 does not answer /primary with 200"),
        ("db2", "members", member(101.0), "db2 is no longer a standby"),
        ("lb1", "balancers", [101.0, [VIP], None], ""),
        ("lb2", "balancers", [101.0, [], None], ""),
        ("lb1", "balancers", [101.0, [], None], f"{VIP} left lb1"),
        ("lb2", "balancers", [101.0, [VIP], None], f"{VIP} came to lb2"),
        ("backup1", "alerts", [101.0, None], ""),
        ("backup1", "alerts", [101.0, [["DiskFillsSoon", "ticket", "db1", False]]], ""),
        ("backup1", "alerts", [101.0, [["HostDown", "page", "db1", True]]], ""),
        ("backup1", "alerts", [101.0, [["HostDown", "page", "db1", False]]], "the alert HostDown on db1 fires"),
    ],
)
def test_what_changes_is_kept_once(witness, host, stream, row, text) -> None:
    witness.take(host, stream, [row, [row[0] + 1, *row[1:]]], HERE)
    assert [(change.at, change.text) for change in witness.changes] == ([(1.0, text)] if text else [])


@pytest.mark.parametrize(
    ("look", "silence", "texts"),
    [
        (Look("db1", "a1", 8, 20, 19), 0, []),
        (Look("db1", "a1", 8, 20, 14), 5, []),
        (Look("db2", "b1", 8, 20, 19), 0, ["the leader key names db2", "the leader key has the lease b1"]),
        (Look("", "", 8), 0, ["the leader key names no member", "the leader key has the lease none"]),
    ],
)
def test_the_lease(witness, look, silence, texts) -> None:
    witness.look(100.5, look)
    assert (witness.lease_silence, witness.lease_looks) == (silence, 1)
    assert [change.text for change in witness.changes] == texts


def test_only_the_keys_of_acknowledged_rows_are_kept(witness) -> None:
    outcomes = ("acknowledged", "unknown", "refused", "warned", "acknowledged")
    rows = [["w1", at, 100.0, 100.1, outcome, "192.0.2.11", ""] for at, outcome in enumerate(outcomes, 1)]
    witness.take("client1", "writes", rows, HERE)
    assert witness.acknowledged == {("w1", 1), ("w1", 5)}
    assert witness.size() == 0


def test_the_longest_gap_of_each_observer_until_now(witness, monkeypatch) -> None:
    witness.look(103.0, Look("db1", "a1", 8, 20, 19))
    witness.look(104.0, Look("db1", "a1", 8, 20, 19))
    witness.take("db1", "members", [member(101.0), member(102.0, recovering=None, claims=None)], HERE)
    monkeypatch.setattr(witness, "now", lambda: 106.0)
    assert witness.blind() == {"etcd": 3.0, "PostgreSQL on db1": 5.0, "addresses of lb1": 6.0}


def test_alertmanager_is_an_observer_where_it_answers(witness, monkeypatch) -> None:
    witness.watch(BEFORE, ("Alertmanager on backup1",))
    witness.take("backup1", "alerts", [[101.0, []], [104.0, None]], HERE)
    monkeypatch.setattr(witness, "now", lambda: 107.0)
    assert witness.blind() == {"Alertmanager on backup1": 6.0}


def test_nothing_is_compared_before_it_watches() -> None:
    made = Witness({}, (VIP,))
    made.reset(HERE)
    made.take("db2", "members", [member(1.0)], HERE)
    made.take("lb2", "balancers", [[1.0, [VIP], None]], HERE)
    assert made.changes == ()
