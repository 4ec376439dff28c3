# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks before a run: the controller, the hosts' clocks, and the report of all findings."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.etcd_guard import Etcd, Patroni, refusal
from ansible_collections.holdfast.ha.plugins.module_utils.host_preflight import ERROR, WARNING, Finding
from ansible_collections.holdfast.ha.plugins.plugin_utils.secrets_file import secrets_problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.table import table
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import Port, installed_on
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.lease_rules import refused_watch
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import RoleSpec, role_defaults
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.timing import patroni_defaults
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.variables import refused

# ansible-core requires it, so it is installed wherever this runs; ansible-test imports without it.
try:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion, Version
except ImportError:
    pass

Clock = tuple[float, float]
COLLECTION = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class HostFinding:
    """A finding and its host."""

    host: str
    finding: Finding


def expected_ports(ha: Mapping[str, Any], variables: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the TCP ports that a host's components will own, in the format of holdfast.ha.host_preflight.

    variables: the host's variables, which may set a role's ports.
    """
    everywhere = {name for member in ha["members"] for name in member["components"]}
    ports: list[dict[str, Any]] = []
    for component in installed_on(ha["components"], everywhere):
        units = list(component.units)
        is_open = [port for port in component.ports if not port.asked_by or ha[port.asked_by]]
        for port in (port for port in is_open if port.binds != "chosen"):
            addresses = [ha["address"], "127.0.0.1"] if port.binds == "own" else []
            ports.append(_port(port_number(port, component.role, ha, variables or {}), port.service, units, addresses))
        if component.name == "haproxy":
            ports += [_port(pool["port"], "haproxy", units, pool["addresses"]) for pool in ha["pools"]]
    return ports


def port_number(port: Port, role: str, ha: Mapping[str, Any], variables: Mapping[str, Any]) -> int:
    """Return a port's number from the cluster, the host's variables or the role's default."""
    if port.path:
        found: Any = ha
        for key in port.path.split("."):
            found = found[key]
        return int(found)
    return int(variables[port.name] if port.name in variables else role_defaults(COLLECTION, role)[port.name])


def _port(number: int, service: str, units: list[str], addresses: Sequence[str]) -> dict[str, Any]:
    return {"port": number, "component": service, "units": units, "addresses": list(addresses)}


def skew(one: Clock, other: Clock) -> float:
    """Return the minimum difference of two clocks in seconds, each known to lie in an interval."""
    return max(0.0, one[0] - other[1], other[0] - one[1])


def clock_findings(clocks: Mapping[str, Clock], limit: float) -> Iterator[HostFinding]:
    """Yield a finding for each host whose clock certainly differs from another's by more than limit seconds."""
    for host, clock in clocks.items():
        worst, peer = max(((skew(clock, clocks[peer]), peer) for peer in clocks if peer != host), default=(0.0, ""))
        if worst > limit:
            finding = Finding(
                "clock", f"{worst:.1f} s or more from {peer}", "synchronize with systemd-timesyncd or chrony"
            )
            yield HostFinding(host, finding)


def store_findings(stores: Mapping[str, Mapping[str, Any]]) -> Iterator[HostFinding]:
    """Yield a finding for each host of a cluster whose Patroni can't work with the cluster's etcd.

    stores: what holdfast.ha.host_preflight returned as ``store`` on each of the cluster's hosts.
    """
    etcds = {host: Etcd(**store["etcd"]) for host, store in stores.items() if store.get("etcd")}
    for host, store in stores.items():
        if not store.get("patroni"):
            continue
        refused_for = refusal(Patroni(**store["patroni"]), etcds, beside_etcd=host in etcds)
        if refused_for:
            yield HostFinding(host, Finding("versions", *refused_for))


def version_findings(
    ansible: str, requires_ansible: str, collections: Mapping[str, str | None], dependencies: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield the requirements that the controller does not meet.

    collections: {name: version, "" when unknown, None when missing}; dependencies: {name: version specifier}.
    """
    if not satisfies(ansible, requires_ansible):
        yield Finding("ansible-core", ansible, f"install ansible-core {requires_ansible}")
    for name, wanted in dependencies.items():
        found = collections.get(name)
        if found is None:
            yield Finding("collection", f"{name} is missing", f"ansible-galaxy collection install '{name}:{wanted}'")
        elif found and not satisfies(found, wanted):
            fix = f"ansible-galaxy collection install --upgrade '{name}:{wanted}'"
            yield Finding("collection", f"{name} {found}", fix)


def satisfies(version: str, specifiers: str) -> bool:
    """Say whether a version lies in specifiers such as >=2.19.0,<3; as for Ansible itself 2.19.0rc1 counts as 2.19.0.

    Galaxy also writes * for any version and 1.2.3 for ==1.2.3. An invalid version lies in no specifier.
    """
    wanted = [item.strip() for item in specifiers.split(",") if item.strip() != "*"]
    exact = ",".join(f"=={item}" if item[:1].isdigit() else item for item in wanted)
    try:
        return Version(Version(version).base_version) in SpecifierSet(exact)
    except (InvalidVersion, InvalidSpecifier):
        return False


def secrets_findings(variables: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the problems of the evaluated secrets, without their values; the topology refuses missing ones."""
    for problem in secrets_problems(variables):
        yield Finding("secrets", problem, "edit the secrets file (ansible-vault edit)")


def variable_findings(
    variables: Mapping[str, Any], roles: Mapping[str, RoleSpec], *, values_only: bool = False
) -> Iterator[Finding]:
    """Yield the evaluated variables of a host that the roles would refuse; the topology can't evaluate templates."""
    for problem in refused(variables, roles, values_only=values_only):
        yield Finding(problem.variable, problem.what, problem.fix)


def lease_watch_findings(
    ha: Mapping[str, Any], variables: Mapping[str, Any], roles: Mapping[str, RoleSpec]
) -> Iterator[Finding]:
    """Yield conflicts of a cluster's lease watch with a database host's evaluated variables."""
    watch = ha.get("lease_watch")
    if watch and watch["declared"] and "postgresql" in ha["components"]:
        defaults = patroni_defaults(ha["timing"]["profile"], roles["patroni"].defaults)
        for problem in refused_watch(ha["cluster"], watch["seconds"], variables, defaults):
            yield Finding(problem.variable, problem.what, problem.fix)


def topology_findings(hosts: Sequence[str]) -> Iterator[Finding]:
    """Yield a finding when the inventory has no cluster."""
    if not hosts:
        yield Finding(
            "topology",
            "no host has a cluster",
            "give -i the folder that holds topology.ha.yml beside hosts.yml",
        )


def authority_findings(directories: Mapping[str, str]) -> Iterator[HostFinding]:
    """Yield the hosts of a cluster whose authority differs from that of its first host.

    :arg directories: the value of C(certificates_ca_directory) by host.
    """
    first = min(directories, default="")
    for host, directory in sorted(directories.items()):
        if directory != directories[first]:
            value = f"{directory}, but {directories[first]} on {first}: they would not trust each other"
            yield HostFinding(host, Finding("certificates_ca_directory", value, "give the whole cluster one directory"))


def report(hosts: int, found: Sequence[HostFinding]) -> str:
    """Return the findings as text, errors first; equal findings of several hosts share a line."""
    counts = {level: sum(item.finding.level == level for item in found) for level in (ERROR, WARNING)}
    head = f"Preflight: {hosts} hosts, {counts[ERROR]} errors, {counts[WARNING]} warnings"
    ordered = sorted(found, key=lambda item: (item.finding.level, item.finding.check, item.finding.value))
    rows = [
        [finding.level, ",".join(item.host for item in items), finding.check, f"{finding.value} → {finding.fix}"]
        for finding, items in itertools.groupby(ordered, key=lambda item: item.finding)
    ]
    return "\n".join([head, table(rows)] if rows else [head])


def errors(found: Iterable[HostFinding]) -> list[HostFinding]:
    """Return the findings that stop the work."""
    return [item for item in found if item.finding.level == ERROR]
