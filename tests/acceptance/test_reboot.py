# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarted nodes come back by themselves, one by one and all at once, virtual IP included."""

from __future__ import annotations

import subprocess

import pytest
from lab_cluster import ENGINE, NODES, assert_converged, assert_healthy, sql

CLUSTER = tuple(node for node in NODES if node != "client1")


def restart(*nodes: str) -> None:
    """Reboot the nodes side by side; the engine's own command would take one after the other."""
    reboots = [subprocess.Popen([ENGINE, "restart", "--time=60", f"holdfast-{node}"]) for node in nodes]
    assert [reboot.wait() for reboot in reboots] == [0] * len(nodes)


@pytest.mark.parametrize("node", CLUSTER)
def test_one_node(node: str) -> None:
    restart(node)
    assert_healthy()


def test_all_nodes_at_once() -> None:
    sql("DROP TABLE IF EXISTS rebooted; CREATE TABLE rebooted AS SELECT 42 AS answer")
    restart(*NODES)
    assert_healthy(180)
    assert sql("SELECT answer FROM rebooted") == "42"
    assert_converged()
