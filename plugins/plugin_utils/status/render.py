# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters as text for people and as plain data for machines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import HEADLINES
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto import outlook
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.model import (
    AUTHORITY,
    ArchiveQueue,
    Certificate,
    Cluster,
    Etcd,
    Job,
    Member,
    Pool,
    Problem,
    Redundancy,
    Repository,
    Verification,
    VirtualIp,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.units import duration, size
from ansible_collections.holdfast.ha.plugins.plugin_utils.table import table

CHECKS = {"": "not checked", "passed": "archiving works", "backup_running": "archiving not checked, a backup runs"}
ALARM = re.compile(r"\b(DOWN|FAILED|ENDED|LACKS|NO HOST|STOPPED|NOT SCHEDULED|WITHOUT END)\b")
RED, YELLOW, GREEN = "red", "yellow", "green"
Row = list[str]
Line = tuple[str, str | None]


def as_data(cluster: Cluster, problems: Sequence[Problem], notices: Sequence[Problem] = ()) -> dict[str, Any]:
    """Return a cluster as plain data: healthy, problems, notices, and its parts, None where it has none."""
    parts = ("postgresql", "etcd", "repository")
    return {
        "healthy": not problems,
        "problems": [asdict(problem) for problem in problems],
        "notices": [asdict(notice) for notice in notices],
        **{part: asdict(value) if (value := getattr(cluster, part)) else None for part in parts},
        "virtual_ips": [asdict(virtual) for virtual in cluster.virtual_ips],
        "pools": [asdict(pool) for pool in cluster.pools],
        "jobs": [asdict(job) for job in cluster.jobs],
        "certificates": [asdict(certificate) for certificate in cluster.certificates],
        "redundancy": [asdict(part) for part in cluster.redundancy],
        "updates": [{**asdict(item), "units": dict(item.units)} for item in cluster.updates],
        "protection": [asdict(item) for item in cluster.protection],
        "maintenance": [item.as_data() for item in cluster.maintenance],
        "prediction": outlook.as_data(cluster.outlook) if cluster.outlook else None,
    }


def as_text(cluster: Cluster, problems: Sequence[Problem], notices: Sequence[Problem] = ()) -> str:
    """Return a cluster as an aligned table, the predictions, its problems and its notices below."""
    return "\n".join(text for text, _color in as_lines(cluster, problems, notices))


def as_lines(cluster: Cluster, problems: Sequence[Problem], notices: Sequence[Problem] = ()) -> Iterator[Line]:
    """Yield the lines of as_text(), each with the color of its state, None for most."""
    state = "healthy" if not problems else f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    yield f"Cluster {cluster.name}: {state}", RED if problems else GREEN
    parts = [table(list(rows(cluster)))]
    if cluster.outlook:
        parts += ["", outlook.as_text(cluster.outlook, HEADLINES)]
    for line in "\n".join(parts).splitlines():
        yield line, RED if ALARM.search(line) else None
    for number, problem in enumerate(problems, 1):
        yield from [] if number > 1 else [("", None)]
        yield f"  {number}. {sentence(problem)}", RED
    for number, notice in enumerate(notices):
        yield from [] if number else [("", None), ("Notices:", YELLOW)]
        yield f"  - {sentence(notice)}", YELLOW


def sentence(problem: Problem) -> str:
    """Return a problem on one line."""
    return f"{problem.subject}: {' '.join(problem.text.split())} → {problem.fix}"


def rows(cluster: Cluster) -> Iterator[Row]:
    """Yield the table's rows: part, subject, state, details."""
    for title, items in parts(cluster):
        yield from titled(title, items)


def parts(cluster: Cluster) -> Iterator[tuple[str, list[Row]]]:
    """Yield the parts that the cluster has, with their rows: subject, state, details."""
    if cluster.redundancy:
        yield "redundancy", list(map(redundancy_row, cluster.redundancy))
    if cluster.postgresql:
        yield "postgresql", list(map(member_row, cluster.postgresql.members))
    if cluster.etcd:
        yield "etcd", list(etcd_rows(cluster.etcd))
    yield "virtual IP", list(map(virtual_ip_row, cluster.virtual_ips))
    yield "pool", list(map(pool_row, sorted(cluster.pools, key=lambda pool: pool.port)))
    if cluster.repository:
        yield "backup", list(repository_rows(cluster.repository))
    if cluster.jobs:
        yield "job", list(map(job_row, cluster.jobs))
    if cluster.certificates:
        yield "certificate", list(certificate_rows(cluster.certificates))


def titled(title: str, items: Sequence[Row]) -> Iterator[Row]:
    """Yield rows with the title before the first; a single row that says so when there are none."""
    for number, item in enumerate(items or [["none"]]):
        yield ["" if number else title, *item]


def switch(value: bool | None) -> str:
    """Return on, off or unknown."""
    return "unknown" if value is None else "on" if value else "off"


def redundancy_row(part: Redundancy) -> Row:
    """Return the row of a part's lost and remaining redundancy."""
    faults = "no fault" if part.total == 1 else "no further fault"
    if part.spare > 0:
        faults = f"{part.spare} fault{'s' if part.spare > 1 else ''}"
    bears = f"bears {faults}" if part.spare >= 0 else "STOPPED"
    return [part.name, part.standing, bears, f"LACKS {', '.join(part.lost)}" if part.lost else ""]


def member_row(member: Member) -> Row:
    """Return the row of a PostgreSQL member."""
    role = f"{member.role} ({'synchronous' if member.synchronous else 'asynchronous'})"
    lag = "" if member.role == "leader" else f"lag {size(member.lag)}"
    details = f"timeline {member.timeline or '?'}"
    return [member.name, member.role if member.role == "leader" else role, member.state, details, lag]


def etcd_rows(etcd: Etcd) -> Iterator[Row]:
    """Yield the rows of etcd's members and of its access control."""
    for member in etcd.members:
        role = "leader" if member.leader else "follower" if member.healthy else "down"
        yield [member.name, role, "healthy" if member.healthy else member.error, member.version]
    yield ["clients", f"authentication {switch(etcd.authentication)}", f"TLS {switch(etcd.tls)}"]


def virtual_ip_row(virtual: VirtualIp) -> Row:
    """Return the row of a virtual IP."""
    return [
        virtual.address.split("/")[0],
        f"on {' and '.join(virtual.holders)}" if virtual.holders else "on NO HOST",
    ]


def pool_row(pool: Pool) -> Row:
    """Return the row of a pool on one balancer; a server of another role is not reported as missing."""
    up = f"up {', '.join(pool.up)}" if pool.up else "none up"
    missing = pool.down if pool.expected is None else [name for name in pool.down if name in pool.expected]
    return [f"{pool.name}:{pool.port}", f"on {pool.balancer}", up, f"DOWN {', '.join(missing)}" if missing else ""]


def repository_rows(repository: Repository) -> Iterator[Row]:
    """Yield the rows of the backups by repository."""
    for store in repository.stores:
        if not store.backups or store.state != "ok":
            yield [store.name, store.state]
        for backup in store.backups:
            yield [store.name, backup.type, f"{duration(backup.age)} ago", size(backup.size), backup.label]
    yield [repository.host, "archive", CHECKS.get(repository.check, "FAILED")]
    if repository.queue is not None:
        yield queue_row(repository.queue)
    if repository.verification is not None:
        yield verification_row(repository.host, repository.verification)


def queue_row(queue: ArchiveQueue) -> Row:
    """Return the row of the WAL that waits to be archived."""
    if queue.age is None:
        return [queue.host, "archive queue", "empty"]
    return [queue.host, "archive queue", f"{queue.waiting} waiting", f"the oldest for {duration(queue.age)}"]


def verification_row(host: str, verification: Verification) -> Row:
    """Return the row of the last verified restore."""
    if verification.age is None:
        return [host, "restore", "never verified"]
    if verification.result != "passed":
        return [host, "restore", f"FAILED {duration(verification.age)} ago"]
    took = f"took {verification.seconds:.1f} s"
    if verification.canary_age is not None:
        took += f", RPO {duration(verification.canary_age)}"
    return [host, "restore", f"verified {duration(verification.age)} ago", took, verification.backup]


def job_row(job: Job) -> Row:
    """Return the row of a scheduled job: its last result, when and how long."""
    if not job.scheduled:
        return [job.host, job.name, "NOT SCHEDULED"]
    if job.age is None:
        return [job.host, job.name, "runs" if job.running else "never ran"]
    result = "succeeded" if job.result == "success" else f"FAILED ({job.result})"
    return [
        job.host,
        job.name,
        "runs" if job.running else result,
        f"{duration(job.age)} ago",
        f"took {job.seconds or 0:.1f} s",
    ]


def certificate_rows(certificates: Sequence[Certificate]) -> Iterator[Row]:
    """Yield a row for the authorities and one for each host's certificates; those that end together share a cell."""
    rows: dict[str, list[Certificate]] = {}
    for item in sorted(certificates, key=lambda item: item.name != AUTHORITY):
        rows.setdefault("authority" if item.name == AUTHORITY else item.host, []).append(item)
    for subject, items in rows.items():
        ends: dict[str, list[str]] = {}
        for item in items:
            ends.setdefault(end_text(item.remaining), []).append(item.name)
        yield [subject, *(f"{', '.join(dict.fromkeys(names))}: {text}" for text, names in ends.items())]


def end_text(remaining: int | None) -> str:
    """Return when a certificate ends."""
    if remaining is None:
        return "UNREADABLE"
    return f"ends in {duration(remaining)}" if remaining > 0 else f"ENDED {duration(-remaining)} ago"
