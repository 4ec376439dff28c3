# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""With one host off site.yml does all else, and says what it left. Needs the lab, ten minutes."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from lab_cluster import (
    DATABASES,
    ENGINE,
    INVENTORY,
    SITE,
    VIP,
    Run,
    assert_converged,
    attempt,
    converge,
    leader,
    on_node,
    run_playbook,
    sql,
    wait_until,
)

SECONDS = 60
CHANGED = {"shared_buffers": "128MB", "log_min_duration_statement": "12345ms"}  # the first is the lab's own


def power(word: str, *nodes: str) -> None:
    subprocess.run([ENGINE, word, *(f"holdfast-{node}" for node in nodes)], check=True, capture_output=True)


@pytest.fixture
def off() -> Iterator[list[str]]:
    """Nodes that are off until the test is over."""
    nodes: list[str] = []
    yield nodes
    power("start", *nodes)
    for node in nodes:
        on_node(node, "systemctl", "is-system-running", "--wait", check=False)
    converge()
    assert_converged()


@pytest.fixture
def wished() -> Iterator[Path]:
    """The lab's inventory with one more database, and another value of a parameter."""
    inventory = INVENTORY.with_name("degraded")
    shutil.copytree(INVENTORY, inventory)
    path = inventory / "topology.ha.yml"
    topology = yaml.safe_load(path.read_text())
    (cluster,) = topology["clusters"].values()
    cluster["databases"] = [*cluster["databases"], {"name": "late", "owner": cluster["databases"][0]["owner"]}]
    path.write_text(yaml.safe_dump(topology))
    yield inventory
    shutil.rmtree(inventory)
    drop = "DROP DATABASE IF EXISTS late WITH (FORCE)"
    on_node(leader(), "runuser", "-u", "postgres", "--", "psql", "-c", drop)


def writes() -> bool:
    statement = "CREATE TABLE IF NOT EXISTS degraded (); SELECT 1"
    asked = ["psql", "-XAtq", "-h", VIP, "-p", "5000", "-U", "app", "-d", "app", "-c", statement]
    return attempt("client1", *asked).returncode == 0


def site(inventory: Path, *arguments: str) -> tuple[Run, float]:
    begun = time.monotonic()
    run = run_playbook(SITE, *arguments, inventory=inventory)
    return run, time.monotonic() - begun


@pytest.mark.parametrize("gone", ["db3", "db1"])
def test_a_database_host_is_off(off: list[str], wished: Path, gone: str) -> None:
    there = [name for name in DATABASES if name != gone]
    off.append(gone)
    power("kill", gone)
    wait_until(writes, seconds=60, what="the others take writes")
    on_node("lb1", "systemctl", "stop", "haproxy")
    hba = on_node(there[0], "runuser", "-u", "postgres", "--", "psql", "-XAtc", "SHOW hba_file").strip()
    on_node(there[0], "sh", "-c", f"echo 'host all all 203.0.113.0/24 trust' >>{hba}")
    run, seconds = site(wished, "-e", json.dumps({"patroni_parameters": CHANGED}))
    print(f"site.yml with {gone} off: {seconds:.0f} s")
    assert run.code != 0
    assert f"All but {gone}: down. Start what is down, and run this again." in run.output
    assert on_node("lb1", "systemctl", "is-active", "haproxy").strip() == "active"
    assert "203.0.113.0" not in on_node(there[0], "cat", hba)
    assert sql("SELECT current_setting('log_min_duration_statement')") == "12345ms"
    assert sql("SELECT count(*) FROM pg_database WHERE datname = 'late'") == "1"
    assert seconds < SECONDS


@pytest.mark.parametrize("gone", ["lb2", "backup1"])
def test_a_balancer_or_the_backup_host_is_off(off: list[str], gone: str) -> None:
    off.append(gone)
    power("kill", gone)
    on_node("lb1", "systemctl", "stop", "haproxy")
    run, seconds = site(INVENTORY)
    assert run.code != 0
    assert f"All but {gone}: down." in run.output
    assert on_node("lb1", "systemctl", "is-active", "haproxy").strip() == "active"
    print(f"site.yml with {gone} off: {seconds:.0f} s")
    assert seconds < SECONDS


def test_without_a_quorum_nothing_is_touched(off: list[str]) -> None:
    off.extend(["db2", "db3"])
    power("kill", "db2", "db3")
    on_node("lb1", "systemctl", "stop", "haproxy")
    run, _seconds = site(INVENTORY)
    assert run.code != 0
    assert "nothing can be done in lab before it is up" in run.output
    assert on_node("lb1", "systemctl", "is-active", "haproxy", check=False).strip() == "inactive"
