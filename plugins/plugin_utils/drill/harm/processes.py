# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that are killed, stopped, or kept from starting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import View
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.action import Action
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError

if TYPE_CHECKING:
    from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.tools import Tools

# The database user controls the data directory: as root, the drill would follow its links and kill any named process.
AS_POSTGRES = ("runuser", "-u", "postgres", "--")
DATABASE_PROCESSES = frozenset({"postmaster", "backend"})
WHOLE_UNITS = frozenset({"haproxy.service", "keepalived.service"})
"""Units whose processes all get the signal."""
BACKEND = "SELECT pid FROM pg_stat_activity WHERE application_name = 'holdfast-drill' ORDER BY backend_start LIMIT 1"
STOPPED = "the main process alone gets SIGSTOP, and SIGCONT afterwards"
MASKED = "systemd masks and kills the unit, and starts it afterwards"


@dataclass(frozen=True, slots=True)
class Kill(Action):
    """A signal to a process: the postmaster, a backend, or the main process or all processes of a unit."""

    on_hosts = "the process gets a signal"
    in_containers = on_hosts
    what: str
    signal: str = "KILL"

    def words(self, containers: bool) -> str:  # noqa: ARG002 - the same everywhere
        """Name the signal."""
        return f"the process gets SIG{self.signal}"

    def inject(self, tools: Tools, targets: Sequence[str], view: View) -> str:  # noqa: ARG002
        """Send the signal, and check that the process is gone."""
        (host,) = targets
        pid = process_of(tools, self.what, host)
        identity = identity_of(tools, host, pid)
        if self.what in WHOLE_UNITS:
            tools.must(host, "systemctl", "kill", f"--signal={self.signal}", self.what)
        else:
            owner = AS_POSTGRES if self.what in DATABASE_PROCESSES else ()
            tools.must(host, *owner, "kill", f"-{self.signal}", pid)
        return tools.await_proof(
            lambda: f"{host}: {self.what}, process {pid}, is gone" if identity_of(tools, host, pid) != identity else "",
            f"{host}: process {pid} of {self.what} survived",
        )


@dataclass(frozen=True, slots=True)
class Suspend(Action):
    """The main process of a unit is stopped; its child processes continue."""

    on_hosts = STOPPED
    in_containers = STOPPED
    unit: str

    def inject(self, tools: Tools, targets: Sequence[str], view: View) -> str:  # noqa: ARG002
        """Stop the process."""
        (host,) = targets
        resume = ["systemctl", "kill", "--signal=CONT", self.unit]
        tools.arm(host, "suspension", resume, f"{self.unit} on {host}")
        tools.must(host, "kill", "-STOP", process_of(tools, self.unit, host))
        return self.still(tools, targets)

    def still(self, tools: Tools, targets: Sequence[str]) -> str:
        """Check that it is still stopped."""
        (host,) = targets
        return tools.await_proof(lambda: self._stopped(tools, host), f"{host}: {self.unit} goes on")

    def _stopped(self, tools: Tools, host: str) -> str:
        pid = process_of(tools, self.unit, host)
        state = tools.must(host, "cat", f"/proc/{pid}/stat").rpartition(")")[2].split()[0]
        return f"{host}: {self.unit}, process {pid}, stands still" if state == "T" else ""


@dataclass(frozen=True, slots=True)
class ServiceDown(Action):
    """A unit is killed and kept from starting."""

    on_hosts = MASKED
    in_containers = MASKED
    unit: str

    def inject(self, tools: Tools, targets: Sequence[str], view: View) -> str:  # noqa: ARG002
        """Take the unit down on all targets."""
        return "; ".join(self._down(tools, host) for host in targets)

    def _down(self, tools: Tools, host: str) -> str:
        unit = self.unit
        undo = ["sh", "-c", f"systemctl unmask --runtime {unit}; systemctl start --no-block {unit}"]
        tools.arm(host, f"service-{unit.removesuffix('.service')}", undo, f"{unit} on {host}")
        tools.must(host, "sh", "-c", f"systemctl mask --runtime {unit} && systemctl kill --signal=KILL {unit}")
        return tools.await_proof(
            lambda: f"{host}: {unit} has no process" if main_process(tools, unit, host) == "0" else "",
            f"{host}: {unit} still runs",
        )


def process_of(tools: Tools, what: str, host: str) -> str:
    """Return the target process; raises NotProvenError without one."""
    if what == "postmaster":
        file = f"{tools.plan.topology['postgresql']['data_directory']}/postmaster.pid"
        return tools.must(host, *AS_POSTGRES, "head", "-n1", file).strip()
    if what == "backend":
        rows = tools.crew.sql(host, BACKEND)
        if not rows:
            raise NotProvenError(f"{host}: no backend of the drill's clients to hit")
        return str(rows[0][0])
    pid = main_process(tools, what, host)
    if pid == "0":
        raise NotProvenError(f"{host}: {what} does not run")
    return pid


def main_process(tools: Tools, unit: str, host: str) -> str:
    """Return a unit's main process, 0 without one."""
    return tools.must(host, "systemctl", "show", "--property=MainPID", "--value", unit).strip()


def identity_of(tools: Tools, host: str, pid: str) -> str:
    """Return what identifies a process if its number is used again, "" when it is gone or a zombie."""
    stat = str(tools.crew.call(host, "run", argv=["cat", f"/proc/{pid}/stat"])["out"])
    fields = stat.rpartition(")")[2].split()
    return fields[19] if fields and fields[0] not in "ZX" else ""
