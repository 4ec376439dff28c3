# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Injects faults, proves them, and heals whatever it has injected."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import (
    Fault,
    FillDisk,
    Freeze,
    Isolate,
    Kill,
    PowerOff,
    Scope,
    ServiceDown,
    Suspend,
    Switchover,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import Expected, View
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.provider import NotProvenError, Provider
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.rules import Cut, ruleset
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.crew import TLS, Crew, url
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.session import SessionLostError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan

PROOF_SECONDS = 10.0
POLL_SECONDS = 0.1
SWITCHOVER_PATIENCE = 300.0
# What lies in the data directory is the database user's word: root would follow its links, and kill what it names.
AS_POSTGRES = ("runuser", "-u", "postgres", "--")
DATABASE_PROCESSES = frozenset({"postmaster", "backend"})
FILL = 'fallocate -l "$1" "$0" || true; cat /dev/zero >>"$0" 2>/dev/null || true'
RESUME = ("systemctl", "kill", "--signal=USR2", "holdfast-pgbouncer.service")
BACKEND = "SELECT pid FROM pg_stat_activity WHERE application_name = 'holdfast-drill' ORDER BY backend_start LIMIT 1"


def cut_of(action: Isolate, host: str, expected: Expected, plan: Plan) -> Cut:
    """Return what an isolation cuts off at a host."""
    addresses, topology, incoming = plan.addresses, plan.topology, not action.one_way
    if action.scope is Scope.EVERYBODY:
        return Cut(incoming=incoming)
    if action.scope is Scope.ETCD:
        etcd = tuple(addresses[name] for name in expected.etcd if name != host)
        return Cut(etcd, (topology["etcd"]["client_port"], topology["etcd"]["peer_port"]), incoming)
    if action.scope is Scope.STANDBYS:
        databases = tuple(addresses[name] for name in expected.databases if name != host)
        return Cut(databases, (topology["postgresql"]["port"],), incoming)
    # The repository too: a standby would fetch from there what the demoted primary archives in its last second.
    spared = {host, *expected.balancers}
    return Cut(tuple(address for name, address in addresses.items() if name not in spared), (), incoming)


def switchover_params(plan: Plan) -> dict[str, Any]:
    """Return the parameters of the module holdfast.ha.patroni_switchover."""
    postgresql, pooler, secrets = plan.topology["postgresql"], plan.topology.get("pooler") or {}, plan.secrets
    members = [(node.name, plan.addresses[node.name]) for node in plan.bearing("postgresql")]
    target = pooler.get("target")
    return {
        "endpoints": [url(address, postgresql["rest_port"]) for _name, address in members],
        **TLS,
        "username": "holdfast",
        "password": secrets["patroni_rest"],
        "request_timeout": 3.0,
        "superuser": "postgres",
        "superuser_password": secrets["postgresql_superuser"],
        "poolers": [{"name": name, "address": address, "port": pooler["port"]} for name, address in members if pooler],
        "pooler_username": "holdfast",
        "pooler_password": secrets.get("pgbouncer"),
        "pooler_ca": TLS["ca"],
        "pool": {"address": target["addresses"][0], "port": target["port"]} if target else None,
        "pause_timeout": 5.0,
        "pause_required": True,
        "timeout": 60.0,
        "healthy_timeout": 120.0,
    }


