# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services' sandboxes on real hosts: in effect, and no service misses what it needs. Needs the lab, two minutes."""

from __future__ import annotations

import re

import pytest
from lab_cluster import NODES, assert_healthy, attempt, on_node

OWN = (
    *("etcd", "patroni", "haproxy", "keepalived", "keepalived-filter"),
    *("pgbackrest", "pgbackrest-backup@*", "prometheus", "prometheus-alertmanager", "holdfast-*"),
)
HOSTS = tuple(name for name in NODES if name != "client1")
OK = 4.9
DENIED = r"Operation not permitted|Read-only file system|status=226/NAMESPACE|status=31/SYS|code=dumped"
"""What a service says that misses something, or systemd of it."""


def units(node: str) -> list[str]:
    """The services of the roles that a node has."""
    patterns = [f"{name}.service" for name in OWN]
    found = on_node(node, "systemctl", "list-unit-files", "--no-legend", "--type=service", *patterns)
    return sorted({line.split()[0].replace("@.", "@full.") for line in found.splitlines()})


@pytest.mark.parametrize("node", HOSTS)
def test_no_service_is_exposed(node: str) -> None:
    found = {}
    for unit in units(node):
        told = on_node(node, "systemd-analyze", "security", "--no-pager", unit, check=False)
        level = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
        assert level, f"{unit}: {told[-300:]}"
        found[unit] = float(level[1])
    print("\n".join(f"{node} {unit} {level}" for unit, level in found.items()))
    assert {unit: level for unit, level in found.items() if level > OK} == {}


@pytest.mark.parametrize("node", HOSTS)
def test_no_service_misses_anything(node: str) -> None:
    failed = on_node(node, "systemctl", "list-units", "--failed", "--no-legend", "--plain").split("\n")
    assert [line for line in failed if line.startswith(tuple(name.rstrip("*") for name in OWN))] == []
    for unit in units(node):
        said = on_node(node, "journalctl", "--boot", "--no-pager", "--output=cat", "--unit", unit, check=False)
        assert re.findall(f".*(?:{DENIED}).*", said) == [], unit


@pytest.mark.parametrize(
    ("node", "unit"), [("db1", "patroni"), ("db1", "etcd"), ("db1", "holdfast-pgbouncer"), ("lb1", "haproxy")]
)
def test_no_process_of_a_service_gets_new_privileges(node: str, unit: str) -> None:
    """What a user's program with the set-user-id bit would need; PostgreSQL's backends inherit it."""
    group = on_node(node, "systemctl", "show", "--property=ControlGroup", "--value", unit).strip()
    processes = on_node(node, "cat", f"/sys/fs/cgroup{group}/cgroup.procs").split()
    files = [f"/proc/{process}/status" for process in processes]
    flags = on_node(node, "grep", "-hE", "^(NoNewPrivs|Seccomp):", *files, check=False).split("\n")
    assert len(flags) > 2
    assert [line for line in flags if line and not re.search(r"NoNewPrivs:\s*1|Seccomp:\s*2", line)] == []


def test_services_do_their_work() -> None:
    assert_healthy()
    for node, unit in (("backup1", "pgbackrest-backup@incr.service"), ("backup1", "holdfast-restore-verify.service")):
        done = attempt(node, "systemctl", "start", unit)
        assert done.returncode == 0, on_node(node, "journalctl", "--unit", unit, "--lines=30", "--no-pager")
    for unit in ("haproxy", "holdfast-pgbouncer", "keepalived"):
        node = "db1" if "pgbouncer" in unit else "lb1"
        assert attempt(node, "systemctl", "reload", unit).returncode == 0
    assert_healthy()
