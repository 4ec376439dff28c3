# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power control of real hosts and of the lab's containers."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.harm import UNCUT
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.dead_man import DeadMan
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.crew import Crew
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.session import AgentError, SessionLostError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan, Refusal

LINKS_DOWN = 'for link in /sys/class/net/*; do [ "${link##*/}" = lo ] || ip link set dev "${link##*/}" down; done'
RESET = "nft -f - <<E\n{rules}E\necho 1 >/proc/sys/kernel/sysrq; echo b >/proc/sysrq-trigger"
RESET_RULES = """table inet holdfast_drill {
  chain in { type filter hook input priority -400; policy drop; }
  chain out { type filter hook output priority -400; policy drop; }
}
"""
RESET_DELAY = 0.5  # seconds for the answer to leave the host
BOOT_ID = ["cat", "/proc/sys/kernel/random/boot_id"]
PAUSE_SECONDS = 20.0
SERVICES = ("patroni.service", "etcd.service")


class Provider(Protocol):
    """Takes hosts down and brings them back. Each method returns after that has happened, with its proof.

    frozen_is_dark: whether no process runs on a frozen host, not even its agent. stays_off: whether a host stays off
    until power_on().
    """

    frozen_is_dark: bool
    stays_off: bool

    def require(self) -> None:
        """Raise Refusal when this provider can't take the hosts down."""

    def power_off(self, hosts: Sequence[str]) -> str:
        """Cut the links, then the power."""

    def power_on(self, hosts: Sequence[str]) -> None:
        """Restore the power; the hosts boot."""

    def still_down(self, hosts: Sequence[str]) -> None:
        """Raise NotProvenError when hosts that should be off or frozen run too early."""

    def freeze(self, host: str, dead_man: float) -> str:
        """Freeze the processes."""

    def thaw(self, host: str) -> None:
        """Thaw the processes."""

    def reboot(self, host: str) -> str:
        """Shut down in an orderly way, and start."""


