# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes are removed, and which are chosen by name."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from lab import nodes as sut
from lab import packages, volumes
from lab.engine import LabError

DB1 = sut.Node("db1", IPv4Address("198.51.100.11"))
DB4 = sut.Node("db4", IPv4Address("198.51.100.14"))


class FakeEngine:
    """An engine with containers, by name, each in a network."""

    def __init__(self, networks: dict[str, str]) -> None:
        self.networks = networks
        self.run_with: list[tuple[str, ...]] = []

    def inspect(self, kind: str, name: str) -> dict[str, Any] | None:
        return {"Name": name} if kind == "network" and name in self.networks.values() else None

    def containers(self, *, running_only: bool = False, label: str = "", network: str = "") -> list[str]:
        return [name for name, its in self.networks.items() if network in ("", its)]

    def run(self, *arguments: str) -> str:
        self.run_with.append(arguments)
        return ""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    monkeypatch.setattr(volumes, "remove", lambda name: None)
    monkeypatch.setattr(packages, "leave", lambda engine, network: None)
    monkeypatch.setattr(sut, "_forget_host_keys", lambda nodes: None)
    lab = dict.fromkeys((DB1.container, DB4.container, "holdfast-packages", "holdfast-power"), "holdfast-198.51.100.0")
    return FakeEngine({**lab, "holdfast-other": "holdfast-198.18.10.0"})


def test_all_in_the_network_go_with_the_last_nodes(engine: FakeEngine):
    sut.down(engine, [DB1])  # type: ignore[arg-type]
    assert engine.run_with == [
        ("rm", "--force", "--volumes", "holdfast-db1", "holdfast-db4", "holdfast-power"),
        ("network", "rm", "holdfast-198.51.100.0"),
    ]


def test_a_single_node_goes_alone(engine: FakeEngine):
    sut.remove(engine, [DB4])  # type: ignore[arg-type]
    assert engine.run_with == [("rm", "--force", "--volumes", "holdfast-db4")]


def test_the_helpers_are_no_nodes(engine: FakeEngine):
    network = sut.network_of([DB1])
    assert sut.running_nodes(engine, network) == ["holdfast-db1", "holdfast-db4"]  # type: ignore[arg-type]


def test_nodes_are_chosen_by_name():
    assert sut.chosen([DB1, DB4], []) == [DB1, DB4]
    assert sut.chosen([DB1, DB4], ["db4"]) == [DB4]
    with pytest.raises(LabError, match="has no host db5; it has db1, db4"):
        sut.chosen([DB1, DB4], ["db4", "db5"])