class Injector:
    """One fault at a time."""

    def __init__(
        self, plan: Plan, expected: Expected, crew: Crew, provider: Provider, now: Callable[[], float]
    ) -> None:
        self._plan = plan
        self._expected = expected
        self._crew = crew
        self._provider = provider
        self._now = now
        self._cut_since: dict[str, float] = {}
        self._undo: list[tuple[str, Callable[[], Any]]] = []

    def inject(self, fault: Fault, targets: Sequence[str], view: View) -> str:
        """Do it and return the proof; raises NotProvenError, SessionLostError or AgentError."""
        self._cut_since = {}
        how: dict[type, Callable[[Any], str]] = {
            PowerOff: lambda _action: self._power_off(targets),
            Freeze: lambda _action: self._freeze(targets[0]),
            Suspend: lambda action: self._suspend(action.unit, targets[0]),
            Isolate: lambda action: self._isolate(action, targets[0]),
            ServiceDown: lambda action: "; ".join(self._service_down(action.unit, host) for host in targets),
            Kill: lambda action: self._kill(action, targets[0]),
            Switchover: lambda _action: self._switch_over(view),
            FillDisk: lambda action: self._fill(action, targets[0]),
        }
        return how[type(fault.action)](fault.action)

    def hindrance(self, fault: Fault) -> str:
        """Return why a fault would hit more than the cluster on these hosts, "" when it would not."""
        if not isinstance(fault.action, FillDisk):
            return ""
        folder = self._folder(fault.action)
        for host in self._expected.databases:
            if len(set(self._must(host, "stat", "-Lc", "%d", folder, "/").split())) == 1:
                return f"{folder} lies on {host}'s root volume, which is not to be filled"
        return ""

    def heal(self) -> list[str]:
        """Undo what was injected, each step even when another fails; return what is left to the next call."""
        failures, left = [], []
        for name, undo in reversed(self._undo):
            try:
                undo()
            except Exception as error:  # noqa: BLE001 - the other steps have to be taken
                failures.append(f"{name}: {error or type(error).__name__}")
                left.append((name, undo))
        self._undo = left[::-1]
        return failures

    def darkens(self, fault: Fault) -> bool:
        """Say whether a fault stops all that runs on its targets, so that they can't be observed."""
        return isinstance(fault.action, PowerOff) or (
            isinstance(fault.action, Freeze) and self._provider.frozen_is_dark
        )

    def cut(self) -> dict[str, tuple[tuple[float, float], ...]]:
        """Return since when until now hosts have been cut off from everybody, if still() proves that they are."""
        return {host: ((since, self._now()),) for host, since in self._cut_since.items()}

    def still(self, fault: Fault, targets: Sequence[str]) -> str:
        """Return the proof that a fault lasted, to be asked before it is healed; raises NotProvenError."""
        if isinstance(fault.action, PowerOff | Freeze):
            self._provider.still_down(targets)
        if isinstance(fault.action, Suspend):
            return self._stands_still(fault.action.unit, targets[0])
        if not isinstance(fault.action, Isolate):
            return ""
        seen = self._crew.call(targets[0], "dropped")
        if not seen["present"]:
            raise NotProvenError(f"{targets[0]}: the drill's rules are gone before their time")
        if not seen["packets"]:
            raise NotProvenError(f"{targets[0]}: the drill's rules dropped no packet")
        if targets[0] in self._cut_since and targets[0] in self._expected.balancers and not seen["muted"]:
            raise NotProvenError(f"{targets[0]}: the drill's rules against ARP are gone before their time")
        return f"{seen['packets']} packets dropped"

    def reboot(self, host: str) -> str:
        """Reboot one host."""
        return self._provider.reboot(host)

    def _power_off(self, hosts: Sequence[str]) -> str:
        self._undo.append(("power", lambda: self._provider.power_on(hosts)))
        return self._provider.power_off(hosts)

    def _freeze(self, host: str) -> str:
        self._undo.append(("freeze", lambda: self._provider.thaw(host)))
        return self._provider.freeze(host, self._plan.dead_man)

    def _suspend(self, unit: str, host: str) -> str:
        resume = ["systemctl", "kill", "--signal=CONT", unit]
        self._undo.append((f"{unit} on {host}", lambda: self._crew.call(host, "undo", name="suspension")))
        self._crew.call(host, "arm", name="suspension", seconds=self._plan.dead_man, undo=resume)
        self._must(host, "kill", "-STOP", self._pid(unit, host))
        return self._stands_still(unit, host)

    def _stands_still(self, unit: str, host: str) -> str:
        return self._await(lambda: self._suspended(unit, host), f"{host}: {unit} goes on")

    def _suspended(self, unit: str, host: str) -> str:
        pid = self._pid(unit, host)
        state = self._must(host, "cat", f"/proc/{pid}/stat").rpartition(")")[2].split()[0]
        return f"{host}: {unit}, process {pid}, stands still" if state == "T" else ""

    def _isolate(self, action: Isolate, host: str) -> str:
        controller, _port, _own, ssh_port = str(self._crew.call(host, "address")).split()
        cut = cut_of(action, host, self._expected, self._plan)
        rules = ruleset(cut, controller, int(ssh_port))
        self._undo.append(("isolation", lambda: self._crew.call(host, "undo", name="isolation")))
        mute = self._plan.virtual_ips if cut.total and host in self._expected.balancers else []
        unheard = self._crew.call(host, "isolate", rules=rules, seconds=self._plan.dead_man, mute=mute)
        if cut.total and unheard:
            self._cut_since[host] = self._now()
        return self._await(lambda: self._dropping(host), f"{host}: no packet was dropped")

    def _dropping(self, host: str) -> str:
        seen = self._crew.call(host, "dropped")
        return f"{host}: packets are being dropped" if seen["packets"] else ""

    def _service_down(self, unit: str, host: str) -> str:
        undo = ["sh", "-c", f"systemctl unmask --runtime {unit}; systemctl start --no-block {unit}"]
        name = f"service-{unit.removesuffix('.service')}"
        self._undo.append((f"{unit} on {host}", lambda: self._crew.call(host, "undo", name=name)))
        self._crew.call(host, "arm", name=name, seconds=self._plan.dead_man, undo=undo)
        script = f"systemctl mask --runtime {unit} && systemctl kill --signal=KILL {unit}"
        self._must(host, "sh", "-c", script)
        return self._await(lambda: self._down(unit, host), f"{host}: {unit} still runs")

    def _down(self, unit: str, host: str) -> str:
        shown = self._must(host, "systemctl", "show", "--property=MainPID", "--value", unit).strip()
        return f"{host}: {unit} has no process" if shown == "0" else ""

    def _kill(self, action: Kill, host: str) -> str:
        pid = self._pid(action.what, host)
        identity = self._identity(host, pid)
        if action.what in {"haproxy.service", "keepalived.service"}:
            self._must(host, "systemctl", "kill", f"--signal={action.signal}", action.what)
        else:
            owner = AS_POSTGRES if action.what in DATABASE_PROCESSES else ()
            self._must(host, *owner, "kill", f"-{action.signal}", pid)
        return self._await(
            lambda: f"{host}: {action.what}, process {pid}, is gone" if self._identity(host, pid) != identity else "",
            f"{host}: process {pid} of {action.what} survived",
        )

    def _pid(self, what: str, host: str) -> str:
        if what == "postmaster":
            file = f"{self._plan.topology['postgresql']['data_directory']}/postmaster.pid"
            return self._must(host, *AS_POSTGRES, "head", "-n1", file).strip()
        if what == "backend":
            rows = self._crew.call(host, "sql", statement=BACKEND, values=[], seconds=5.0)
            if not rows:
                raise NotProvenError(f"{host}: no backend of the drill's clients to hit")
            return str(rows[0][0])
        pid = self._must(host, "systemctl", "show", "--property=MainPID", "--value", what).strip()
        if pid == "0":
            raise NotProvenError(f"{host}: {what} does not run")
        return pid

    def _identity(self, host: str, pid: str) -> str:
        """Return what tells a process from a later one with its number, "" when it is gone or a zombie."""
        stat = str(self._crew.call(host, "run", argv=["cat", f"/proc/{pid}/stat"])["out"])
        fields = stat.rpartition(")")[2].split()
        return fields[19] if fields and fields[0] not in "ZX" else ""

    def _switch_over(self, view: View) -> str:
        if self._plan.topology.get("pooler"):
            databases = self._expected.databases
            self._undo.append(("poolers", lambda: self._crew.call_all(databases, "undo", name="poolers")))
            self._crew.call_all(databases, "arm", name="poolers", seconds=self._plan.dead_man, undo=list(RESUME))
        done = self._crew.call(view.leader, "switchover", SWITCHOVER_PATIENCE, params=switchover_params(self._plan))
        phases = ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in done["seconds"].items())
        return f"{done['leader']} took over: {phases}"

    def _folder(self, action: FillDisk) -> str:
        data = str(self._plan.topology["postgresql"]["data_directory"])
        return f"{data}/pg_wal" if action.wal else data

    def _fill(self, action: FillDisk, host: str) -> str:
        folder = self._folder(action)
        free, block = map(int, self._must(host, "stat", "-Lfc", "%a %S", folder).split())
        filler = f"{folder}/holdfast-drill-filler"
        self._undo.append(("filler", lambda: self._crew.call(host, "undo", name="filler")))
        self._crew.call(
            host, "arm", name="filler", seconds=self._plan.dead_man, undo=[*AS_POSTGRES, "rm", "-f", filler]
        )
        self._must(host, *AS_POSTGRES, "sh", "-c", FILL, filler, str(free * block))
        left = int(self._must(host, "stat", "-Lfc", "%a", folder).strip())
        if left:
            raise NotProvenError(f"{host}: {left} blocks are left on the volume of {folder}")
        return f"{host}: no block left on the volume of {folder}"

    def _must(self, host: str, *argv: str) -> str:
        done = self._crew.call(host, "run", 40.0, argv=list(argv))
        if done["code"]:
            raise NotProvenError(f"{host}: {' '.join(argv[:4])}: {done['err'].strip() or done['code']}")
        return str(done["out"])

    @staticmethod
    def _await(holds: Callable[[], str], otherwise: str) -> str:
        deadline = time.monotonic() + PROOF_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(SessionLostError):
                proof = holds()
                if proof:
                    return proof
            time.sleep(POLL_SECONDS)
        raise NotProvenError(otherwise)
