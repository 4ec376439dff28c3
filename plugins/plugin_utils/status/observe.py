# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns the hosts' reports into clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.patroni_config import scalar
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.members import undeclared_in_etcd
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import COURSES
from ansible_collections.holdfast.ha.plugins.plugin_utils.maintenance import Maintenance
from ansible_collections.holdfast.ha.plugins.plugin_utils.maintenance import observe as observe_marks
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.outlook import Outlook, outlook
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.model import (
    ArchiveQueue,
    Backup,
    Certificate,
    Cluster,
    Etcd,
    EtcdMember,
    Host,
    Job,
    Member,
    Package,
    Pool,
    PostgreSql,
    Protection,
    Redundancy,
    Repository,
    Store,
    Updates,
    Verification,
    VirtualIp,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.redundancy import endless, heirs, observe_redundancy

SYNCHRONOUS_ROLES = ("sync_standby", "quorum_standby")
Result = Mapping[str, Any]


def observe(reports: Mapping[str, Mapping[str, Any]]) -> list[Cluster]:
    """Return the clusters of reports {host: {ha, unreachable, probes}}, sorted by name."""
    hosts = [
        Host(
            name,
            report["ha"],
            report.get("unreachable"),
            report.get("probes") or {},
            tuple(report.get("own_roles") or ()),
        )
        for name, report in sorted(reports.items())
    ]
    names = sorted({host.ha["cluster"] for host in hosts})
    return [observe_cluster(name, [host for host in hosts if host.ha["cluster"] == name]) for name in names]


def observe_cluster(name: str, hosts: Sequence[Host]) -> Cluster:
    """Return one cluster from its hosts' reports."""
    postgresql, etcd = observe_postgresql(hosts), observe_etcd(hosts)
    configuration = observe_configuration(hosts)
    strict = scalar(configuration.get("synchronous_mode_strict", False)) == "true"
    redundancy = observe_redundancy(hosts, etcd, postgresql, strict)
    return Cluster(
        name=name,
        hosts=tuple(hosts),
        postgresql=postgresql,
        etcd=etcd,
        virtual_ips=tuple(observe_virtual_ips(hosts)),
        pools=tuple(observe_pools(hosts, postgresql)),
        repository=observe_repository(hosts, postgresql.leader if postgresql else None),
        outlook=observe_outlook(hosts, configuration, redundancy, etcd, postgresql) if postgresql else None,
        jobs=tuple(observe_jobs(hosts)),
        certificates=tuple(observe_certificates(hosts)),
        redundancy=tuple(redundancy),
        updates=tuple(observe_updates(hosts)),
        protection=tuple(observe_protection(hosts)),
        maintenance=observe_maintenance(hosts),
    )


def best_view(hosts: Sequence[Host], probe: str, convincing: Callable[[Result], bool]) -> Result | None:
    """Return the first convincing result of a probe, otherwise any result, None without one."""
    views = [view for host in hosts if (view := host.answer(probe))]
    return next((view for view in views if convincing(view)), views[0] if views else None)


def part_of(hosts: Sequence[Host], name: str) -> Any:
    """Return what the topology declares for a part of the cluster, None when it has none."""
    return next((host.ha[name] for host in hosts), None)


def observe_postgresql(hosts: Sequence[Host]) -> PostgreSql | None:
    """Return the members as a host with an agreed view sees them."""
    if not part_of(hosts, "postgresql"):
        return None
    view = best_view(hosts, "postgresql", lambda seen: bool(seen["cluster"].get("agreed"))) or {}
    cluster = view.get("cluster") or {}
    members = sorted(cluster.get("members") or [], key=lambda item: item["name"])
    declared = {member["name"] for member in part_of(hosts, "postgresql")["members"]}
    return PostgreSql(
        leader=cluster.get("leader"),
        paused=bool(cluster.get("paused")),
        members=tuple(parse_member(item) for item in members),
        doubts=tuple(view.get("problems") or ()),
        undeclared=tuple(item["name"] for item in members if item["name"] not in declared),
    )


def parse_member(item: Mapping[str, Any]) -> Member:
    """Return a member of holdfast.ha.patroni_info."""
    synchronous = item["role"] in SYNCHRONOUS_ROLES
    return Member(
        name=item["name"],
        role="standby" if synchronous or item["role"] == "replica" else item["role"],
        state=item["state"],
        timeline=item.get("timeline"),
        lag=item.get("lag"),
        synchronous=synchronous,
        pending_restart=bool(item.get("pending_restart")),
    )


def observe_etcd(hosts: Sequence[Host]) -> Etcd | None:
    """Return the etcd members; one without a report is unhealthy."""
    etcd = part_of(hosts, "etcd")
    if not etcd:
        return None
    view = best_view(hosts, "etcd", lambda seen: any(item["leader"] for item in seen["endpoints"])) or {}
    seen = {item["endpoint"]: item for item in view.get("endpoints") or ()}
    wanted = zip(etcd["members"], etcd["endpoints"], strict=True)
    return Etcd(
        members=tuple(parse_etcd_member(member["name"], seen.get(endpoint)) for member, endpoint in wanted),
        authentication=view.get("auth_enabled"),
        tls=both(view.get("plaintext_refused"), view.get("certificate_required")),
        undeclared=tuple(
            undeclared_in_etcd(
                {url: item["name"] for item in view.get("members") or () for url in item["peer_urls"]}, etcd
            )
        ),
    )


def both(one: bool | None, other: bool | None) -> bool | None:
    """Return whether both hold, None when that is unknown."""
    return None if one is None or other is None else one and other


def parse_etcd_member(name: str, item: Mapping[str, Any] | None) -> EtcdMember:
    """Return a member from an endpoint of holdfast.ha.etcd_info; item is None when no host reported it."""
    if item is None:
        return EtcdMember(name, False, False, "", "no host could ask it")
    error = "" if item["healthy"] else str(item.get("error") or "not healthy")
    return EtcdMember(name, bool(item["healthy"]), bool(item["leader"]), str(item.get("version") or ""), error)


def observe_virtual_ips(hosts: Sequence[Host]) -> Iterator[VirtualIp]:
    """Yield each virtual IP with its holders."""
    balancers = [host for host in hosts if host.has("keepalived")]
    instances = balancers[0].ha["vrrp"]["instances"] if balancers else []
    for instance in instances:
        for address in instance["addresses"]:
            holders = [host.name for host in balancers if address in (host.answer("vrrp") or {}).get("held", ())]
            yield VirtualIp(instance["name"], address, tuple(holders))


def observe_pools(hosts: Sequence[Host], postgresql: PostgreSql | None) -> Iterator[Pool]:
    """Yield each balancer's view of every pool, as far as its HAProxy runs."""
    for host in hosts:
        answer = host.answer("haproxy") or {}
        seen = {pool["name"]: pool for pool in answer.get("pools", ())}
        for wanted in host.ha["pools"] if answer.get("running") else ():
            servers = [server for server in seen.get(wanted["name"], {}).get("servers", ()) if not server["backup"]]
            yield Pool(
                name=wanted["name"],
                port=wanted["port"],
                balancer=host.name,
                up=tuple(sorted(server["name"] for server in servers if server["state"] == "up")),
                down=tuple(sorted(server["name"] for server in servers if server["state"] != "up")),
                expected=expected_servers(wanted, postgresql),
                held=tuple(sorted(server["name"] for server in servers if server["state"] in {"drain", "maint"})),
            )


def expected_servers(pool: Mapping[str, Any], postgresql: PostgreSql | None) -> tuple[str, ...] | None:
    """Return the servers that should be up in a pool, None while the leader is unknown."""
    if pool.get("role") not in {"primary", "standby"}:
        return tuple(sorted(server["name"] for server in pool["servers"]))
    if postgresql is None or postgresql.leader is None:
        return None
    if pool["role"] == "primary":
        return (postgresql.leader,)
    return tuple(sorted(server["name"] for server in pool["servers"] if server["name"] != postgresql.leader))


def observe_configuration(hosts: Sequence[Host]) -> Result:
    """Return Patroni's dynamic configuration, {} when no member returns it."""
    view = best_view(hosts, "postgresql", lambda seen: bool(seen.get("config"))) or {}
    return view.get("config") or {}


def observe_outlook(
    hosts: Sequence[Host],
    configuration: Result,
    redundancy: Sequence[Redundancy],
    etcd: Etcd | None,
    postgresql: PostgreSql,
) -> Outlook:
    """Return the cost of each fault in the cluster's present state."""
    told = {host.name: report for host in hosts if (report := host.answer("timings"))}
    standbys = len(heirs(hosts, postgresql))
    never = endless(redundancy, etcd, postgresql.leader)
    # Without a standby left, the number of all members shows which faults the complete cluster would survive.
    return outlook(hosts[0].ha, told, configuration, COURSES, endless=never, standbys=standbys or None)


def observe_repository(hosts: Sequence[Host], leader: str | None) -> Repository | None:
    """Return the backups as the repository host reports them, None in a cluster without one."""
    host = next((host for host in hosts if host.has("backup")), None)
    if host is None:
        return None
    stanzas = (host.answer("backup") or {}).get("stanzas") or [{}]
    return Repository(
        host=host.name,
        stores=tuple(
            Store(
                name=f"{host.name} repo{stanza['repository']}" if len(stanzas) > 1 else host.name,
                state="ok" if stanza.get("ok") else str(stanza.get("message") or host.failure("backup") or "no answer"),
                backups=parse_backups(stanza.get("last") or {}),
            )
            for stanza in stanzas
        ),
        check=str((host.answer("archive") or {}).get("check") or host.failure("archive") or ""),
        verification=observe_verification(host.answer("verification")),
        queue=observe_queue(hosts, leader),
        silent=tuple(silent_servers(hosts, (host.answer("archive") or {}).get("silent") or ())),
    )


def silent_servers(hosts: Sequence[Host], addresses: Sequence[str]) -> Iterator[str]:
    """Yield the members whose pgBackRest server does not answer although their host does."""
    reached = {host.name for host in hosts if host.unreachable is None}
    for member in (part_of(hosts, "postgresql") or {}).get("members", ()):
        if member["address"] in addresses and member["name"] in reached:
            yield member["name"]


def observe_jobs(hosts: Sequence[Host]) -> Iterator[Job]:
    """Yield the scheduled jobs of holdfast.ha.backup_jobs_info."""
    for host in hosts:
        for item in (host.answer("jobs") or {}).get("jobs", ()):
            record = item.get("record") or {}
            yield Job(
                host=host.name,
                name=item["name"],
                scheduled=bool(item["scheduled"]),
                running=bool(item["running"]),
                result=str(record.get("result") or ""),
                exit_status=str(record.get("exit_status") or ""),
                age=item["age"],
                seconds=record.get("seconds"),
                success_age=item["success_age"],
                allowed=item["allowed"],
                consecutive_failures=int(record.get("consecutive_failures") or 0),
            )


def observe_certificates(hosts: Sequence[Host]) -> Iterator[Certificate]:
    """Yield the certificates of holdfast.ha.certificates_info."""
    for host in hosts:
        for item in (host.answer("certificates") or {}).get("certificates", ()):
            yield Certificate(host.name, item["name"], item["remaining"], item["error"])


def observe_updates(hosts: Sequence[Host]) -> Iterator[Updates]:
    """Yield what waits on each host, as holdfast.ha.rolling_info reports it."""
    for host in hosts:
        answer = host.answer("rolling")
        if answer is not None:
            yield Updates(
                host=host.name,
                packages=tuple(
                    Package(item["name"], item["installed"], item["candidate"], bool(item["security"]))
                    for item in answer["stack"]
                ),
                units=tuple(
                    (item["unit"], tuple(item["reasons"]))
                    for item in answer["units"]
                    if item["active"] and item["reasons"]
                ),
                reboot=tuple(answer["reboot"]["reasons"] or ("required",)) if answer["reboot"]["required"] else (),
            )


def observe_protection(hosts: Sequence[Host]) -> Iterator[Protection]:
    """Yield what upgrades by others may do, as holdfast.ha.protection_info reports it."""
    for host in hosts:
        answer = host.answer("protection")
        if answer is not None:
            yield Protection(
                host=host.name,
                policy=answer["policy"],
                unprotected=tuple(answer["unprotected"]),
                upgradable=tuple(answer["upgradable"]),
                restarts=bool(answer["restarts"]),
                reboots=bool(answer["reboots"]),
            )


def observe_maintenance(hosts: Sequence[Host]) -> tuple[Maintenance, ...]:
    """Return the hosts that are marked as in maintenance, as holdfast.ha.maintenance_info reports it on each."""
    answers = {host.name: (host.answer("maintenance") or {}).get("marks") for host in hosts}
    return observe_marks(answers, answers.keys())


def observe_queue(hosts: Sequence[Host], leader: str | None) -> ArchiveQueue | None:
    """Return the leader's archive queue; that of a former leader is not archived any more."""
    answer = next((host.answer("queue") for host in hosts if host.name == leader), None)
    return None if answer is None else ArchiveQueue(str(leader), answer["waiting"], answer["age"], answer["error"])


def observe_verification(answer: Result | None) -> Verification | None:
    """Return the last verification of holdfast.ha.restore_verify_info; its result is "" when there was none yet."""
    if answer is None:
        return None
    record = answer.get("record") or {}
    return Verification(
        result=str(record.get("result") or ""),
        error=str(record.get("error") or ""),
        backup=str(record.get("backup") or ""),
        age=answer.get("age"),
        passed_age=answer.get("passed_age"),
        canary_age=record.get("canary_age"),
        seconds=float((record.get("seconds") or {}).get("total") or 0),
        megabytes_per_second=float(record.get("megabytes_per_second") or 0),
    )


def parse_backups(last: Mapping[str, Any]) -> tuple[Backup, ...]:
    """Return the newest backup of each type from holdfast.ha.pgbackrest_info."""
    return tuple(
        Backup(kind, item["label"], item["age"], item.get("repository_size"))
        for kind in ("full", "diff", "incr")
        if (item := last.get(kind))
    )
