# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The problems of a cluster, each with its fix."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.members import own_addresses
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.model import REMOVE
from ansible_collections.holdfast.ha.plugins.plugin_utils.maintenance import Maintenance
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.absence import excuse
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.model import (
    AUTHORITY,
    ArchiveQueue,
    Certificate,
    Cluster,
    Etcd,
    Host,
    Job,
    Limits,
    Pool,
    PostgreSql,
    Problem,
    Repository,
    Store,
    Verification,
    VirtualIp,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.units import duration, size
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.updates import judge_protection, judge_updates
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import MONITORS
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.dynamic_configuration import slot_name

RUN_SITE = "run playbooks/site.yml"
LOOK_AT_PATRONI = "look at `journalctl -u patroni` there"
LOOK_AT_BACKUP = "look at /var/log/pgbackrest on the repository host"
LOOK_AT_ARCHIVING = "bring the repository host back; look at /var/log/pgbackrest there"
LOOK_AT_SERVER = "look at `journalctl -u pgbackrest` there; let the repository host reach it (pgbackrest_tls_port)"
VERIFY = "run playbooks/restore_verify.yml; see `journalctl -u holdfast-restore-verify` there"
# The repository host reports the archive; the other probes may be absent.
UNJUDGED = ("archive", "objects", "prometheus", "protection", "queue", "rolling", "timings")
BOUND = "run playbooks/connections.yml; if it comes back, look for another file in /etc/sysctl.d that sets it"
HAVE_FIREWALL = "run playbooks/firewall.yml"
HAVE_FILTER = "`systemctl reload-or-restart keepalived-filter` there"
RESTART_PATRONI = "run playbooks/restart.yml"
AMENDMENTS = "`journalctl -u patroni` there says what they don't fit; see docs/patroni-amendments.md for the versions"
RENEW = "run playbooks/site.yml, which renews a certificate in its last 60 days (certificates_renew_before_days)"
NEW_AUTHORITY = "run playbooks/rotate_authority.yml: docs/certificates.md"
ENDED_AUTHORITY = "run playbooks/site.yml -e certificates_replace_ca=true for all hosts: docs/certificates.md"
KEPT_BY_SLOT = 2**30
"""Bytes of WAL that an idle slot may retain before it is a problem."""
HAVE_SERVE = "give HAProxy's runtime socket there `set server {}/{} state ready`, unless a run is under way"
SERVICES = {"haproxy": "haproxy", "vrrp": "keepalived"}
ROLLING_PROBES = ("etcd", "postgresql", *SERVICES)
"""The probes without which nobody can tell whether the next host may be taken out."""


def judge(cluster: Cluster, limits: Limits, without: Collection[str] = ()) -> list[Problem]:
    """Return the problems of a cluster, [] when it is healthy.

    :arg without: hosts that are meant to be out. They and what follows from their absence are no problem (see
        excuse): etcd may be without a member to spare then, not without a majority.
    """
    seen = excuse(cluster, without)
    return [
        *judge_hosts(seen.hosts),
        *judge_etcd(cluster.etcd, without),
        *judge_etcd_access(cluster.etcd),
        *judge_postgresql(seen.postgresql, limits),
        *pending_restarts(seen.postgresql),
        *idle_slots(seen.hosts, lambda kept: kept >= KEPT_BY_SLOT),
        *judge_services(seen.hosts),
        *judge_monitoring(seen.hosts),
        *restarts_due(seen.hosts),
        *judge_connections(seen.hosts),
        *judge_firewall(seen.hosts),
        *judge_virtual_ips(seen.virtual_ips),
        *judge_adverts(seen.hosts),
        *judge_pools(seen.pools),
        *judge_repository(seen.repository, limits, complete=not without),
        *(problem for job in seen.jobs for problem in judge_job(job, limits)),
        *judge_certificates(seen.certificates, limits),
        *half_in_maintenance(cluster.maintenance),
    ]


def rolling_problems(cluster: Cluster, limits: Limits, without: Collection[str] = ()) -> list[Problem]:
    """Return why the next host of a cluster must not be taken out now, [] when it may be.

    Judged: whether hosts answer, etcd's members, leader and majority, PostgreSQL's leader, standbys, timelines and
    lag, the balancers' services, one holder per virtual IP, the pools, archiving. The rest of the status, such as
    backups' ages, jobs or certificates, does not tell. etcd needs no member to spare here: whether it bears the next
    absence depends on the host, which the plan judges.

    :arg without: hosts that are meant to be out, as for judge(). Their members don't count as healthy, so a majority
        must be left without them. One that leads, or whose servers are still up, is no problem: it may be about to
        be led away.
    """
    seen = excuse(cluster, without)
    return [
        *judge_hosts(seen.hosts, ROLLING_PROBES),
        *judge_etcd(cluster.etcd, without, spare=0),
        *judge_postgresql(seen.postgresql, limits),
        *judge_services(seen.hosts),
        *judge_virtual_ips(seen.virtual_ips),
        *judge_pools(seen.pools),
        *judge_archiving(seen.repository, limits, complete=not without),
    ]


def notices(cluster: Cluster, limits: Limits) -> list[Problem]:
    """Return what will become a problem, what waits, and what is undeclared but harmless."""
    later = [item for item in cluster.certificates if not ends_within(item, limits.certificate_end)]
    slots = idle_slots(cluster.hosts, lambda kept: kept < KEPT_BY_SLOT)
    return [
        *ending(later, limits.certificate_notice),
        *slots,
        *undeclared_objects(cluster.hosts),
        *judge_updates(cluster),
        *judge_protection(cluster),
        *(Problem(item.host, item.text, item.back) for item in cluster.maintenance if item.agreed),
    ]


def judge_hosts(hosts: Sequence[Host], asked: Collection[str] | None = None) -> Iterator[Problem]:
    """Yield the hosts and probes that gave no answer; of the probes only those asked, all if None."""
    for host in hosts:
        if host.unreachable is not None:
            yield Problem(host.name, f"unreachable: {host.unreachable}", "start the host, or mend its network or SSH")
        for probe in host.probes:
            failure = host.failure(probe)
            if failure and probe not in UNJUDGED and (asked is None or probe in asked):
                yield Problem(host.name, f"{probe} can't be asked: {failure}", RUN_SITE)


def judge_etcd(etcd: Etcd | None, without: Collection[str] = (), spare: int = 1) -> Iterator[Problem]:
    """Yield etcd's problems, except for those of members that are meant to be out; see judge_quorum()."""
    if etcd is None:
        return
    for member in etcd.members:
        if not member.healthy and member.name not in without:
            yield Problem(f"etcd {member.name}", member.error, RUN_SITE)
    leaders = [member.name for member in etcd.members if member.leader]
    if len(leaders) != 1:
        shown = "no leader" if not leaders else f"several leaders: {', '.join(leaders)}"
        yield Problem("etcd", shown, "bring a majority of its members up and let them reach each other")
    for name in etcd.undeclared:
        if name not in without:
            text = "is a member that the inventory lacks, and counts for the quorum"
            yield Problem(f"etcd {name}", text, f"put the host back into the group, or run {REMOVE}{name}")
    yield from judge_quorum(etcd, without, spare)


def judge_quorum(etcd: Etcd, without: Collection[str] = (), spare: int = 1) -> Iterator[Problem]:
    """Yield a problem when an etcd with a leader tolerates fewer than spare further faults, by its own member list.

    Members that are meant to be out count for the majority, not as healthy, and use the spare ones up.
    """
    names = [*(member.name for member in etcd.members), *etcd.undeclared]
    out = [name for name in names if name in without]
    healthy = sum(member.healthy for member in etcd.members if member.name not in without)
    needed = len(names) // 2 + 1
    if len(names) > 1 and healthy < needed + (0 if out else spare) and any(member.leader for member in etcd.members):
        head = f"writes stop without {', '.join(out)}" if out else "one more fault stops writes"
        text = f"{head}: {healthy} of {len(names)} members are known to be healthy, {needed} are needed"
        yield Problem("etcd", text, "bring the others back, or let those go that are gone for good")


def judge_etcd_access(etcd: Etcd | None) -> Iterator[Problem]:
    """Yield how strangers get into etcd."""
    if etcd is not None and etcd.authentication is False:
        yield Problem("etcd", "authentication is off", RUN_SITE)
    if etcd is not None and etcd.tls is False:
        yield Problem("etcd", "clients get in without TLS or certificate", RUN_SITE)


def judge_postgresql(postgresql: PostgreSql | None, limits: Limits) -> Iterator[Problem]:
    """Yield replication's problems: those that Patroni reports, and values beyond the limits."""
    if postgresql is None:
        return
    if not postgresql.members:
        yield Problem("postgresql", "no member answers", f"mend etcd first, then {RUN_SITE}")
        return
    for doubt in postgresql.doubts:
        yield Problem("postgresql", doubt, LOOK_AT_PATRONI)
    for name in postgresql.undeclared:
        text = f"{name} is a member that the inventory lacks: it may become leader, and no pool includes it"
        yield Problem("postgresql", text, f"put the host back into the group, or run {REMOVE}{name}")
    standbys = [member for member in postgresql.members if member.state == "streaming"]
    if postgresql.leader and not standbys and len(postgresql.members) > 1:
        yield Problem("postgresql", "one more fault stops writes: no standby streams", LOOK_AT_PATRONI)
    if postgresql.paused:
        yield Problem("postgresql", "Patroni is paused: no failover", "run `patronictl resume`")
    for member in postgresql.members:
        if member.lag is not None and member.lag > limits.lag:
            text = f"{size(member.lag)} behind the leader, {size(limits.lag)} is the limit"
            yield Problem(member.name, text, LOOK_AT_PATRONI)


def half_in_maintenance(marked: Sequence[Maintenance]) -> Iterator[Problem]:
    """Yield the hosts of which only a minority says that they are in maintenance: a run did not end."""
    for item in marked:
        if not item.agreed:
            yield Problem(item.host, item.divided, item.end)


def pending_restarts(postgresql: PostgreSql | None) -> Iterator[Problem]:
    """Yield the members whose changed parameters await a restart."""
    for member in postgresql.members if postgresql else ():
        if member.pending_restart:
            yield Problem(member.name, "needs a restart for changed parameters", RUN_SITE)


def primary_objects(hosts: Sequence[Host]) -> tuple[Host, Mapping[str, Any]] | None:
    """Return the primary with its roles, databases and slots; None when the primary is unknown."""
    answers = ((host, host.answer("objects") or {}) for host in hosts)
    return next(((host, answer) for host, answer in answers if answer.get("primary")), None)


def idle_slots(hosts: Sequence[Host], told: Callable[[int], bool]) -> Iterator[Problem]:
    """Yield the primary's slots without a consumer or a declaration, if their retained bytes are known."""
    found = primary_objects(hosts)
    if found is None:
        return
    host, objects = found
    config: Mapping[str, Any] = (host.answer("postgresql") or {}).get("config") or {}
    declared = {slot_name(member["name"]) for member in host.ha["postgresql"]["members"]}
    declared |= {*(config.get("slots") or {}), *(item.get("name") for item in config.get("ignore_slots") or ())}
    for slot in objects["slots"]:
        kept = slot["retained"] or 0
        if not slot["active"] and slot["name"] not in declared and told(kept):
            text = f"it has no consumer, is not declared, and retains {size(kept)} of WAL on {host.name}"
            drop = f"SELECT pg_drop_replication_slot('{slot['name']}') there"
            fix = f"{drop}, or declare it in patroni_dynamic_configuration"
            yield Problem(f"replication slot {slot['name']}", text, fix)


def undeclared_objects(hosts: Sequence[Host]) -> Iterator[Problem]:
    """Yield the SQL roles and databases that exist but are not declared."""
    for host, objects in filter(None, [primary_objects(hosts)]):
        for kind, known in (("roles", host.own_roles), ("databases", ())):
            declared = {item["name"] for item in host.ha["postgresql"][kind]}
            names = [name for name in objects[kind] if name not in declared and name not in known]
            if names:
                where = f"clusters.{host.ha['cluster']}.{kind}"
                yield Problem(f"SQL {kind}", f"not declared: {', '.join(names)}", f"add them to {where}, or drop them")


def judge_services(hosts: Sequence[Host]) -> Iterator[Problem]:
    """Yield the balancers' services that don't run."""
    for host in hosts:
        for probe, service in SERVICES.items():
            answer = host.answer(probe)
            if answer is not None and not answer.get("running"):
                yield Problem(host.name, f"{service} does not run", RUN_SITE)


def judge_monitoring(hosts: Sequence[Host]) -> Iterator[Problem]:
    """Yield the services of the monitoring that don't run: nobody would be told of what they watch."""
    for host in hosts:
        for item in (host.answer("rolling") or {}).get("units", ()):
            if item["component"] in MONITORS and not item["active"]:
                name = item["unit"].removesuffix(".service")
                yield Problem(host.name, f"{name} does not run", f"look at `journalctl -u {name}` there; {RUN_SITE}")


def restarts_due(hosts: Sequence[Host]) -> Iterator[Problem]:
    """Yield each Patroni that runs with outdated files, or unamended."""
    for host in hosts:
        patroni = (host.answer("timings") or {}).get("patroni") or {}
        if patroni.get("restart_due"):
            yield Problem(host.name, "Patroni has run since before its files changed", RESTART_PATRONI)
        elif patroni.get("unchanged"):
            yield Problem(host.name, "Patroni runs without its amendments", AMENDMENTS)


def judge_connections(hosts: Sequence[Host]) -> Iterator[Problem]:
    """Yield the hosts whose kernel does not have the settings that were laid down."""
    for host in hosts:
        settings = (host.answer("timings") or {}).get("connections") or {}
        wrong = [f"{name} is {item['live']}, not {item['kept']}" for name, item in settings.items() if differs(item)]
        if wrong:
            yield Problem(host.name, "; ".join(wrong), BOUND)


def differs(setting: Mapping[str, str]) -> bool:
    """Say whether the kernel has another value than the file."""
    return setting["live"] != setting["kept"]


def judge_firewall(hosts: Sequence[Host]) -> Iterator[Problem]:
    """Yield the hosts that don't have the firewall that the topology declares, as it was confirmed."""
    for host in hosts:
        answer = host.answer("firewall")
        if answer is None:
            continue
        if not answer["loaded"]:
            yield Problem(host.name, "its firewall is not loaded, and closes no port", HAVE_FIREWALL)
        elif not answer["kept"]:
            yield Problem(host.name, "its firewall is lost at the next boot", HAVE_FIREWALL)
        elif not answer["same"]:
            yield Problem(host.name, "its firewall has other rules than were confirmed", HAVE_FIREWALL)


def judge_virtual_ips(virtual_ips: Sequence[VirtualIp]) -> Iterator[Problem]:
    """Yield the virtual IPs without exactly one holder."""
    for virtual in virtual_ips:
        subject = f"virtual IP {virtual.address.split('/')[0]}"
        if not virtual.holders:
            yield Problem(subject, "no balancer holds it", f"{RUN_SITE}; then look at `journalctl -u keepalived`")
        elif len(virtual.holders) > 1:
            fix = "let the balancers reach each other by VRRP (IP protocol 112)"
            yield Problem(subject, f"held by {' and '.join(virtual.holders)}", fix)


def judge_adverts(hosts: Sequence[Host]) -> Iterator[Problem]:
    """Yield balancers that filter none, and senders of VRRP adverts that are not peers: each may hold the addresses."""
    told: dict[str, list[str]] = {}
    for host in hosts:
        if (host.answer("vrrp") or {}).get("filtered") is False:
            yield Problem(host.name, "doesn't filter VRRP adverts: a stranger's can take virtual IPs", HAVE_FILTER)
        for address in (host.answer("vrrp") or {}).get("strangers", ()):
            told.setdefault(address, []).append(host.name)
    declared = own_addresses(host.ha for host in hosts)
    for address, names in sorted(told.items()):
        text = f"sends VRRP adverts to {' and '.join(names)}, where it is no peer: it may hold virtual IPs"
        back = f"put the host back into the group, or run {REMOVE}NAME -e remove_address={address}"
        yield Problem(address, text, RUN_SITE if address in declared else back)


def judge_pools(pools: Sequence[Pool]) -> Iterator[Problem]:
    """Yield the pools whose servers' states differ from the expected ones."""
    for pool in pools:
        subject = f"pool {pool.name} on {pool.balancer}"
        if pool.expected is None:
            continue
        for name in sorted(set(pool.expected) - set(pool.up)):
            if name in pool.held:
                yield Problem(subject, f"{name} is held back but should serve", HAVE_SERVE.format(pool.name, name))
            else:
                yield Problem(subject, f"{name} is down but should serve", f"see what {name} answers to its check")
        for name in sorted(set(pool.up) - set(pool.expected)):
            yield Problem(subject, f"{name} is up but should not serve", "wait for the next check, then look again")


def judge_repository(repository: Repository | None, limits: Limits, *, complete: bool = True) -> Iterator[Problem]:
    """Yield the backups' problems; complete is as for judge_archiving()."""
    if repository is None:
        return
    for store in repository.stores:
        yield from judge_store(store, limits)
    for name in repository.silent:
        yield Problem(name, "its pgBackRest server does not answer the repository host", LOOK_AT_SERVER)
    yield from judge_archiving(repository, limits, complete=complete)
    if repository.verification is not None and any(store.state == "ok" for store in repository.stores):
        yield from judge_verification(repository.host, repository.verification, limits)


def judge_archiving(repository: Repository | None, limits: Limits, *, complete: bool = True) -> Iterator[Problem]:
    """Yield why the archive is behind, when a repository works.

    :arg complete: whether no host is meant to be out; pgBackRest's check fails where a database host is out.
    """
    if repository is None or all(store.state != "ok" for store in repository.stores):
        return
    if complete and repository.check not in {"", "passed", "backup_running"}:
        yield Problem("archiving", repository.check, LOOK_AT_BACKUP)
    if repository.queue is not None:
        yield from judge_queue(repository.queue, limits)


def judge_store(store: Store, limits: Limits) -> Iterator[Problem]:
    """Yield the problems of the backups in one repository."""
    subject = f"backup on {store.name}"
    if store.state != "ok":
        yield Problem(subject, store.state, RUN_SITE)
        return
    ages = {backup.type: backup.age for backup in store.backups}
    if "full" not in ages:
        yield Problem(subject, "no full backup", RUN_SITE)
    elif ages["full"] > limits.full_age:
        yield Problem(subject, f"last full backup {duration(ages['full'])} ago", LOOK_AT_BACKUP)
    if ages and min(ages.values()) > limits.any_age:
        yield Problem(subject, f"last backup {duration(min(ages.values()))} ago", LOOK_AT_BACKUP)


def judge_queue(queue: ArchiveQueue, limits: Limits) -> Iterator[Problem]:
    """Yield a stalled archive queue: a disaster would lose its WAL, and it fills the leader's disk."""
    if queue.age is not None and queue.age > limits.queue_age:
        text = f"{queue.waiting} WAL files wait, the oldest for {duration(queue.age)}"
        yield Problem(f"archiving on {queue.host}", ": ".join(filter(None, (text, queue.error))), LOOK_AT_ARCHIVING)


def judge_verification(host: str, verification: Verification, limits: Limits) -> Iterator[Problem]:
    """Yield why the newest backup is not proven to be restorable."""
    subject = f"restore verification on {host}"
    if not verification.result:
        yield Problem(subject, "no backup was ever verified", VERIFY)
    elif verification.result != "passed":
        yield Problem(subject, f"backup {verification.backup or '?'}: {verification.error}", VERIFY)
    elif verification.age is not None and verification.age > limits.verified_age:
        yield Problem(subject, f"last done {duration(verification.age)} ago", VERIFY)


def judge_job(job: Job, limits: Limits) -> Iterator[Problem]:
    """Yield a scheduled job's problems; a job that is running may still succeed after a failed run."""
    subject = f"job {job.name} on {job.host}"
    look = "see `journalctl -u 'holdfast-*' -u 'pgbackrest-backup@*'` there"
    if not job.scheduled:
        yield Problem(subject, "its timer does not run", RUN_SITE)
    elif job.result not in {"", "success"}:
        times = f", {job.consecutive_failures} times in a row" if job.consecutive_failures > 1 else ""
        yield Problem(subject, f"failed{times}: {' '.join(filter(None, (job.result, job.exit_status)))}", look)
    elif overdue(job, limits):
        yield Problem(subject, f"overdue: no success for {duration(job.success_age or 0)}", look)


def overdue(job: Job, limits: Limits) -> bool:
    """Say whether a job's last success is older than its schedule allows."""
    if job.running or job.success_age is None or job.allowed is None:
        return False
    return job.success_age > job.allowed + limits.job_margin


def judge_certificates(certificates: Sequence[Certificate], limits: Limits) -> Iterator[Problem]:
    """Yield the certificates that end soon, have ended or can't be read."""
    yield from ending(certificates, limits.certificate_end)
    for item in certificates:
        if item.error:
            yield Problem(f"certificate {item.name} on {item.host}", item.error, RUN_SITE)


def ending(certificates: Sequence[Certificate], seconds: int) -> Iterator[Problem]:
    """Yield one problem for each file that ends within so many seconds on some hosts."""
    soon = [item for item in certificates if ends_within(item, seconds)]
    for name in sorted({item.name for item in soon}):
        found = [item for item in soon if item.name == name]
        first = min(item.remaining or 0 for item in found)
        text = f"ends in {duration(first)}" if first > 0 else f"ended {duration(-first)} ago"
        subject = f"certificate {name} on {', '.join(sorted(item.host for item in found))}"
        replace = NEW_AUTHORITY if first > 0 else ENDED_AUTHORITY
        yield Problem(subject, text, replace if name == AUTHORITY else RENEW)


def ends_within(certificate: Certificate, seconds: int) -> bool:
    """Say whether a certificate ends within so many seconds, or has ended."""
    return certificate.remaining is not None and certificate.remaining < seconds
