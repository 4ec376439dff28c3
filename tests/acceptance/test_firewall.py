# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall: who gets through, that a mistake undoes itself, and that faults heal. Needs the lab, 30 minutes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from lab_cluster import (
    DATABASES,
    NODES,
    ROOT,
    SITE,
    assert_converged,
    assert_healthy,
    attempt,
    kill_playbook_when,
    leader,
    on_node,
    run_playbook,
    sql,
    wait_until,
)

from lab.inventory import write

PLAYBOOK = ROOT / "playbooks/firewall.yml"
HOSTS = tuple(name for name in NODES if name != "client1")
TABLE = ("nft", "-s", "list", "table", "inet", "holdfast_firewall")
UNDO = "holdfast-firewall-undo.timer"
KNOCK = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"


def walled(**declared: object) -> Path:
    """The lab's inventory with a firewall."""
    folder = write(ROOT / ".lab/walled")
    link = folder / "topology.ha.yml"
    topology = yaml.safe_load(link.read_text(encoding="utf-8"))
    topology["clusters"]["lab"]["firewall"] = declared or True
    link.unlink()
    link.write_text(yaml.safe_dump(topology, sort_keys=False), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def inventory() -> Iterator[Path]:
    """The lab with a firewall; afterwards it has none."""
    folder = walled()
    made = run_playbook(SITE, inventory=folder)
    assert made.code == 0, made.output[-4000:]
    yield folder
    removed = run_playbook(SITE)
    assert removed.code == 0, removed.output[-4000:]
    assert_gone()
    assert_converged()


def gets_through(node: str, address: str, port: int) -> bool:
    """Whether a node can open a connection."""
    return attempt(node, "python3", "-c", KNOCK, address, str(port)).returncode == 0


def test_a_second_run_changes_nothing(inventory: Path) -> None:
    again = run_playbook(SITE, inventory=inventory)
    assert (again.code, set(again.changed.values())) == (0, {0}), again.output[-4000:]
    assert_healthy()


@pytest.mark.parametrize(
    ("node", "address", "port", "through"),
    [
        ("client1", "198.51.100.11", 2379, False),
        ("client1", "198.51.100.11", 2380, False),
        ("client1", "198.51.100.11", 8008, False),
        ("client1", "198.51.100.31", 8432, False),
        ("client1", "198.51.100.31", 9090, False),
        ("client1", "198.51.100.21", 9100, False),
        ("client1", "198.51.100.11", 5432, True),
        ("client1", "198.51.100.100", 5000, True),
        ("client1", "198.51.100.100", 6432, True),
        ("client1", "198.51.100.11", 22, True),
        ("lb1", "198.51.100.11", 2379, False),
        ("lb1", "198.51.100.11", 8008, True),
        ("backup1", "198.51.100.11", 2379, True),
        ("backup1", "198.51.100.21", 9100, True),
        ("db2", "198.51.100.11", 2380, True),
    ],
)
def test_each_port_is_open_for_those_who_need_it(
    inventory: Path, node: str, address: str, port: int, through: bool
) -> None:
    assert gets_through(node, address, port) is through


def test_the_rules_come_back_after_a_flush_and_a_boot(inventory: Path) -> None:
    node = next(name for name in DATABASES if name != leader())
    on_node(node, "systemctl", "restart", "nftables.service")
    assert attempt(node, *TABLE).returncode == 0
    on_node(node, "systemctl", "reboot", check=False)
    wait_until(lambda: attempt(node, *TABLE).returncode == 0, seconds=120, what=f"the rules of {node}")
    assert_healthy()


def test_rules_without_the_controller_are_refused(inventory: Path) -> None:
    before = table("db1")
    refused = run_playbook(PLAYBOOK, inventory=walled(ssh=["203.0.113.0/24"]))
    walled()
    assert refused.code != 0
    assert "which is in none of SSH's networks" in refused.output
    assert table("db1") == before


@contextmanager
def other_source(node: str, former: str, address: str) -> Iterator[None]:
    """Meanwhile a node's new connections come from an address that no inventory knows."""
    route = ("ip", "route", "change", "198.51.100.0/24", "dev", "eth0", "proto", "kernel", "scope", "link", "src")
    on_node(node, "ip", "address", "add", f"{address}/24", "dev", "eth0")
    on_node(node, *route, address)
    try:
        yield
    finally:
        on_node(node, *route, former)
        on_node(node, "ip", "address", "delete", f"{address}/24", "dev", "eth0")


def test_rules_that_cut_a_host_off_undo_themselves(inventory: Path) -> None:
    """The rules name each host by its address in the topology; one host's connections come from another one."""
    removed = run_playbook(PLAYBOOK)
    assert removed.code == 0, removed.output[-4000:]
    with other_source("db3", "198.51.100.13", "198.51.100.77"):
        failed = run_playbook(PLAYBOOK, inventory=inventory)
        assert failed.code != 0
        assert re.search(r"With the new rules .* can't be reached any more", failed.output), failed.output[-4000:]
        assert [name for name in HOSTS if attempt(name, *TABLE).returncode == 0] == []
        assert_healthy()
    done = run_playbook(PLAYBOOK, inventory=inventory)
    assert done.code == 0, done.output[-4000:]
    assert [name for name in HOSTS if attempt(name, *TABLE).returncode != 0] == []


def table(node: str) -> str:
    """A host's table, without what it counted. nft shows a set of one range with braces only the first time."""
    return re.sub(r"{ (\S+) }", r"\1", on_node(node, *TABLE, check=False))


def tables() -> dict[str, str]:
    """Every host's table."""
    return {name: table(name) for name in HOSTS}


def test_a_killed_run_undoes_itself(inventory: Path) -> None:
    before = tables()
    more = walled(allow=[{"port": 12345}])
    options = ("-e", "firewall_undo_seconds=20")
    assert kill_playbook_when(
        lambda told: "Check over a new connection" in told, PLAYBOOK, *options, seconds=120, inventory=more
    )
    with suppress(AssertionError):
        wait_until(lambda: tables() == before, seconds=60, what="the former rules")
    assert tables() == before
    told = run_playbook(ROOT / "playbooks/status.yml", inventory=more)
    assert "other rules than were confirmed" not in told.output
    done = run_playbook(PLAYBOOK, inventory=more)
    assert done.code == 0, done.output[-4000:]
    assert "12345" in on_node("lb1", *TABLE)
    assert [
        name for name in HOSTS if on_node(name, "systemctl", "is-active", UNDO, check=False).strip() == "active"
    ] == []
    back = run_playbook(PLAYBOOK, inventory=walled())
    assert back.code == 0, back.output[-4000:]


def assert_gone() -> None:
    """No host has a table, its file, or a timer that would load one again."""
    kept = "/etc/holdfast/firewall.nft"
    assert [name for name in HOSTS if attempt(name, *TABLE).returncode == 0] == []
    assert [name for name in HOSTS if attempt(name, "test", "-e", kept).returncode == 0] == []
    assert [name for name in HOSTS if attempt(name, "systemctl", "is-active", UNDO).returncode == 0] == []


def test_turned_off_after_a_killed_change_it_stays_off(inventory: Path) -> None:
    """The timer of the killed run would load the former table again."""
    options = ("-e", "firewall_undo_seconds=180")
    more = walled(allow=[{"port": 12345}])
    assert kill_playbook_when(
        lambda told: "Check over a new connection" in told, PLAYBOOK, *options, seconds=120, inventory=more
    )
    assert "12345" in on_node("db1", *TABLE)
    planned = run_playbook(PLAYBOOK, "--check", "--diff")
    assert planned.code == 0, planned.output[-4000:]
    assert all(planned.changed[name] for name in HOSTS), planned.changed
    assert attempt("db1", "systemctl", "is-active", UNDO).returncode == 0
    removed = run_playbook(PLAYBOOK)
    assert removed.code == 0, removed.output[-4000:]
    assert_gone()
    again = run_playbook(PLAYBOOK)
    assert (again.code, set(again.changed.values())) == (0, {0}), again.output[-4000:]


def test_turned_off_after_a_killed_start_it_is_off(inventory: Path) -> None:
    """The run dies after the rules were confirmed, before a unit would load them at boot."""
    removed = run_playbook(PLAYBOOK)
    assert removed.code == 0, removed.output[-4000:]
    assert kill_playbook_when(
        lambda told: "Keep the rules through reboots" in told, PLAYBOOK, seconds=120, inventory=walled()
    )
    assert attempt("db1", *TABLE).returncode == 0
    removed = run_playbook(PLAYBOOK)
    assert removed.code == 0, removed.output[-4000:]
    assert_gone()
    back = run_playbook(PLAYBOOK, inventory=walled())
    assert back.code == 0, back.output[-4000:]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("flush", "table", "inet", "holdfast_firewall"), "its firewall has other rules than were confirmed"),
        (("insert", "rule", "inet", "holdfast_firewall", "input", "accept"), "has other rules than were confirmed"),
        (("flush", "ruleset"), "its firewall is not loaded"),
    ],
    ids=("emptied", "opened", "flushed"),
)
def test_a_table_that_others_changed_is_told_and_mended(inventory: Path, change: tuple[str, ...], told: str) -> None:
    before = table("backup1")
    assert not gets_through("client1", "198.51.100.31", 8432)
    on_node("backup1", "nft", *change)
    assert gets_through("client1", "198.51.100.31", 8432)
    status = run_playbook(ROOT / "playbooks/status.yml", inventory=inventory)
    assert (status.code != 0, told in status.output) == (True, True), status.output[-4000:]
    mended = run_playbook(PLAYBOOK, inventory=inventory)
    assert mended.code == 0, mended.output[-4000:]
    assert {name for name, count in mended.changed.items() if count} == {"backup1"}, mended.changed
    assert table("backup1") == before
    assert not gets_through("client1", "198.51.100.31", 8432)
    assert_healthy()


def test_connections_outlive_new_rules(inventory: Path) -> None:
    """A session that is quiet while the table is loaded anew."""
    quiet = "SELECT pg_sleep(5); SELECT 'still here'"
    on_node("lb1", "sh", "-c", "(sleep 2; systemctl reload holdfast-firewall.service) >/dev/null 2>&1 &")
    assert "still here" in sql(quiet)


def test_faults_heal_with_it(inventory: Path) -> None:
    options = ("-e", "drill_confirm=lab", "-e", "drill_faults=switchover,primary_isolated,primary_power_loss")
    drilled = run_playbook(ROOT / "playbooks/drill.yml", *options, inventory=inventory)
    assert drilled.code == 0, drilled.output[-6000:]
