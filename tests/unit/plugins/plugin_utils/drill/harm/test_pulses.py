# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short harms: which commands a node gets, and what proves them."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.harm import UNCUT
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.isolation import CutPair, Isolate, Scope
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.pulses import (
    Disk,
    Flap,
    Pause,
    Pulses,
    Rhythm,
    StallDisk,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.tools import Tools

from tests.unit.plugins.plugin_utils.drill.cluster import EXPECTED, plan

FROZEN = "FreezerState=frozen\n\nFreezerState=frozen\n"
DROPPED = "table inet holdfast_drill { counter packets 0 bytes 0 drop\n counter packets 7 bytes 420 drop }"
VOLUME = "/var/lib/postgresql /dev/loop3 /"


class Node:
    """An agent that answers each pulse with the same, and commands from a table."""

    def __init__(self, shown: str = "", code: int = 0, pulses: int | None = None, **outputs: str) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._shown, self._code, self._pulses, self._outputs = shown, code, pulses, outputs

    def call(self, host: str, operation: str, *_patience: float, **arguments: Any) -> Any:
        self.asked.append((operation, arguments))
        if operation == "pulses":
            on, off, times = arguments["rhythm"]
            number = times if self._pulses is None else self._pulses
            return [[at * (on + off), at * (on + off) + on, self._code, self._shown] for at in range(number)]
        if operation == "run":
            return {"code": 0, "out": self._outputs[arguments["argv"][0]], "err": ""}
        return {"address": "192.0.2.1 40000 192.0.2.14 22", "dropped": {"packets": 3, "present": True}}.get(operation)


def inject(action: Pulses | CutPair, node: Node, *targets: str, **changes: Any) -> tuple[str, Tools]:
    tools = Tools(plan(**changes), EXPECTED, node, Mock(), Mock())  # type: ignore[arg-type]
    return action.inject(tools, targets or ("db1",), Mock()), tools


def test_a_rhythm() -> None:
    assert Rhythm(0.5).seconds == 0.5
    assert Rhythm(1.0, 0.5, 4).seconds == 5.5
    assert str(Rhythm(0.5)) == "0.5 s"
    assert str(Rhythm(1.0, 0.5, 4)) == "4 times 1 s, 0.5 s apart"


def test_a_pause_freezes_the_units_of_the_host() -> None:
    node = Node(FROZEN)
    proof, tools = inject(Pause(Rhythm(1.5)), node)
    assert proof == "db1: systemctl freeze patroni.service etcd.service: 1.50 s"
    ((operation, asked),) = node.asked
    assert operation == "pulses"
    assert asked["undo"] == ["systemctl", "thaw", "patroni.service", "etcd.service"]
    assert (asked["rhythm"], asked["seconds"]) == ([1.5, 0.0, 1], 300)
    assert tools.heal() == []
    assert node.asked[-1] == ("undo", {"name": "pause"})


def test_a_balancer_s_pause_spares_keepalived() -> None:
    """Frozen, it would keep an address that the other one takes."""
    node = Node("FreezerState=frozen")
    assert "freeze haproxy.service: " in inject(Pause(Rhythm(1.0)), node, "lb1")[0]


@pytest.mark.parametrize(
    ("action", "node"),
    [
        (Pause(Rhythm(1.0)), Node("FreezerState=frozen\nFreezerState=running")),
        (Pause(Rhythm(1.0)), Node(FROZEN, code=1)),
        (Pause(Rhythm(1.0, 1.0, 3), ("etcd.service",)), Node("FreezerState=frozen", pulses=2)),
        (Flap(Rhythm(1.0), Isolate(Scope.EVERYBODY)), Node("counter packets 0 bytes 0 drop")),
        (Flap(Rhythm(1.0), Isolate(Scope.EVERYBODY)), Node(DROPPED, code=1)),
    ],
)
def test_what_had_no_effect_is_not_proven(action, node) -> None:
    with pytest.raises(NotProvenError, match="no effect"):
        inject(action, node)


def test_links_flap_by_the_rules_of_an_isolation() -> None:
    node = Node(DROPPED)
    proof, _tools = inject(Flap(Rhythm(0.5, 0.2, 3), Isolate(Scope.ETCD)), node)
    assert proof == "db1: nft -f -: 0.50, 0.50, 0.50 s"
    asked = node.asked[-1][1]
    assert "tcp dport { 2379, 2380 } counter drop" in asked["text"]
    assert "192.0.2.1 tcp dport 22 accept" in asked["text"]
    assert asked["undo"] == list(UNCUT)


@pytest.mark.parametrize("one_way", [False, True])
def test_a_pair_loses_only_each_other(one_way) -> None:
    node = Node()
    inject(CutPair(one_way), node, "db1", "db3")
    rules = next(asked["rules"] for operation, asked in node.asked if operation == "isolate")
    assert "ip daddr { 192.0.2.13 } counter drop" in rules
    assert ("ip saddr { 192.0.2.13 } counter drop" in rules) is not one_way
    assert "192.0.2.12" not in rules


def disk(where: str = VOLUME, devices: str = "70 1 2 3 1 1 1 1", code: int = 1) -> Node:
    return Node("", code, findmnt=f"{where}\n", stat=f"{devices}\n")


def test_a_stalled_disk_is_frozen_as_a_volume() -> None:
    node = disk()
    proof, _tools = inject(StallDisk(Rhythm(2.0), Disk.WAL), node, provider="containers")
    assert proof == "db1: fsfreeze --freeze /var/lib/postgresql: 2.00 s"
    assert node.asked[-1][1]["undo"] == ["fsfreeze", "--unfreeze", "/var/lib/postgresql"]


def test_a_volume_that_could_be_frozen_again_was_not() -> None:
    with pytest.raises(NotProvenError, match="no effect"):
        inject(StallDisk(Rhythm(2.0), Disk.WAL), disk(code=0))


@pytest.mark.parametrize(
    ("node", "provider", "hindered"),
    [
        (disk(), "containers", False),
        (disk("/var/lib/postgresql /dev/sdb1 /"), "hosts", False),
        (disk("/var/lib/postgresql /dev/sdb1 /"), "containers", True),  # others may share it
        (disk("/ overlay /", "1 1 2 3 1 1 1 1"), "containers", True),
        (disk("/var/lib/postgresql /dev/sda1[/volumes/pg] /volumes/pg"), "containers", True),
        (disk("/var/lib /dev/sdb1 /", "70 1 2 3 1 1 1 70"), "hosts", True),  # it holds systemd's data, too
        (disk("/srv/wal /dev/sdb1 /"), "hosts", True),  # a link leads there
    ],
)
def test_only_a_volume_of_its_own_is_frozen(node, provider, hindered) -> None:
    tools = Tools(plan(provider=provider), EXPECTED, node, Mock(), Mock())  # type: ignore[arg-type]
    found = StallDisk(Rhythm(1.0), Disk.WAL).hindrance(tools)
    assert found == ("the WAL has no volume of its own on db1, db2, db3" if hindered else "")


def test_a_pulse_is_over_by_itself() -> None:
    assert not Pause(Rhythm(1.0)).lasts(Mock())
