# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drill can fail, and heals on any exit. DRILL_INVENTORY names the inventory of another cluster than the lab's."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from lab_cluster import BIN, ENVIRONMENT, INVENTORY, ROOT, on_node, wait_until

DRILL_INVENTORY = Path(os.environ.get("DRILL_INVENTORY", INVENTORY)).resolve()
DEAD_MAN = 60
BY_HAND = """
vrrp_instance by_hand {{
    state MASTER
    interface eth0
    virtual_router_id 250
    priority 255
    virtual_ipaddress {{
        {address} dev eth0
    }}
}}
"""


@cache
def topology() -> dict[str, Any]:
    """What the topology says of the cluster, and the hosts by component."""
    command = [BIN / "ansible-inventory", "-i", DRILL_INVENTORY, "--list"]
    listed = json.loads(subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=True, text=True).stdout)
    hosts = {name: item["ha"] for name, item in listed["_meta"]["hostvars"].items() if "ha" in item}
    return {"ha": next(iter(hosts.values())), "hosts": hosts}


def bearing(component: str) -> list[str]:
    """The hosts with a component."""
    return sorted(name for name, ha in topology()["hosts"].items() if component in ha["components"])


def vip() -> str:
    """The virtual IP with its prefix length."""
    return topology()["ha"]["vrrp"]["instances"][0]["addresses"][0]


class Drill:
    """A drill that runs; its output grows in a file."""

    def __init__(self, folder: Path, fault: str, *arguments: str) -> None:
        self.report = folder / "report"
        self._log = folder / "log"
        name = topology()["ha"]["cluster"]
        given = [f"drill_confirm={name}", f"drill_faults={fault}", f"drill_report={self.report}"]
        command = [BIN / "ansible-playbook", "-i", DRILL_INVENTORY, ROOT / "playbooks/drill.yml"]
        command += [word for item in (*given, *arguments) for word in ("-e", item)]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=self._log.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def output(self) -> str:
        """What it said until now."""
        return self._log.read_text()

    def await_text(self, text: str, seconds: float = 300) -> str:
        """Wait until it said something; return its output."""
        wait_until(lambda: text in self.output or self.ended, seconds=seconds, what=f"{text!r} in the drill's output")
        assert text in self.output, self.output[-4000:]
        return self.output

    @property
    def ended(self) -> bool:
        """Whether the process is over."""
        return self.process.poll() is not None

    def finish(self, seconds: float = 900) -> tuple[int, dict[str, Any]]:
        """Wait for its end; return its exit code and its report."""
        code = self.process.wait(seconds)
        path = self.report / "report.json"
        assert path.exists(), self.output[-4000:]
        return code, json.loads(path.read_text())

    def engine(self) -> int:
        """The engine's process id."""
        return int(re.search(r"the engine runs as process (\d+)", self.output)[1])


def rules(report: dict[str, Any]) -> set[str]:
    """The rules that broke."""
    return set(re.findall(r'"rule": "(\w+)"', json.dumps(report)))


@pytest.fixture(autouse=True)
def healthy_afterwards() -> Iterator[None]:
    """Whatever a test did, the cluster is healthy when it is over."""
    yield
    status(180)


def status(seconds: int) -> None:
    """The cluster is healthy within the time."""
    command = [BIN / "ansible-playbook", "-i", DRILL_INVENTORY, ROOT / "playbooks/status.yml", "-e"]
    done = subprocess.run(
        [*command, f"status_wait={seconds}"], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]


@contextmanager
def dynamic_configuration(change: str, back: str) -> Iterator[None]:
    """Change Patroni's dynamic configuration for a while, and wait until the members have it."""
    member, scope = bearing("postgresql")[0], topology()["ha"]["postgresql"]["scope"]
    edit = ("patronictl", "-c", "/etc/patroni/config.yml", "edit-config", "--force", scope, "-s")
    on_node(member, *edit, change)
    try:
        wait_until(lambda: not synchronous(), seconds=60, what="asynchronous replication")
        yield
    finally:
        on_node(member, *edit, back)


def leader() -> str:
    """The database host that leads."""
    listed = on_node(bearing("postgresql")[0], "patronictl", "-c", "/etc/patroni/config.yml", "list", "--format=json")
    return next(item["Member"] for item in json.loads(listed) if item["Role"] == "Leader")


def synchronous() -> bool:
    """Whether the leader waits for standbys."""
    sql = ("psql", "-XAtq", "-h", "/var/run/postgresql", "-U", "postgres", "-c", "SHOW synchronous_standby_names")
    return bool(on_node(leader(), *sql).strip())


