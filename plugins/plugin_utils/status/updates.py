# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What waits for a playbook, and what upgrades by others may do: notices, because such a cluster is healthy."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from ansible_collections.holdfast.ha.plugins.module_utils.protection import FOREIGN
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.model import Cluster, Host, Problem, Protection

Key = TypeVar("Key", bound=Hashable)
UPDATE = "run playbooks/update.yml"
RESTART = "run playbooks/restart.yml"
REBOOT = "run playbooks/reboot.yml"
PROTECT = "run playbooks/packages.yml with packages_protection: true"
ANSWER = "let /usr/sbin/policy-rc.d answer 101 for them, or remove it and run playbooks/packages.yml"
NO_REBOOT = 'set Unattended-Upgrade::Automatic-Reboot "false" there, and run playbooks/reboot.yml instead'
SHOWN = 5
"""The greatest number of names in a notice."""


def judge_updates(cluster: Cluster) -> Iterator[Problem]:
    """Yield the packages that wait for an update, the units for a restart and the hosts for a reboot."""
    waiting = by_key((package.name, item.host) for item in cluster.updates for package in item.packages)
    if waiting:
        safer = {package.name for item in cluster.updates for package in item.packages if package.security}
        text = f"{counted(len(waiting), 'package')} of the stack wait{'s' if len(waiting) == 1 else ''}"
        note = f", {len(safer)} for security" if safer else ""
        yield Problem("updates", f"{text} on {listed(hosts_of(waiting))}{note}: {listed(sorted(waiting))}", UPDATE)
    late = told_already(cluster.hosts)
    units = by_key(
        ((unit, reasons), item.host)
        for item in cluster.updates
        for unit, reasons in item.units
        if (unit, item.host) not in late
    )
    for (unit, reasons), hosts in units.items():
        yield Problem(f"{unit} on {listed(hosts)}", f"needs a restart: {listed(reasons)}", RESTART)
    reboots = by_key((item.reboot, item.host) for item in cluster.updates if item.reboot)
    for reasons, hosts in reboots.items():
        yield Problem(listed(hosts), f"a reboot is pending: {listed(reasons)}", REBOOT)
    yield from unanswered(cluster.hosts, "rolling")


def judge_protection(cluster: Cluster) -> Iterator[Problem]:
    """Yield what upgrades by others may do to the stack, once for all hosts with the same."""
    for (text, fix), hosts in by_key((risk, item.host) for item in cluster.protection for risk in risks(item)).items():
        yield Problem(f"upgrades by others on {listed(hosts)}", text, fix)
    yield from unanswered(cluster.hosts, "protection")


def risks(item: Protection) -> Iterator[tuple[str, str]]:
    """Yield what is not protected on a host, and the fix."""
    if item.unprotected:
        whose = ", as its own policy-rc.d allows" if item.policy == FOREIGN else ""
        fix = ANSWER if item.policy == FOREIGN else PROTECT
        yield f"may restart {listed(item.unprotected)}{whose}", fix
    if item.upgradable:
        yield f"unattended-upgrades replaces {listed(item.upgradable)}", PROTECT
    if item.restarts:
        yield "needrestart may restart services of the stack", PROTECT
    if item.reboots:
        yield "unattended-upgrades reboots hosts by itself", NO_REBOOT


def told_already(hosts: Sequence[Host]) -> set[tuple[str, str]]:
    """Return the units that a problem names already, with their hosts."""
    return {
        ("patroni.service", host.name)
        for host in hosts
        if ((host.answer("timings") or {}).get("patroni") or {}).get("restart_due")
    }


def unanswered(hosts: Sequence[Host], probe: str) -> Iterator[Problem]:
    """Yield why a probe failed, once for all hosts with the same reason."""
    for reason, names in by_key((reason, host.name) for host in hosts if (reason := host.failure(probe))).items():
        yield Problem(listed(names), f"{probe} can't be asked: {reason}", "mend apt there")


def by_key(pairs: Iterable[tuple[Key, str]]) -> dict[Key, list[str]]:
    """Return the hosts by key, both in the order given."""
    found: dict[Key, list[str]] = {}
    for key, host in pairs:
        found.setdefault(key, []).append(host)
    return found


def hosts_of(found: Mapping[str, Sequence[str]]) -> list[str]:
    """Return all hosts of by_key(), sorted."""
    return sorted({host for hosts in found.values() for host in hosts})


def listed(names: Sequence[str]) -> str:
    """Return names with commas, the last ones only counted where there are many."""
    if len(names) <= SHOWN + 1:
        return ", ".join(names)
    return f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
