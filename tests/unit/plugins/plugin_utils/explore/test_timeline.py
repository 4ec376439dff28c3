# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a schedule at their times, with harms that only note what was done to whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import view
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.action import Action
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.tools import Tools
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.recorder import Recorder
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import GateError, Patience, StoppedError
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore import timeline as sut
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.kinds import KINDS
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.timeline import Stage, Timeline, cast

from tests.unit.plugins.plugin_utils.drill.cluster import DATABASES, EXPECTED, plan, probes
from tests.unit.plugins.plugin_utils.explore.roles import schedule

SEEN = view(EXPECTED, probes())


class Note(Action):
    """Notes the harm and its end."""

    on_hosts = in_containers = "noted"

    def __init__(self, done: list[tuple[str, str]], slow: float = 0.0, dark: bool = False) -> None:
        self.done, self.slow, self.dark = done, slow, dark

    def inject(self, tools: Tools, targets: Sequence[str], view: Any) -> str:
        tools.undo_later("note", lambda: self._heal(targets))
        self.done.append(("hit", " ".join(targets)))
        return f"{targets[0]} hit"

    def _heal(self, targets: Sequence[str]) -> None:
        time.sleep(self.slow)
        self.done.append(("healed", targets[0]))

    def darkens(self, tools: Tools) -> bool:
        return self.dark


class Refused(Note):
    def inject(self, tools: Tools, targets: Sequence[str], view: Any) -> str:
        super().inject(tools, targets, view)
        raise NotProvenError("no effect")


class Stuck(Note):
    def _heal(self, targets: Sequence[str]) -> None:
        raise OSError("busy")


