# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The crew looks for its nodes, and only for those that are meant to be on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes import crew as module
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.clock import Offset
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.crew import Crew
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.session import SessionLostError

from tests.unit.plugins.plugin_utils.drill.cluster import plan
from tests.unit.plugins.plugin_utils.drill.polling import within

BOOTING = "db1"


class Nodes:
    """Who answers, and how often each was asked for a session."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.asked: list[str] = []

    def connect(self, node, _configuration, _stream) -> FakeSession:
        self.asked.append(node.name)
        if node.name in self.down:
            raise SessionLostError(f"{node.name}: refused")
        return FakeSession()


class FakeSession:
    """A session that stands until it is closed."""

    def __init__(self) -> None:
        self.alive = True
        self.offset = Offset(0.0, 0.001)

    def call(self, _operation: str, _patience: float = 1.0, **_arguments: object) -> None:
        """Answer nothing."""

    def measure_clock(self) -> None:
        """Find the clock where it was."""

    def close(self) -> None:
        self.alive = False


@pytest.fixture
def nodes(monkeypatch) -> Nodes:
    made = Nodes()
    monkeypatch.setattr(module, "Session", made.connect)
    monkeypatch.setattr(module, "KEEP_SECONDS", 60.0)
    monkeypatch.setattr(module, "configuration", lambda _plan, _node: {})
    return made


@pytest.fixture
def crew(nodes) -> Iterator[Crew]:
    made = Crew(plan(), lambda *_rows: None, lambda _text: None)
    made.begin()
    yield made
    made.end()


def lose_power(crew: Crew, nodes: Nodes) -> None:
    nodes.down.add(BOOTING)
    crew.expect_off([BOOTING])
    crew.hang_up([BOOTING])


def test_a_node_that_is_meant_to_be_off_is_not_looked_for(crew, nodes) -> None:
    lose_power(crew, nodes)
    nodes.asked.clear()
    assert not within(0.2, lambda: bool(nodes.asked))
    assert not crew.on(BOOTING)


def test_a_node_that_comes_back_is_looked_for_at_once(crew, nodes) -> None:
    lose_power(crew, nodes)
    nodes.asked.clear()
    crew.expect_on([BOOTING])
    assert within(10, lambda: bool(nodes.asked))
    nodes.down.clear()
    assert within(10, lambda: crew.on(BOOTING))
    assert set(nodes.asked) == {BOOTING}


def test_the_end_wakes_everybody(crew) -> None:
    crew.end()
    for keeper in crew._keepers:
        keeper.join(10)
    assert not any(keeper.is_alive() for keeper in crew._keepers)
