# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why nothing is done on a cluster: each reason names the host or the variable, the value, and the fix."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils import patroni, patroni_switchover
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_config import scalar
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.model import Options, Step, Survey
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.model import Cluster, Host, Problem
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.observe import best_view, observe_configuration

MISSING = "takes no part in this run, so nobody knows its state"


def unknown_hosts(options: Options, known: Collection[str], others: Mapping[str, str]) -> Iterator[Problem]:
    """Yield the named hosts that no cluster of this run has.

    :arg known: the hosts of this run's clusters.
    :arg others: the cluster of each host of other ones.
    """
    for name in options.only:
        if name in known:
            continue
        subject = "rolling_only"
        if name in others:
            text = f"{name} is a host of the cluster {others[name]}, which takes no part in this run"
            yield Problem(subject, text, "give --limit the hosts of that cluster too, or leave it out")
            continue
        near = get_close_matches(name, known, 1) or sorted(known)
        yield Problem(subject, f"{name} is no host of a cluster", f"give some of {', '.join(near)}")


def absent_hosts(cluster: Cluster, absent: Collection[str]) -> list[Problem]:
    """Return the hosts of a cluster that --limit leaves out."""
    fix = "run without --limit; to work on some hosts only, name them: -e rolling_only=HOST,HOST"
    return [Problem(host.name, MISSING, fix) for host in cluster.hosts if host.name in absent]


def unsurveyed(hosts: Sequence[Host], surveys: Mapping[str, Survey]) -> Iterator[Problem]:
    """Yield the hosts of which nobody knows what they need."""
    for host in hosts:
        error = surveys[host.name].error
        if host.unreachable is not None:
            fix = "start the host, or mend its network or SSH; playbooks/remove_host.yml, if it is gone for good"
            yield Problem(host.name, f"unreachable: {host.unreachable}", fix)
        elif error:
            fix = "mend this there, or leave the host out: -e rolling_only=OTHER,HOSTS"
            yield Problem(host.name, f"nobody knows what it needs: {error}", fix)


def outages(options: Options, cluster: Cluster, steps: Sequence[Step]) -> Iterator[Problem]:
    """Yield the parts that stop while a host is out, because they have no other member, unless that is accepted."""
    if options.accept_outage:
        return
    for step in steps:
        for text in stops(options, cluster, step):
            yield Problem(step.host, text, "accept it with -e rolling_accept_outage=true, or add hosts")


def stops(options: Options, cluster: Cluster, step: Step) -> Iterator[str]:
    """Yield what stops while a step's host is out."""
    touches, gone = step.work.touches, {step.host, *options.without}
    if "etcd" in touches and cluster.etcd is not None:
        members = [*(member.name for member in cluster.etcd.members), *cluster.etcd.undeclared]
        left, needed = len(set(members) - gone), len(members) // 2 + 1
        if left < needed:
            yield f"writes stop while it is out: etcd needs {needed} of {len(members)} members, {left} would be left"
    if "postgresql" in touches and cluster.postgresql is not None:
        left = len({member["name"] for member in cluster.hosts[0].ha["postgresql"]["members"]} - gone)
        if left < 1:
            yield "reads and writes stop while it is out: it is the only database host"
        elif left < 2 and strict(cluster):
            yield "writes stop while it is out: no standby is left, and synchronous_mode_strict asks for one"
    if "haproxy" in touches and not {host.name for host in cluster.hosts if host.has("haproxy")} - gone:
        yield "clients can't connect while it is out: no other balancer is left"


def strict(cluster: Cluster) -> bool:
    """Say whether Patroni lets writes wait where no standby confirms them."""
    return scalar(observe_configuration(cluster.hosts).get("synchronous_mode_strict", False)) == "true"


def heirs(options: Options, cluster: Cluster) -> tuple[str, ...]:
    """Return the standbys that may take over from the primary now, the best first. Raises RefusedError."""
    known = switchable(cluster)
    here = tuple(one for one in known.members if one.leads or one.name not in options.without)
    plan = patroni_switchover.plan(replace(known, members=here), observe_configuration(cluster.hosts), None)
    return tuple(member.name for member in plan.heirs)


def switchable(cluster: Cluster) -> patroni.Cluster:
    """Return the PostgreSQL cluster as Patroni's members report it."""
    view = best_view(cluster.hosts, "postgresql", lambda seen: bool(seen["cluster"].get("agreed"))) or {}
    postgresql = cluster.hosts[0].ha["postgresql"]
    urls = dict(zip((item["name"] for item in postgresql["members"]), postgresql["endpoints"], strict=True))
    found = patroni.from_facts(view.get("cluster") or {})
    return replace(found, members=tuple(replace(one, api_url=urls.get(one.name)) for one in found.members))


def no_heir(step: Step, reason: str) -> Problem:
    """Return the refusal of a primary's step whose place nobody can take."""
    return Problem(step.host, f"is the primary, and {reason}", "let a standby catch up first; see playbooks/status.yml")


def left_out(host: Host, survey: Survey, hosts: Sequence[Host]) -> tuple[str, ...]:
    """Return the signs that an interrupted run left a host out: stopped units, and servers that it drained."""
    stopped = [f"{unit.name} does not run" for unit in survey.units if not unit.active]
    return (*stopped, *held_back(host.name, hosts))


def held_back(name: str, hosts: Sequence[Host]) -> Iterator[str]:
    """Yield the balancers on which a run drained a host's server. What an administrator drained, no run brings back."""
    for balancer in hosts:
        found: Sequence[Mapping[str, Any]] = (balancer.answer("haproxy") or {}).get("pools", ())
        servers = [(pool["name"], server) for pool in found for server in pool["servers"] if server["name"] == name]
        pools = [pool for pool, server in servers if server.get("drained")]
        if pools:
            yield f"{balancer.name} holds it back in {', '.join(pools)}"