class Made:
    """A stage whose primary is db1 until it changes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.primary = "db1"
        self.done: list[tuple[str, str]] = []
        self.stop = threading.Event()
        recorder = Recorder({})
        monkeypatch.setattr(recorder, "claimed", lambda host: recorder.now() if host == self.primary else None)
        crew = Mock(on=lambda _host: True, call_all=lambda hosts, *_more: {host: probes()[host] for host in hosts})
        self.stage = Stage(plan(), EXPECTED, crew, recorder, Patience(recorder, self.stop, lambda _text: None))
        self._patch = monkeypatch

    def kind(self, name: str, action: Action | None = None, least: float = 0.1, **changes: Any) -> None:
        made = action or Note(self.done)
        changed = replace(KINDS[name], action=lambda _step: made, spans=((least, 1.0),), **changes)
        self._patch.setitem(sut.KINDS, name, changed)  # type: ignore[arg-type]

    def run(self, *steps: tuple[Any, ...]) -> Timeline:
        tools = Tools(self.stage.plan, EXPECTED, Mock(), Mock(), self.stage.recorder.now)
        self.timeline = Timeline(schedule(*steps), self.stage, settle=0.0)
        self.proof = self.timeline.inject(tools, DATABASES, SEEN)
        return self.timeline


@pytest.fixture
def made(monkeypatch) -> Made:
    monkeypatch.setattr(sut, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(sut, "WAIT_SECONDS", 0.5)
    monkeypatch.setattr("ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience.POLL_SECONDS", 0.01)
    found = Made(monkeypatch)
    for name in ("isolate", "pause", "kill_patroni", "cut_pair"):
        found.kind(name)
    return found


def test_who_plays_which_role() -> None:
    roles = cast(replace(SEEN, leader="db2", vip_holder="lb2"), EXPECTED)
    assert roles == {
        "primary": "db2",
        "standby-1": "db1",
        "standby-2": "db3",
        "balancer-1": "lb2",
        "balancer-2": "lb1",
        "backup-1": "backup1",
    }
    apart = replace(EXPECTED, etcd=("e1", "e2", "e3"))
    assert cast(SEEN, apart)["etcd-3"] == "e3"


def test_each_step_has_its_time_its_hosts_and_its_proof(made: Made) -> None:
    timeline = made.run(
        ("isolate", "primary", 0, 0.3), ("pause", "balancer-2", 0.1, 0.1), ("isolate", "standby-1", 0.5, 0.2)
    )
    assert made.done == [
        ("hit", "db1"), ("hit", "lb2"), ("healed", "lb2"), ("healed", "db1"), ("hit", "db2"), ("healed", "db2"),
    ]  # fmt: skip
    assert [hit.hosts for hit in timeline.hits] == [("db1",), ("lb2",), ("db2",)]
    begins = [hit.begun - (timeline.injected or 0.0) for hit in timeline.hits]
    assert begins == pytest.approx([0.0, 0.1, 0.5], abs=0.08)
    assert [hit.ended - hit.begun for hit in timeline.hits] == pytest.approx([0.3, 0.1, 0.2], abs=0.08)
    assert made.proof == "db1 hit; lb2 hit; db2 hit"


def test_a_pair_has_two_hosts(made: Made) -> None:
    (hit,) = made.run(("cut_pair", "standby-1", 0, 0.1, "primary")).hits
    assert hit.hosts == ("db2", "db1")
    assert made.done[0] == ("hit", "db2 db1")


def test_the_present_leader_is_hit(made: Made) -> None:
    threading.Timer(0.15, lambda: setattr(made, "primary", "db3")).start()
    timeline = made.run(("isolate", "leader", 0, 0.1), ("isolate", "leader", 0.3, 0.1))
    assert [hit.hosts for hit in timeline.hits] == [("db1",), ("db3",)]


def test_the_leader_of_etcd_is_hit(made: Made) -> None:
    (hit,) = made.run(("isolate", "etcd-leader", 0, 0.1)).hits
    assert hit.hosts == ("db2",)


def test_a_step_waits_for_an_earlier_one_that_ends_late(made: Made) -> None:
    """Both at once would leave no majority, which the schedule does not mean."""
    made.kind("isolate", Note(made.done, slow=0.3))
    made.run(("isolate", "primary", 0, 0.1), ("pause", "standby-1", 0.15, 0.1))
    assert made.done == [("hit", "db1"), ("healed", "db1"), ("hit", "db2"), ("healed", "db2")]


def test_a_host_that_boots_does_not_serve_yet(made: Made) -> None:
    made.kind("kill_patroni", returns=0.4)
    timeline = made.run(("kill_patroni", "primary", 0, 0), ("pause", "standby-1", 0.1, 0.1))
    assert timeline.hits[1].begun - timeline.hits[0].ended >= 0.4


def test_a_step_that_never_may_begin_is_not_proven(made: Made) -> None:
    made.primary = ""
    with pytest.raises(NotProvenError, match=r"isolate on leader for 0.1 s: no host that may be hit in 0.5 s"):
        made.run(("isolate", "leader", 0, 0.1))


def test_a_harm_without_effect_ends_the_others(made: Made) -> None:
    made.kind("pause", Refused(made.done))
    begun = time.monotonic()
    with pytest.raises(NotProvenError, match="no effect"):
        made.run(("isolate", "primary", 0, 5.0), ("pause", "balancer-1", 0.1, 0.1))
    assert time.monotonic() - begun < 2.0
    assert sorted(made.done[-2:]) == [("healed", "db1"), ("healed", "lb1")]


def test_a_stop_heals_all(made: Made) -> None:
    threading.Timer(0.2, made.stop.set).start()
    with pytest.raises(StoppedError):
        made.run(("isolate", "primary", 0, 5.0), ("isolate", "balancer-1", 0, 5.0))
    assert sorted(made.done[-2:]) == [("healed", "db1"), ("healed", "lb1")]


def test_what_is_not_healed_is_said_and_tried_again(made: Made) -> None:
    made.kind("isolate", Stuck(made.done))
    with pytest.raises(NotProvenError, match=r"isolate on primary for 0.1 s: not healed at its end: note: busy"):
        made.run(("isolate", "primary", 0, 0.1))
    with pytest.raises(GateError, match="note: busy"):
        made.timeline.heal()


def test_a_dark_host_is_not_observed_for_as_long_as_its_silence(made: Made, monkeypatch) -> None:
    made.kind("isolate", Note(made.done, dark=True))
    now = made.stage.recorder.now()
    monkeypatch.setattr(made.stage.recorder, "seen", lambda _host: [now + 0.05, now + 0.3])
    (hit,) = made.run(("isolate", "primary", 0, 0.4)).hits
    assert hit.dark == pytest.approx((now + 0.05, now + 0.3), abs=0.01)
