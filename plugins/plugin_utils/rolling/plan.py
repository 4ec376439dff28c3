# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans work that goes host by host, for each cluster."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.patroni_switchover import RefusedError
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling import refusals
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.model import (
    ClusterPlan,
    Left,
    Options,
    Plan,
    Step,
    Survey,
    Waits,
    Work,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.order import backup_runs, steps
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.survey import work_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.model import HANDOVERS, predict, unpredicted
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.judge import rolling_problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.model import Cluster, Host, Problem
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.observe import observe
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.units import duration

SWITCHOVER = "switchover"
HANDOVER = "virtual_ip_handed_over"
OLD_LISTS = 86400
"""Age in seconds from which package lists are told to be old."""
Out = Mapping[str, Sequence[str]]


def plan(
    options: Options,
    reports: Mapping[str, Mapping[str, Any]],
    surveys: Mapping[str, Survey],
    *,
    absent: Collection[str] = (),
    others: Mapping[str, str] | None = None,
) -> Plan:
    """Return the plan for all clusters of a run.

    :arg reports: the status of all hosts of these clusters, as observe() takes it.
    :arg surveys: what each of these hosts needs.
    :arg absent: those of these hosts that take no part in the run.
    :arg others: the cluster of each host of other ones.
    """
    unknown = tuple(refusals.unknown_hosts(options, tuple(reports), others or {}))
    if unknown:
        return Plan(options, (), unknown)
    clusters = observe(reports)
    return Plan(options, tuple(plan_cluster(effective(options, one), one, surveys, absent) for one in clusters))


def effective(options: Options, cluster: Cluster) -> Options:
    """Return the options with the hosts in maintenance as meant to be out, but for the one that goes there."""
    going = options.only if options.verb == "maintenance" else ()
    return replace(options, without=tuple(sorted({*options.without, *cluster.in_maintenance} - {*going})))


def plan_cluster(
    options: Options, cluster: Cluster, surveys: Mapping[str, Survey], absent: Collection[str]
) -> ClusterPlan:
    """Return one cluster's part of the plan. It has no refusals when nothing is to do and every host was asked."""
    hosts = [host for host in cluster.hosts if host.name not in options.without]
    chosen = [host for host in hosts if not options.only or host.name in options.only]
    works = {host.name: work_on(options, cluster, host, surveys) for host in hosts}
    wanted = {host.name: works[host.name] for host in chosen}
    out, problems = look(options, cluster, chosen, surveys)
    absent = {*absent} - {*options.without}
    if options.verb == "maintenance":
        out = {name: signs for name, signs in out.items() if wanted[name]}
    heirs, hindrance = heirs_of(options, cluster)
    turns = steps(present(options, cluster), wanted, out, heirs)
    found = [
        *refusals.unsurveyed([host for host in chosen if host.name not in absent], surveys),
        *(refusals.absent_hosts(cluster, absent) if turns or not set(absent).isdisjoint(wanted) else ()),
    ]
    if turns and not found:
        found = [*problems, *refusals.outages(options, cluster, turns)]
        found += () if problems else stranded(options, turns, out, hindrance, cluster)
    return ClusterPlan(
        name=cluster.name,
        hosts=tuple(host.name for host in cluster.hosts),
        steps=tuple(turns),
        refusals=tuple(found),
        left=tuple(left_over(options, cluster, works, wanted, surveys)),
        notes=tuple(notes(options, cluster, surveys, turns)),
        waits=waits(cluster),
    )


def work_on(options: Options, cluster: Cluster, host: Host, surveys: Mapping[str, Survey]) -> Work:
    """Return what the verb does on a host; a maintenance is only for the named ones."""
    if options.verb == "maintenance" and host.name not in options.only:
        return Work()
    marked = host.name in cluster.in_maintenance
    return work_of(options, surveys[host.name], host.ha["components"], marked=marked)


def present(options: Options, cluster: Cluster) -> Cluster:
    """Return a cluster without the hosts that are meant to be out: nothing goes to them."""
    etcd = cluster.etcd
    if etcd is not None:
        etcd = replace(etcd, members=tuple(one for one in etcd.members if one.name not in options.without))
    return replace(cluster, hosts=tuple(host for host in cluster.hosts if host.name not in options.without), etcd=etcd)


def look(
    options: Options, cluster: Cluster, chosen: Sequence[Host], surveys: Mapping[str, Survey]
) -> tuple[Out, list[Problem]]:
    """Return the host that an interrupted run left out, with the signs, and the cluster's other problems.

    It is a host with such signs whose absence explains all problems: the run can bring it back itself.
    """
    problems = rolling_problems(cluster, options.limits, options.without)
    if problems:
        for host in chosen:
            signs = refusals.left_out(host, surveys[host.name], cluster.hosts)
            away = (*options.without, host.name)
            if signs and host.unreachable is None and not rolling_problems(cluster, options.limits, away):
                return {host.name: signs}, []
    return {}, problems


def heirs_of(options: Options, cluster: Cluster) -> tuple[tuple[str, ...], str]:
    """Return the standbys that may lead, and why none may."""
    if cluster.postgresql is None:
        return (), ""
    try:
        return refusals.heirs(options, cluster), ""
    except RefusedError as error:
        return (), str(error)


def stranded(options: Options, turns: Sequence[Step], out: Out, hindrance: str, cluster: Cluster) -> Iterator[Problem]:
    """Yield the primary's step when no standby can take over.

    A standby that is out comes back before. Where the primary is the only database host, outages() tells.
    """
    members = cluster.hosts[0].ha["postgresql"]["members"] if cluster.postgresql else []
    alone = len({member["name"] for member in members} - set(options.without)) < 2
    for step in turns:
        if step.primary and "postgresql" in step.work.touches and hindrance and not out and not alone:
            yield refusals.no_heir(step, hindrance)


def left_over(
    options: Options,
    cluster: Cluster,
    works: Mapping[str, Work],
    wanted: Mapping[str, Work],
    surveys: Mapping[str, Survey],
) -> Iterator[Left]:
    """Yield what the run does not do: on hosts that were not named, reboots, other packages, hosts that are out."""
    for host in cluster.hosts:
        name, survey = host.name, surveys[host.name]
        if name in options.without:
            yield Left(name, "is meant to be out, and takes no part")
            continue
        if name not in wanted and works[name]:
            yield Left(name, f"{' and '.join(needs(works[name]))}; it was not named")
        if options.verb in {"update", "restart"} and survey.reboot_required:
            reasons = f": {'; '.join(survey.reboot)}" if survey.reboot else ""
            yield Left(name, f"needs a reboot (playbooks/reboot.yml){reasons}")
        more = len(survey.packages.get("system", ())) - len(survey.packages.get(options.scope, ()))
        if options.verb == "update" and options.scope != "system" and more > 0:
            text = f"has {count(more, 'newer package')} outside the scope {options.scope}"
            yield Left(name, f"{text} (-e update_scope=system)")


def needs(work: Work) -> Iterator[str]:
    """Yield what a host needs, in a few words."""
    if work.packages:
        yield f"has {count(len(work.packages), 'package')} to upgrade"
    if work.files:
        yield f"has {count(len(work.files), 'file')} of its certificates to replace"
    if work.reload:
        yield f"has {count(len(work.reload), 'unit')} to reload"
    if work.restart:
        yield f"has {count(len(work.restart), 'unit')} to restart"
    if work.reboot:
        yield "needs a reboot"


def count(number: int, word: str) -> str:
    """Return a number with its word."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def notes(options: Options, cluster: Cluster, surveys: Mapping[str, Survey], turns: Sequence[Step]) -> Iterator[str]:
    """Yield what the user should know beside the steps."""
    if options.verb == "update":
        yield from package_notes({host.name: surveys[host.name] for host in cluster.hosts})
    for step in turns if options.accept_outage else ():
        yield from (f"accepted for {step.host}: {text}" for text in refusals.stops(options, cluster, step))
    disturbed = [step.host for step in turns if "postgresql" in step.work.touches]
    for host in cluster.hosts:
        if host.has("backup") and disturbed and backup_runs(host):
            yield f"a backup runs on {host.name}: it fails if it still runs when {disturbed[0]} is worked on"


def package_notes(surveys: Mapping[str, Survey]) -> Iterator[str]:
    """Yield old package lists, and packages that apt holds back."""
    ages = {name: survey.lists_age for name, survey in surveys.items() if (survey.lists_age or 0) > OLD_LISTS}
    if ages:
        oldest = duration(max(age or 0 for age in ages.values()))
        yield f"package lists are up to {oldest} old on {', '.join(sorted(ages))}; a run without --check reads new ones"
    for name, survey in sorted(surveys.items()):
        if survey.held:
            yield f"held back by apt on {name}: {', '.join(survey.held)}"


def waits(cluster: Cluster) -> Waits:
    """Return the predicted waits."""
    seen = cluster.outlook
    if seen is None or seen.settings is None:
        unknown = seen.unknown if seen else "the cluster has no PostgreSQL, whose hosts report the settings"
        return Waits(unknown=unknown)
    moved = predict(HANDOVERS, seen.settings).get(HANDOVER)
    reasons = [seen.unpredicted.get(SWITCHOVER, ""), unpredicted(HANDOVERS, seen.settings).get(HANDOVER, "")]
    return Waits(
        switchover=seen.predictions.get(SWITCHOVER),
        address=moved,
        unknown="; ".join(filter(None, reasons)),
        held=bool(cluster.hosts[0].ha.get("pooler")),
    )