class Containers:
    """The lab's nodes: containers of docker or podman on this machine."""

    frozen_is_dark = True
    stays_off = True

    def __init__(self, plan: Plan, crew: Crew) -> None:
        self._engine = plan.engine
        self._names = {node.name: node.container for node in plan.nodes if node.ha is not None}
        self._crew = crew
        self._seconds = plan.dead_man
        self._dead_men: list[DeadMan] = []

    def require(self) -> None:
        """Check that the engine has and runs a container for every host."""
        for host, name in self._names.items():
            try:
                if not self._state(host)["Running"]:
                    raise Refusal(f"drill_provider: 'containers': {name} does not run; start it")
            except OSError as error:
                raise Refusal(f"drill_engine: {self._engine!r}: {error.strerror}; give docker or podman") from error
            except NotProvenError as error:
                fix = "give -e drill_container_prefix, or the host's variable drill_container"
                raise Refusal(
                    f"drill_provider: 'containers': {host} is not the container {name}: {error}; {fix}"
                ) from error

    def power_off(self, hosts: Sequence[str]) -> str:
        """Set the links down inside, then kill the containers."""
        self._arm("start", hosts)
        self._crew.expect_off(hosts)
        self._each(hosts, lambda name: self._run("exec", name, "sh", "-c", LINKS_DOWN))
        self._each(hosts, lambda name: self._run("kill", "--signal=KILL", name))
        self._crew.hang_up(hosts)
        for host in hosts:
            state = self._state(host)
            if state["Running"]:
                raise NotProvenError(f"{self._names[host]} still runs")
        return f"{', '.join(self._names[host] for host in hosts)}: links down, then killed, exit code 137"

    def power_on(self, hosts: Sequence[str]) -> None:
        """Start the containers."""
        self._each(hosts, lambda name: self._run("start", name))
        self._disarm()
        self._crew.expect_on(hosts)

    def still_down(self, hosts: Sequence[str]) -> None:
        """Check that they were not started or unpaused."""
        for host in hosts:
            state = self._state(host)
            if state["Running"] and not state["Paused"]:
                raise NotProvenError(f"{self._names[host]} runs again before its time")

    def freeze(self, host: str, dead_man: float) -> str:  # noqa: ARG002 - the other methods take it from the plan
        """Pause the container."""
        self._arm("unpause", [host])
        self._crew.expect_off([host])
        self._pause(self._names[host])
        if not self._state(host)["Paused"]:
            raise NotProvenError(f"{self._names[host]} is not paused")
        try:
            self._crew.call(host, "now", 1.0)
        except SessionLostError:
            return f"{self._names[host]} is paused, its agent does not answer"
        raise NotProvenError(f"{self._names[host]} is paused, but its agent answers")

    def _pause(self, name: str) -> None:
        """Pause a container; on cgroup v1 the engine gives up at once while a process is being created."""
        deadline = time.monotonic() + PAUSE_SECONDS
        while True:
            try:
                self._run("pause", name)
                return
            except NotProvenError:
                if time.monotonic() > deadline:
                    raise

    def thaw(self, host: str) -> None:
        """Unpause the container."""
        if self._state(host)["Paused"]:
            self._run("unpause", self._names[host])
        self._disarm()
        self._crew.expect_on([host])

    def reboot(self, host: str) -> str:
        """Stop and start the container."""
        self._arm("start", [host])
        self._crew.expect_off([host])
        before = self._state(host)["StartedAt"]
        self._run("stop", "--time=90", self._names[host])
        self._crew.hang_up([host])
        self._run("start", self._names[host])
        self._disarm()
        self._crew.expect_on([host])
        after = self._state(host)["StartedAt"]
        if after == before:
            raise NotProvenError(f"{self._names[host]} did not start again")
        return f"{self._names[host]} was stopped and started"

    def _arm(self, command: str, hosts: Sequence[str]) -> None:
        """Let the container engine bring the containers back after some seconds. Call this before the harm."""
        names = [self._names[host] for host in hosts]
        self._dead_men.append(DeadMan(self._seconds, [self._engine, command, *names]))

    def _disarm(self) -> None:
        while self._dead_men:
            self._dead_men.pop().disarm()

    def _each(self, hosts: Sequence[str], action: Callable[[str], Any]) -> None:
        with ThreadPoolExecutor(max(1, len(hosts))) as pool:
            list(pool.map(lambda host: action(self._names[host]), hosts))

    def _state(self, host: str) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self._run("inspect", "--format={{json .State}}", self._names[host]))
        return state

    def _run(self, *arguments: str) -> str:
        done = subprocess.run([self._engine, *arguments], capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            raise NotProvenError(f"{self._engine} {' '.join(arguments[:3])}: {done.stderr.strip()}")
        return done.stdout


class Hosts:
    """Real hosts, which only their own kernel can take down: a power loss is an immediate reset."""

    frozen_is_dark = False
    stays_off = False

    def __init__(self, plan: Plan, crew: Crew) -> None:
        self._crew = crew
        self._boots: dict[str, str] = {}
        self._frozen: set[str] = set()
        self._boot_seconds = plan.dead_man

    def require(self) -> None:
        """Real hosts need no preparation."""

    def power_off(self, hosts: Sequence[str]) -> str:
        """Drop every packet and reset the machines; they boot again by themselves."""
        for host in hosts:
            self._boots[host] = self._boot(host)
        self._crew.expect_off(hosts)
        script = RESET.format(rules=RESET_RULES)
        later = ["--timer-property=AccuracySec=10ms", f"--on-active={RESET_DELAY:g}"]
        for host in hosts:
            # For a host whose kernel refuses the reset: it would stay cut off. A boot ends the timer and the rules.
            self._crew.call(host, "arm", name="reset", seconds=self._boot_seconds, undo=list(UNCUT))
            self._crew.call(host, "run", argv=["systemd-run", "--quiet", "--collect", *later, "sh", "-c", script])
        for host in hosts:
            self._await_silence(host)
        self._crew.hang_up(hosts)
        self._crew.expect_on(hosts)  # it is observed as soon as it has booted, however long the fault lasts
        return f"{', '.join(hosts)}: reset by sysrq, no longer answering"

    def power_on(self, hosts: Sequence[str]) -> None:
        """Wait until the machines have booted."""
        self._crew.expect_on(hosts)  # also those that were not reset
        deadline = time.monotonic() + self._boot_seconds
        for host in hosts:
            while not self._rebooted(host):
                if time.monotonic() > deadline:
                    raise NotProvenError(f"{host} did not come back within {self._boot_seconds} s of its reset")
                time.sleep(0.5)

    def still_down(self, hosts: Sequence[str]) -> None:
        """Check that frozen services still are; a host that was reset boots on its own."""
        for host in self._frozen.intersection(hosts):
            self._see_frozen(host)

    def freeze(self, host: str, dead_man: float) -> str:
        """Freeze the services and all of their processes by their control groups."""
        self._crew.call(host, "arm", name="freeze", seconds=dead_man, undo=["systemctl", "thaw", *SERVICES])
        self._frozen.add(host)
        done = self._crew.call(host, "run", argv=["systemctl", "freeze", *SERVICES])
        if done["code"]:
            raise NotProvenError(f"{host}: not frozen: {done['err'].strip() or done['code']}")
        self._see_frozen(host)
        return f"{host}: {' and '.join(SERVICES)} are frozen"

    def _see_frozen(self, host: str) -> None:
        shown = self._crew.call(host, "run", argv=["systemctl", "show", "--property=FreezerState", *SERVICES])
        states = [line for line in shown["out"].splitlines() if line]
        if states.count("FreezerState=frozen") != len(SERVICES):
            raise NotProvenError(f"{host}: not frozen: {states}")

    def thaw(self, host: str) -> None:
        """Thaw the services."""
        self._frozen.discard(host)
        self._crew.call(host, "undo", name="freeze")

    def reboot(self, host: str) -> str:
        """Reboot and wait for the new boot."""
        self._boots[host] = self._boot(host)
        self._crew.expect_off([host])
        with contextlib.suppress(SessionLostError):  # the host may be quicker than its answer
            self._crew.call(host, "run", argv=["systemctl", "reboot"])
        self._await_silence(host)
        self._crew.hang_up([host])
        self.power_on([host])
        return f"{host} booted again"

    def _boot(self, host: str) -> str:
        return str(self._crew.call(host, "run", argv=BOOT_ID)["out"]).strip()

    def _rebooted(self, host: str) -> bool:
        try:
            return self._boot(host) != self._boots[host]
        except (SessionLostError, AgentError):
            return False

    def _await_silence(self, host: str) -> None:
        deadline = time.monotonic() + self._boot_seconds
        while time.monotonic() < deadline:
            try:
                self._crew.call(host, "now", 2.0)
            except SessionLostError:
                return
            time.sleep(0.1)
        raise NotProvenError(f"{host} still answers")


def provider(plan: Plan, crew: Crew) -> Provider:
    """Return the provider that the plan names."""
    return Containers(plan, crew) if plan.containers else Hosts(plan, crew)
