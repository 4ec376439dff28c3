# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of the role pgbackrest: files and units from a host's inputs and its installed version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.compat.version import LooseVersion
from ansible.module_utils.parsing.convert_bool import boolean

SYSTEMD = "/etc/systemd/system"
WANTS = f"{SYSTEMD}/timers.target.wants"
LIBRARY = "/usr/local/lib/holdfast"
SERVICE = f"{SYSTEMD}/pgbackrest.service"
BACKUP_SERVICE = f"{SYSTEMD}/pgbackrest-backup@.service"
EACH = f"{LIBRARY}/pgbackrest-each"
CANARY = "holdfast-canary"
CANARY_SQL = f"{LIBRARY}/canary.sql"
CANARY_SERVICE = f"{SYSTEMD}/{CANARY}.service"
CANARY_TIMER = f"{SYSTEMD}/{CANARY}.timer"
KEYS = tuple(f"/etc/pgbackrest-repo{number}.key" for number in range(1, 9))
"""Private keys by repository; pgBackRest has eight at most."""

TYPES = ("full", "diff", "incr")
MIB = 2**20
LEAST_QUEUE = 64
"""MiB: several WAL segments."""
USUAL_VERSION = "2.55"
"""Assumed where pgBackRest is not installed yet, as in check mode."""
OWN_DIRECTORY = {"owner": "postgres", "group": "postgres", "mode": "0750"}
PROGRAM = {"mode": "0755"}


@dataclass(frozen=True)
class Inputs:
    """The role's inputs, and what is installed."""

    name: str
    config: str
    kinds: frozenset[str]
    stanza: str
    repository: Mapping[str, Any]
    databases: Sequence[Mapping[str, Any]]
    repositories: Sequence[Mapping[str, Any]]
    plain_repository: Mapping[str, Any]
    tls_address: str
    tls_files: Sequence[str]
    log_path: str
    spool_path: str
    push_queue_max: str
    canary: bool
    schedules: frozenset[str]
    process_max: int
    restore_process_max: int
    version: LooseVersion
    processors: int
    volume_size: int | None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Inputs:
        """Return the inputs from the role's dictionary, whose numbers and booleans may be strings."""
        installed = document["installed"]
        return cls(
            name=str(document["name"]),
            config=str(document["config"]),
            kinds=frozenset(document["kinds"]),
            stanza=str(document["stanza"]),
            repository=document["repository"],
            databases=document["databases"],
            repositories=document["repositories"],
            plain_repository=document["plain_repository"],
            tls_address=str(document["tls_address"]),
            tls_files=document["tls_files"],
            log_path=str(document["log_path"]),
            spool_path=str(document["spool_path"]),
            push_queue_max=str(document["push_queue_max"]),
            schedules=frozenset(document["schedules"]),
            process_max=int(document["process_max"] or 0),
            restore_process_max=int(document["restore_process_max"] or 0),
            canary=boolean(document["canary"] or False),
            version=LooseVersion(document["version"] or installed.get("version") or USUAL_VERSION),
            processors=int(installed.get("processors") or document["processors"]),
            volume_size=installed.get("volume_size"),
        )

    @property
    def is_repository(self) -> bool:
        """Whether this host has the repositories and takes the backups."""
        return "repository" in self.kinds

    @property
    def is_database(self) -> bool:
        """Whether this host runs PostgreSQL."""
        return "database" in self.kinds

    @property
    def several(self) -> bool:
        """Whether there is more than one repository."""
        return len(self.repositories) > 1

    @property
    def has_canary(self) -> bool:
        """Whether this host writes the canary row."""
        return self.is_database and self.canary

    @property
    def scheduled(self) -> list[str]:
        """The types of backup that this host schedules."""
        return [name for name in TYPES if self.is_repository and name in self.schedules]

    @property
    def unscheduled(self) -> list[str]:
        """The other types."""
        return [name for name in TYPES if name not in self.scheduled]

    @property
    def has_each(self) -> bool:
        """Whether scheduled backups go to several repositories."""
        return bool(self.scheduled) and self.several

    @property
    def has_share(self) -> bool:
        """Whether the archive queue is a share of the volume."""
        return self.is_database and self.push_queue_max.endswith("%")


