# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as the acceptance tests drive it: playbooks from the controller, commands on the nodes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.desk import Desk

from lab import nodes
from lab.engine import ready_engine
from lab.inventory import of_release

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv/bin"
INVENTORY = of_release(os.environ.get("LAB_OS", "trixie"))
SECRETS = INVENTORY / "group_vars/all/secrets.yml"
SITE = ROOT / "playbooks/site.yml"
ENGINE = os.environ.get("LAB_ENGINE", "docker")
DATABASES = ("db1", "db2", "db3")
BALANCERS = ("lb1", "lb2")
NODES = (*DATABASES, *BALANCERS, "backup1", "client1")
VIP = "198.51.100.100"
# Interruptions wait for the name of a task, which Ansible writes with the first result where skipped ones are hidden.
ENVIRONMENT = {
    **os.environ,
    "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true",
    "ANSIBLE_NOCOLOR": "1",
}
_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """A finished playbook run: its exit code, all its output, and changed tasks by host."""

    code: int
    output: str
    changed: dict[str, int] = field(default_factory=dict)


def command(playbook: Path, *arguments: str, inventory: Path = INVENTORY) -> list[str]:
    """The command line that runs a playbook on the lab."""
    return [str(BIN / "ansible-playbook"), "-i", str(inventory), str(playbook), *arguments]


def run_playbook(playbook: Path, *arguments: str, inventory: Path = INVENTORY) -> Run:
    """Run a playbook to its end."""
    argv = command(playbook, *arguments, inventory=inventory)
    done = subprocess.run(argv, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    return Run(done.returncode, output, {host: int(changed) for host, _ok, changed, *_rest in _RECAP.findall(output)})


def converge(*arguments: str) -> Run:
    """Run site.yml, which must succeed. What it said stays in the folder .lab."""
    run = run_playbook(SITE, *arguments)
    log = ROOT / ".lab/converge.log"
    log.write_text(run.output)
    failed = "\n".join(line for line in run.output.splitlines() if line.startswith("fatal: "))
    assert run.code == 0, f"{log}:\n{failed}\n{run.output[-4000:]}"
    return run


def assert_converged() -> None:
    """One more run must change nothing on any host, and the status must be healthy."""
    assert set(converge().changed.values()) == {0}
    assert_healthy()


def assert_healthy(seconds: int = 120, *arguments: str) -> None:
    """The status must become healthy within the time."""
    status = run_playbook(ROOT / "playbooks/status.yml", "-e", f"status_wait={seconds}", *arguments)
    assert status.code == 0, status.output[-4000:]


def kill_playbook_when(
    moment: Callable[[str], bool], playbook: Path, *arguments: str, seconds: float, inventory: Path = INVENTORY
) -> bool:
    """Start a playbook and SIGKILL the controller with all its workers at a moment told from its output so far.

    Returns whether it was killed before it ended by itself.
    """
    log = ROOT / ".lab/interrupted.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command(playbook, *arguments, inventory=inventory),
            cwd=ROOT,
            env=ENVIRONMENT,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        assert time.monotonic() < deadline, f"the moment did not come within {seconds} s"
        if moment(log.read_text()):
            for pid in descendants(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.02)
    return False


def await_evidence(directory: Path) -> None:
    """Wait until the clients of a killed run have ended and their rows are counted: they notice that it is gone."""

    def ended() -> bool:
        known = Desk(directory).state()
        return known is None or not known.engine.lives()

    wait_until(ended, seconds=400, what="the count of the killed run's rows")


def descendants(pid: int) -> list[int]:
    """A process and all that it started, the eldest first; Ansible's workers have process groups of their own."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found.extend(children.get(one, ()))
    return found


def attempt(node: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command on a node as root that may well fail."""
    return subprocess.run([ENGINE, "exec", f"holdfast-{node}", *arguments], capture_output=True, text=True, check=False)


def on_node(node: str, *arguments: str, check: bool = True) -> str:
    """Run a command on a node as root; returns its standard output."""
    done = attempt(node, *arguments)
    assert not check or done.returncode == 0, f"{node}: {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def sql(statement: str, port: int = 5000) -> str:
    """Run SQL from the client through the virtual IP, as an application would; returns unaligned rows."""
    return on_node(
        "client1", "psql", "-XAtq", "-h", VIP, "-p", str(port), "-U", "app", "-d", "app", "-c", statement
    ).strip()


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.2)


def leader() -> str:
    """The name of the database host that accepts writes, asked from a write through the virtual IP."""
    address = sql("SELECT host(inet_server_addr())")
    return {f"198.51.100.1{number}": f"db{number}" for number in (1, 2, 3)}[address]


def recreate_nodes(image_of: Callable[[nodes.Node], str] | None = None) -> None:
    """Bare nodes again, or nodes of these images."""
    engine = ready_engine()
    wanted = nodes.read_inventory(INVENTORY / "hosts.yml")
    nodes.down(engine, wanted)
    nodes.up(engine, wanted, os.environ.get("LAB_OS", "trixie"), image_of)


def replace_nodes(*names: str) -> None:
    """Bare nodes in the place of some; the others go on."""
    engine = ready_engine()
    engine.run("rm", "--force", "--volumes", *(f"holdfast-{name}" for name in names))
    nodes.up(engine, nodes.read_inventory(INVENTORY / "hosts.yml"), os.environ.get("LAB_OS", "trixie"))


def keep_nodes() -> Callable[[nodes.Node], str]:
    """Keep the nodes as images, as they are now; returns what recreate_nodes takes."""
    for node in nodes.read_inventory(INVENTORY / "hosts.yml"):
        subprocess.run([ENGINE, "commit", node.container, f"holdfast/kept:{node.name}"], check=True)
    return lambda node: f"holdfast/kept:{node.name}"
