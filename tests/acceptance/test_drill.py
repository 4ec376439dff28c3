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
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from lab_cluster import BIN, ENGINE, ENVIRONMENT, INVENTORY, ROOT, attempt, on_node, wait_until

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

    def end(self) -> None:
        """Leave nothing running, whatever the test came to: the engine heals when Ansible is gone."""
        if not self.ended:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if "the engine runs as process" in self.output:
            wait_until(lambda: gone(self.engine()), seconds=300, what="the engine's end")


def rules(report: dict[str, Any]) -> set[str]:
    """The rules that broke."""
    return set(re.findall(r'"rule": "(\w+)"', json.dumps(report)))


@pytest.fixture(autouse=True)
def healthy_afterwards() -> Iterator[None]:
    """Whatever a test did, the cluster is healthy when it is over."""
    yield
    status(180)


@pytest.fixture
def drill(tmp_path) -> Iterator[Callable[..., Drill]]:
    """Start a drill of a fault with more variables; it is over when the test is."""
    with ExitStack() as stack:

        def start(fault: str, *arguments: str) -> Drill:
            started = Drill(tmp_path, fault, *arguments)
            stack.callback(started.end)
            return started

        yield start


def status(seconds: int) -> None:
    """The cluster is healthy within the time."""
    command = [BIN / "ansible-playbook", "-i", DRILL_INVENTORY, ROOT / "playbooks/status.yml", "-e"]
    done = subprocess.run(
        [*command, f"status_wait={seconds}"], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]


PATRONICTL = ("patronictl", "-c", "/etc/patroni/config.yml")


@contextmanager
def asynchronous() -> Iterator[None]:
    """The leader waits for no standby for a while, then for those that it waited for before."""
    member, scope = bearing("postgresql")[0], topology()["ha"]["postgresql"]["scope"]
    shown = on_node(member, *PATRONICTL, "show-config", scope)
    before = re.search(r"^synchronous_mode: (\S+)$", shown, re.MULTILINE)[1]
    edit = (*PATRONICTL, "edit-config", "--force", scope, "-s")
    on_node(member, *edit, "synchronous_mode=false")
    try:
        wait_until(lambda: standby_names() == "", seconds=60, what="asynchronous replication")
        yield
    finally:
        on_node(member, *edit, f"synchronous_mode={before}")
        wait_until(lambda: bool(standby_names()), seconds=120, what="synchronous replication")


def leader() -> str:
    """The database host that leads, "" when none does."""
    listed = on_node(bearing("postgresql")[0], *PATRONICTL, "list", "--format=json")
    return next((item["Member"] for item in json.loads(listed) if item["Role"] == "Leader"), "")


def standby_names() -> str | None:
    """For whom the leader waits, None when nobody can be asked."""
    sql = ("psql", "-XAtq", "-h", "/var/run/postgresql", "-U", "postgres", "-c", "SHOW synchronous_standby_names")
    done = attempt(leader(), *sql)
    return done.stdout.strip() if done.returncode == 0 else None


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
        wait_until(lambda: vip() in on_node(node, "ip", "-4", "address"), seconds=15, what=f"{vip()} on {node}")
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

    checked = f"{pool}.checks/{server}"
    tell(f"disable health {checked}", f"set server {checked} health up")
    try:
        yield
    finally:
        tell(f"enable health {checked}")


def test_lost_rows_are_reported(drill) -> None:
    with asynchronous():
        code, report = drill("primary_cut_from_peers").finish()
    assert code != 0
    assert "lost_acknowledged" in rules(report)


def while_faulty(started: Drill) -> None:
    """Wait until the fault is healed and its gate waits: for what the test broke, at the least."""
    started.await_text("gate after", 120)


def test_two_holders_are_reported(drill) -> None:
    started = drill("patroni_killed")
    started.await_text("injected:")
    other = next(name for name in bearing("keepalived") if name != holder())
    with keepalived_by_hand(other):
        while_faulty(started)
    code, report = started.finish()
    assert code != 0
    assert "two_holders" in rules(report)


