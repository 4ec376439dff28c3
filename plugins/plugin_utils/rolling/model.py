# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of work that goes host by host, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.model import Prediction
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.model import Limits, Problem

Verb = Literal["update", "restart", "reboot", "maintenance", "certificates"]
Scope = Literal["stack", "system", "security"]


@dataclass(frozen=True, slots=True)
class Options:
    """What a run was asked for.

    scope: which packages an update upgrades. only: names of hosts, () for all. without: hosts that are meant to be
    out; they take no part. accept_outage: whether writes or connections may stop where a part has no other member.
    force: restart and reboot also what needs none, but no host that has been up for fewer seconds than recent. limits:
    those of the status.
    """

    verb: Verb
    limits: Limits
    scope: Scope = "stack"
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    accept_outage: bool = False
    force: bool = False
    recent: float = 0


@dataclass(frozen=True, slots=True)
class Package:
    """A package to upgrade: its version now, "" where it is not installed, and to come."""

    name: str
    installed: str
    candidate: str


@dataclass(frozen=True, slots=True)
class Unit:
    """A systemd unit of a component; reasons say why its restart is due, reloads why a reload is, () when it is not."""

    component: str
    name: str
    active: bool
    reasons: tuple[str, ...] = ()
    reloads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Survey:
    """A host's result of holdfast.ha.rolling_info, or of holdfast.ha.certificate.

    packages: what each scope would upgrade. reboot: why a reboot is required, () when it is not. held: names of
    packages that apt keeps back. lists_age: seconds since the package lists were read, None when unknown. files: those
    that are to be replaced, with why where that is known. error: why there is no result, "" when there is one.
    """

    packages: Mapping[Scope, tuple[Package, ...]] = field(default_factory=dict)
    units: tuple[Unit, ...] = ()
    reboot_required: bool = False
    reboot: tuple[str, ...] = ()
    up: float | None = None
    held: tuple[str, ...] = ()
    lists_age: int | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """What a host needs.

    restart: units that are due, and those that the new packages will make due. touches: the components that stop
    meanwhile; all of the host's where nobody can tell. reasons: why, one sentence each. stop: units that stop for a
    maintenance; leaves: whether that is still to begin. files: those that are replaced; reload: units that read them
    without a stop.
    """

    packages: tuple[Package, ...] = ()
    restart: tuple[Unit, ...] = ()
    reboot: bool = False
    touches: frozenset[str] = frozenset()
    reasons: tuple[str, ...] = ()
    stop: tuple[Unit, ...] = ()
    leaves: bool = False
    files: tuple[str, ...] = ()
    reload: tuple[Unit, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any."""
        parts = (self.packages, self.restart, self.reboot, self.stop, self.leaves, self.files, self.reload)
        return any(map(bool, parts))


@dataclass(frozen=True, slots=True)
class Step:
    """One host's turn.

    primary, etcd_leader, holds: what the host leads and the addresses that it holds when its turn comes, if nothing
    else changes them. primary_to, etcd_leader_to, holds_to: who may take these over before the work, the likeliest
    first; () where nothing needs to go. out: why the host is out already, left so by an interrupted run.
    backup_running: whether a backup, its verification or another job runs on this repository host.
    """

    cluster: str
    host: str
    work: Work
    primary: bool = False
    etcd_leader: bool = False
    holds: tuple[str, ...] = ()
    primary_to: tuple[str, ...] = ()
    etcd_leader_to: tuple[str, ...] = ()
    holds_to: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    out: tuple[str, ...] = ()
    backup_running: bool = False

    def as_data(self) -> dict[str, Any]:
        """Return the step as plain data."""
        return {
            "cluster": self.cluster,
            "host": self.host,
            "packages": [f"{package.name}={package.candidate}" for package in self.work.packages],
            "restart": [unit.name for unit in self.work.restart],
            "reload": [unit.name for unit in self.work.reload],
            "files": list(self.work.files),
            "stop": [unit.name for unit in self.work.stop],
            "reboot": self.work.reboot,
            "touches": sorted(self.work.touches),
            "primary": self.primary,
            "etcd_leader": self.etcd_leader,
            "holds": list(self.holds),
            "primary_to": list(self.primary_to),
            "etcd_leader_to": list(self.etcd_leader_to),
            "holds_to": {address: list(names) for address, names in self.holds_to.items()},
            "out": bool(self.out),
            "backup_running": self.backup_running,
            "reasons": [*self.out, *self.work.reasons],
        }


@dataclass(frozen=True, slots=True)
class Left:
    """What a run leaves to do on a host."""

    host: str
    text: str

    def as_data(self) -> dict[str, str]:
        """Return it as plain data."""
        return {"host": self.host, "text": self.text}


@dataclass(frozen=True, slots=True)
class Waits:
    """The predicted waits of a switchover and of a virtual IP's move; None for one without a prediction, see unknown.

    held: whether poolers hold their clients during a switchover.
    """

    switchover: Prediction | None = None
    address: Prediction | None = None
    unknown: str = ""
    held: bool = False


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """One cluster's part of a plan. refusals: why nothing is done; notes: what the user should know."""

    name: str
    hosts: tuple[str, ...]
    steps: tuple[Step, ...]
    refusals: tuple[Problem, ...] = ()
    left: tuple[Left, ...] = ()
    notes: tuple[str, ...] = ()
    waits: Waits = Waits()


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole plan: the clusters by name. refusals are those of no cluster."""

    options: Options
    clusters: tuple[ClusterPlan, ...]
    refusals: tuple[Problem, ...] = ()

    @property
    def refused(self) -> tuple[Problem, ...]:
        """All refusals; with any, nothing is done on any host."""
        return (*self.refusals, *(problem for cluster in self.clusters for problem in cluster.refusals))

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, cluster after cluster."""
        return tuple(step for cluster in self.clusters for step in cluster.steps)

    @property
    def left(self) -> tuple[Left, ...]:
        """What the run leaves to do, on all hosts."""
        return tuple(left for cluster in self.clusters for left in cluster.left)
