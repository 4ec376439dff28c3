# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarted nodes come back by themselves, one by one and all at once, virtual IP included."""

from __future__ import annotations

import json
import subprocess

import pytest
from lab_cluster import ENGINE, NODES, assert_converged, assert_healthy, attempt, sql, wait_until

CLUSTER = tuple(node for node in NODES if node != "client1")


def restart(*nodes: str) -> None:
    """Reboot the nodes side by side; the engine's own command would take one after the other."""
    reboots = [subprocess.Popen([ENGINE, "restart", "--time=60", f"holdfast-{node}"]) for node in nodes]
    assert [reboot.wait() for reboot in reboots] == [0] * len(nodes)


@pytest.mark.parametrize("node", CLUSTER)
def test_one_node(node: str) -> None:
    restart(node)
    assert_healthy()


def boot(node: str) -> str:
    """The id of a node's boot; empty while it is off."""
    return attempt(node, "cat", "/proc/sys/kernel/random/boot_id").stdout.strip()


def test_from_inside() -> None:
    before = boot("db2")
    attempt("db2", "systemctl", "reboot")
    wait_until(lambda: boot("db2") not in ("", before), seconds=60, what="another boot of db2")
    assert_healthy()


@pytest.mark.parametrize("order", [("exec", "holdfast-lb2", "systemctl", "poweroff"), ("kill", "holdfast-lb2")])
def test_a_node_without_power_stays_off(order: tuple[str, ...]) -> None:
    def state() -> str:
        """Running, restarting or exited; the engine decides when the first process ends."""
        asked = subprocess.run([ENGINE, "inspect", "holdfast-lb2"], capture_output=True, text=True, check=True)
        return json.loads(asked.stdout)[0]["State"]["Status"]

    subprocess.run([ENGINE, *order], check=False)
    wait_until(lambda: state() != "running", seconds=60, what="the end of lb2")
    assert state() == "exited"
    subprocess.run([ENGINE, "start", "holdfast-lb2"], check=True)
    assert_healthy()


def test_all_nodes_at_once() -> None:
    sql("DROP TABLE IF EXISTS rebooted; CREATE TABLE rebooted AS SELECT 42 AS answer")
    restart(*NODES)
    assert_healthy(180)
    assert sql("SELECT answer FROM rebooted") == "42"
    assert_converged()