def plan(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of the role's templates, and the parameters of holdfast.ha.component."""
    inputs = Inputs.of(document)
    found = repositories(inputs)
    keys = key_files(found)
    local, remote = databases(inputs)
    return {
        "is_repository": inputs.is_repository,
        "is_database": inputs.is_database,
        "version": str(inputs.version),
        "lacks_sftp": any(item["type"] == "sftp" for item in found) and inputs.version < LooseVersion("2.46"),
        "knows_blocks": inputs.version >= LooseVersion("2.46"),
        "prefers_standby": inputs.version >= LooseVersion("2.54"),
        "repositories": found,
        "several": inputs.several,
        "local": local,
        # archive-push and archive-get serve pg1, so a database on this host comes first.
        "served": local + (remote if inputs.is_repository else []),
        "peers": remote if inputs.is_repository else [inputs.repository],
        "listens": listens(inputs),
        "has_share": inputs.has_share,
        "push_queue_max": push_queue_max(inputs),
        "processes": processes(inputs),
        "scheduled": inputs.scheduled,
        "each": EACH,
        "canary_sql": CANARY_SQL,
        "directories": directories(inputs, found),
        "writable": [inputs.log_path, *posix_paths(inputs, found)],
        "files": [*files(inputs), *keys],
        "absent": absent(inputs, {file["path"] for file in keys}),
        "units": units(inputs),
    }


def repositories(inputs: Inputs) -> list[dict[str, Any]]:
    """Return the repositories; an option that an element omits has the value of the single repository."""
    found = [{**inputs.plain_repository, **item} for item in inputs.repositories or [{}]]
    if len(found) > len(KEYS):
        raise ValueError(f"pgbackrest_repositories has {len(found)} elements: keep {len(KEYS)} at most")
    return [
        {**item, "sftp_private_key_file": item.get("sftp_private_key_file") or path}
        for item, path in zip(found, KEYS, strict=False)
    ]


def key_files(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the files of the private keys that are given."""
    return [
        {
            "path": path,
            "group": "postgres",
            "mode": "0640",
            "content": f"{item['sftp_private_key'].strip()}\n",
            "secret": True,
        }
        for item, path in zip(found, KEYS, strict=False)
        if item.get("sftp_private_key")
    ]


def databases(inputs: Inputs) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return the database on this host, and those on others."""
    local = [item for item in inputs.databases if inputs.is_database and item["name"] == inputs.name]
    remote = [item for item in inputs.databases if item["name"] != inputs.name]
    return local, sorted(remote, key=lambda item: str(item["name"]).lower())


def listens(inputs: Inputs) -> str:
    """Return the TLS server's address: to pgBackRest, * is every IPv4 address, :: every one of both versions."""
    has_ipv6 = any(":" in item["address"] for item in (*inputs.databases, inputs.repository))
    return "::" if inputs.tls_address == "*" and has_ipv6 else inputs.tls_address


def push_queue_max(inputs: Inputs) -> str:
    """Return the size of the archive queue; a share of the volume in whole MiB, "" while the volume is not known."""
    if not inputs.has_share:
        return inputs.push_queue_max
    if inputs.volume_size is None:
        return ""
    share = inputs.volume_size * int(inputs.push_queue_max.removesuffix("%")) // 100
    return f"{max(LEAST_QUEUE, share // MIB)}MiB"


def processes(inputs: Inputs) -> dict[str, int]:
    """Return the numbers of processes for backups, archiving and restores."""
    half = inputs.processors // 2
    return {
        "backup": inputs.process_max or min(inputs.processors, max(2, half)),
        "archive": inputs.process_max or max(1, half),
        "restore": inputs.restore_process_max or inputs.process_max or inputs.processors,
    }


def posix_paths(inputs: Inputs, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the directories of this host's own repositories."""
    return [item["path"] for item in found if inputs.is_repository and item["type"] == "posix"]


def directories(inputs: Inputs, found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the directories of this host."""
    return [
        {"path": inputs.log_path, **OWN_DIRECTORY},
        *([{"path": inputs.spool_path, **OWN_DIRECTORY}, {"path": LIBRARY}] if inputs.is_database else []),
        *({"path": path, **OWN_DIRECTORY} for path in posix_paths(inputs, found)),
    ]


def files(inputs: Inputs) -> list[dict[str, Any]]:
    """Return the files of this host besides its configuration and private keys."""
    return [
        {"path": SERVICE, "template": "pgbackrest.service.j2"},
        *(database_files(inputs) if inputs.is_database else []),
        *(schedule_files(inputs) if inputs.scheduled else []),
    ]


def database_files(inputs: Inputs) -> list[dict[str, Any]]:
    """Return the files of a database host: PostgreSQL's archive commands, and the canary."""
    canary = [
        {"path": CANARY_SQL, "source": "canary.sql"},
        {"path": CANARY_SERVICE, "template": "holdfast-canary.service.j2"},
        {"path": CANARY_TIMER, "template": "holdfast-canary.timer.j2"},
    ]
    return [
        {"path": f"{LIBRARY}/pgbackrest-push", "template": "push.sh.j2", **PROGRAM},
        {"path": f"{LIBRARY}/pgbackrest-get", "source": "get.sh", **PROGRAM},
        *(canary if inputs.has_canary else []),
    ]


def schedule_files(inputs: Inputs) -> list[dict[str, Any]]:
    """Return the files of scheduled backups."""
    return [
        {"path": BACKUP_SERVICE, "template": "pgbackrest-backup@.service.j2"},
        *(
            {
                "path": timer(SYSTEMD, name),
                "template": "pgbackrest-backup@.timer.j2",
                "template_vars": {"pgbackrest__type": name},
            }
            for name in inputs.scheduled
        ),
        *([{"path": EACH, "source": "backup-each.sh", **PROGRAM}] if inputs.has_each else []),
    ]


def timer(directory: str, name: str) -> str:
    """Return the timer of a type of backup, as a path in a directory."""
    return f"{directory}/pgbackrest-backup@{name}.timer"


def absent(inputs: Inputs, keys: set[str]) -> list[str]:
    """Return the paths that must not exist."""
    canary = [CANARY_SQL, CANARY_SERVICE, CANARY_TIMER, f"{WANTS}/{CANARY}.timer"]
    return [
        # "pgbackrest stop" leaves a file that keeps archiving and backups from running until "pgbackrest start".
        f"/run/pgbackrest/{inputs.stanza}.stop",
        "/run/pgbackrest/all.stop",
        *(timer(directory, name) for directory in (SYSTEMD, WANTS) for name in inputs.unscheduled),
        *([] if inputs.scheduled else [BACKUP_SERVICE]),
        *([] if inputs.has_each else [EACH]),
        *(path for path in KEYS if path not in keys),
        *([] if inputs.has_canary else canary),
    ]


def units(inputs: Inputs) -> list[dict[str, Any]]:
    """Return the units of this host."""
    return [
        {"name": "pgbackrest.service", "restart_on": [SERVICE], "reload_on": [inputs.config, *inputs.tls_files]},
        unit(f"{CANARY}.timer", CANARY_TIMER, runs=inputs.has_canary),
        *(
            unit(f"pgbackrest-backup@{name}.timer", timer(SYSTEMD, name), runs=name in inputs.scheduled)
            for name in (*inputs.scheduled, *inputs.unscheduled)
        ),
    ]


def unit(name: str, file: str, *, runs: bool) -> dict[str, Any]:
    """Return a unit that is restarted with its file, or stopped."""
    return {"name": name, "restart_on": [file]} if runs else {"name": name, "state": "stopped", "enabled": False}