def holder() -> str:
    """The balancer with the virtual IP."""
    return next(name for name in bearing("keepalived") if vip() in on_node(name, "ip", "-4", "address"))


@contextmanager
def keepalived_by_hand(node: str) -> Iterator[None]:
    """A second keepalived on a balancer, which knows no other and takes the virtual IP."""
    on_node(node, "sh", "-c", f"cat >/run/by-hand.conf <<'E'\n{BY_HAND.format(address=vip())}\nE")
    files = [f"--{name}=/run/by-hand-{name}.pid" for name in ("pid", "vrrp_pid")]
    on_node(node, "keepalived", "--vrrp", "--use-file=/run/by-hand.conf", *files)
    try:
        yield
    finally:
        on_node(node, "sh", "-c", "kill $(cat /run/by-hand-pid.pid)")


@contextmanager
def without_check(balancer: str, server: str) -> Iterator[None]:
    """HAProxy sends writes to a server without ever asking it."""
    pool = next(pool["name"] for pool in topology()["ha"]["pools"] if pool["role"] == "primary")

    def tell(*commands: str) -> None:
        script = "import socket,sys\nfor line in sys.argv[1:]:\n s=socket.socket(socket.AF_UNIX)\n"
        script += " s.connect('/run/haproxy/admin.sock')\n s.sendall(line.encode()+b'\\n')\n s.recv(999)\n"
        on_node(balancer, "python3", "-c", script, *commands)

    tell(f"disable health {pool}/{server}", f"set server {pool}/{server} health up")
    try:
        yield
    finally:
        tell(f"enable health {pool}/{server}")


def test_lost_rows_are_reported(tmp_path) -> None:
    with dynamic_configuration("synchronous_mode=false", "synchronous_mode=quorum"):
        code, report = Drill(tmp_path, "primary_cut_from_peers").finish()
    assert code != 0
    assert "lost_acknowledged" in rules(report)


def test_two_holders_are_reported(tmp_path) -> None:
    drill = Drill(tmp_path, "patroni_killed")
    drill.await_text("injected:")
    other = next(name for name in bearing("keepalived") if name != holder())
    with keepalived_by_hand(other):
        drill.await_text("gate after", 60)
    code, report = drill.finish()
    assert code != 0
    assert "two_holders" in rules(report)


def test_a_wrong_pool_member_is_reported(tmp_path) -> None:
    standby = next(name for name in bearing("postgresql") if name != leader())
    drill = Drill(tmp_path, "patroni_killed")
    drill.await_text("injected:")
    with without_check(holder(), standby):
        drill.await_text("gate after", 60)
    code, report = drill.finish()
    assert code != 0
    assert "wrong_pool_member" in rules(report)


def test_a_budget_can_not_be_met(tmp_path) -> None:
    code, report = Drill(tmp_path, "switchover", '{"drill_budgets": {"switchover": 0.1}}').finish()
    assert code != 0
    assert "over_budget" in rules(report)


def isolated() -> list[str]:
    """The database hosts with the drill's packet filter."""
    return [name for name in bearing("postgresql") if "holdfast_drill" in on_node(name, "nft", "list", "tables")]


def kill_all(drill: Drill) -> None:
    """Leave nobody on the controller."""
    engine = drill.engine()
    os.killpg(drill.process.pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(engine, signal.SIGKILL)


@pytest.mark.parametrize(
    ("kill", "seconds"),
    [
        pytest.param(lambda drill: os.kill(drill.process.pid, signal.SIGINT), 30, id="Ctrl-C"),
        pytest.param(lambda drill: os.kill(drill.process.pid, signal.SIGKILL), 30, id="Ansible killed"),
        pytest.param(kill_all, DEAD_MAN + 15, id="controller killed"),
    ],
)
def test_an_isolation_is_undone(tmp_path, kill: Callable[[Drill], None], seconds: float) -> None:
    drill = Drill(tmp_path, "primary_isolated", f"drill_dead_man={DEAD_MAN}")
    drill.await_text("injected:")
    assert len(isolated()) == 1
    kill(drill)
    begun = time.monotonic()
    wait_until(lambda: not isolated(), seconds=seconds, what="the end of the isolation")
    print(f"undone after {time.monotonic() - begun:.1f} s")
    wait_until(lambda: gone(drill.engine()), seconds=60, what="the engine's end")
    for node in (*bearing("postgresql"), *bearing("keepalived")):
        assert "holdfast-drill" not in on_node(node, "systemctl", "list-timers", "--all", "--plain")


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