def test_a_wrong_pool_member_is_reported(drill) -> None:
    standby = next(name for name in bearing("postgresql") if name != leader())
    started = drill("patroni_killed")
    started.await_text("injected:")
    with without_check(holder(), standby):
        while_faulty(started)
    code, report = started.finish()
    assert code != 0
    assert "wrong_pool_member" in rules(report)


def test_a_budget_can_not_be_met(drill) -> None:
    code, report = drill("switchover", '{"drill_budgets": {"switchover": 0.1}}').finish()
    assert code != 0
    assert "over_budget" in rules(report)


def isolated() -> list[str]:
    """The database hosts with the drill's packet filter."""
    return [name for name in bearing("postgresql") if "holdfast_drill" in on_node(name, "nft", "list", "tables")]


def timers() -> list[str]:
    """The hosts on which a timer of the drill is left."""
    hosts = (*bearing("postgresql"), *bearing("keepalived"))
    return [name for name in hosts if "holdfast-drill" in on_node(name, "systemctl", "list-timers", "--all", "--plain")]


def kill_all(started: Drill) -> None:
    """Leave nobody on the controller."""
    engine = started.engine()
    os.killpg(started.process.pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(engine, signal.SIGKILL)


@pytest.mark.parametrize(
    ("kill", "seconds", "reported"),
    [
        pytest.param(lambda started: os.killpg(started.process.pid, signal.SIGINT), 30, True, id="Ctrl-C"),
        pytest.param(lambda started: os.kill(started.process.pid, signal.SIGKILL), 30, True, id="Ansible killed"),
        pytest.param(kill_all, DEAD_MAN + 15, False, id="controller killed"),
    ],
)
def test_an_isolation_is_undone(drill, kill: Callable[[Drill], None], seconds: float, reported: bool) -> None:
    started = drill("primary_isolated", f"drill_dead_man={DEAD_MAN}")
    started.await_text("injected:")
    assert len(isolated()) == 1
    kill(started)
    begun = time.monotonic()
    wait_until(lambda: not isolated(), seconds=seconds, what="the end of the isolation")
    print(f"undone after {time.monotonic() - begun:.1f} s")
    wait_until(lambda: gone(started.engine()), seconds=60, what="the engine's end")
    wait_until(lambda: not timers(), seconds=15, what="the end of the drill's timers")
    if reported:
        _code, report = started.finish()
        assert not report["passed"]
        assert "stopped" in report["failure"]
        assert [injection["fault"] for injection in report["unjudged"]] == ["primary_isolated"]


def test_a_controller_that_hangs_keeps_nobody_isolated(drill) -> None:
    """No session ends and nobody gives an order: the node's own timer is what is left."""
    started = drill("primary_isolated", f"drill_dead_man={DEAD_MAN}")
    started.await_text("injected:")
    os.kill(started.engine(), signal.SIGSTOP)
    try:
        assert len(isolated()) == 1
        wait_until(lambda: not isolated(), seconds=DEAD_MAN + 15, what="the end of the isolation")
    finally:
        os.kill(started.engine(), signal.SIGCONT)
    code, report = started.finish()
    assert code != 0
    assert "not proven" in report["unjudged"][0]["reason"]
    assert not timers()


def test_a_killed_controller_leaves_nobody_without_power(drill) -> None:
    """Only of the lab: a real host boots by itself."""
    started = drill("standby_lost", f"drill_dead_man={DEAD_MAN}")
    started.await_text("injected:")
    assert len(powered_off()) == 1
    kill_all(started)
    wait_until(lambda: not powered_off(), seconds=DEAD_MAN + 15, what="the standby's container to run again")


def powered_off() -> list[str]:
    """The database hosts whose containers do not run."""
    running = subprocess.run([ENGINE, "ps", "--format={{.Names}}"], capture_output=True, check=True, text=True).stdout
    return [name for name in bearing("postgresql") if f"holdfast-{name}" not in running.split()]


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
