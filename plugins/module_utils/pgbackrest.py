# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pgBackRest's reports on its repository, and the plans that follow from them.

Everything here is pure: text and data in, data out. The commands are run by :mod:`pgbackrest_cli`.
"""

from __future__ import annotations

import configparser
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

BackupType = Literal["full", "diff", "incr"]
StanzaStep = Literal["delete", "create"]
BackupStep = Literal["keep", "take", "wait"]

BACKUP_TYPES: tuple[BackupType, ...] = ("full", "diff", "incr")

# A differential backup rests on a full one and an incremental on either, so a "higher" type serves as well.
SERVES: Mapping[str, frozenset[str]] = {
    "full": frozenset({"full"}),
    "diff": frozenset({"full", "diff"}),
    "incr": frozenset(BACKUP_TYPES),
}

STATUS_OK = 0
STATUS_MISSING_PATH = 1
STATUS_NO_BACKUP = 2
STATUS_MISSING_DATA = 3

# Options that a second process must not share with the host's own.
DROPPED_OPTIONS = ("tls-server-", "lock-path", "log-path", "spool-path")

BACKUP_LABEL = re.compile(r"^\d{8}-\d{6}F(_\d{8}-\d{6}[DI])?$")
# What a creation writes, and what an interrupted one can leave.
CREATED = re.compile(r"^(archive|backup)\.info(\.copy)?(\.pgbackrest\.tmp)?$")


class PgBackRestError(Exception):
    """pgBackRest's state or answer must not, or can't, be converged."""


@dataclass(frozen=True)
class Backup:
    """One backup set; times are seconds since the epoch, sizes are bytes."""

    label: str
    type: str
    started: int
    finished: int
    size: int
    repository_size: int
    database_id: int
    wal_start: str
    wal_stop: str
    error: bool
    lsn_stop: str = ""


@dataclass(frozen=True)
class Wal:
    """The archived WAL segments of one database, first and last."""

    archive_id: str
    minimum: str | None
    maximum: str | None


@dataclass(frozen=True)
class Stanza:
    """A stanza in one repository, which pgBackRest calls repo1, repo2, ..., as ``pgbackrest info`` reports it."""

    name: str
    code: int
    message: str
    locked: bool
    cipher: str
    database_id: int | None
    system_id: str | None
    postgresql_version: str | None
    backups: tuple[Backup, ...]
    wal: tuple[Wal, ...]
    repository: int = 1

    @property
    def exists(self) -> bool:
        """Whether the repository knows the stanza."""
        return self.code in {STATUS_OK, STATUS_NO_BACKUP}

    @property
    def current_backups(self) -> tuple[Backup, ...]:
        """The backups of the stanza's current database, oldest first."""
        return tuple(backup for backup in self.backups if backup.database_id == self.database_id)


@dataclass(frozen=True)
class Database:
    """One of a stanza's databases as pgbackrest.conf has it; options are those of ``pgN-`` without that prefix."""

    index: int
    options: Mapping[str, str]

    @property
    def host(self) -> str:
        """The address of its host, "" for this one."""
        return self.options.get("host", "")

    @property
    def server_port(self) -> str:
        """The port of the host's pgBackRest server."""
        return self.options.get("host-port", "8432")


@dataclass(frozen=True)
class BackupPlan:
    """Whether to take a backup of the wanted type, and the one that already serves."""

    step: BackupStep
    backup: Backup | None = None


def parse_version(text: str) -> str:
    """``pgBackRest 2.55.1`` -> ``2.55.1``."""
    match = re.search(r"\d+(\.\d+)+", text)
    if match is None:
        raise PgBackRestError(f"pgbackrest version: no version in {text!r}")
    return match.group()


def parse_info(text: str) -> tuple[Stanza, ...]:
    """Parse what ``pgbackrest info --output=json`` printed: each stanza as often as there are repositories."""
    try:
        # An error message may hold what a wrong passphrase made of a file.
        documents = json.loads(text, strict=False)
        return tuple(_stanza(document, repository) for document in documents for repository in _repositories(document))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise PgBackRestError(f"pgbackrest info: unreadable answer ({error!r}): {text[:200]!r}") from error


def find_stanzas(stanzas: Iterable[Stanza], name: str) -> tuple[Stanza, ...]:
    """Return the stanza called *name* in every repository, or one that says its path is missing."""
    found = tuple(stanza for stanza in stanzas if stanza.name == name)
    missing = Stanza(name, STATUS_MISSING_PATH, "missing stanza path", False, "none", None, None, None, (), ())
    return found or (missing,)


def of_repository(stanzas: Sequence[Stanza], repository: int | None) -> tuple[Stanza, ...]:
    """Return the stanza in one repository, in all for None; raise PgBackRestError for one that isn't configured."""
    found = tuple(stanza for stanza in stanzas if repository in {None, stanza.repository})
    if not found:
        known = ", ".join(str(stanza.repository) for stanza in stanzas)
        raise PgBackRestError(f"repository {repository} is not configured on this host; choose one of {known}")
    return found


def parse_listing(text: str) -> tuple[str, ...]:
    """Return the names in what ``pgbackrest repo-ls --output=json`` printed, without the listed path itself."""
    try:
        return tuple(sorted(name for name in json.loads(text) if name != "."))
    except (ValueError, TypeError) as error:
        raise PgBackRestError(f"pgbackrest repo-ls: unreadable answer: {text[:200]!r}") from error


def scratch_config(text: str, stanza: str, scratch: str, run: str) -> str:
    """Return a host's pgBackRest configuration, with the scratch directory as its only database.

    *run* takes what it keeps while at work. Settings for reading the repository stay, including its passphrase, so only
    the user may read the file.
    """
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    result = configparser.RawConfigParser()
    result.optionxform = str  # type: ignore[assignment,method-assign]
    for section in parser.sections():
        if section.startswith("global"):
            result[section] = {
                name: value for name, value in parser[section].items() if not name.startswith(DROPPED_OPTIONS)
            }
    if "global" not in result:
        result["global"] = {}
    paths = {"lock-path": f"{run}/lock", "log-path": f"{run}/log", "spool-path": f"{run}/spool"}
    result["global"] = {**result["global"], **paths}
    result[stanza] = {"pg1-path": scratch}
    out = io.StringIO()
    result.write(out, space_around_delimiters=False)
    return out.getvalue()


def parse_databases(text: str, stanza: str) -> tuple[Database, ...]:
    """Return the databases that a pgbackrest.conf gives a stanza, in the order of their indexes."""
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(text)
    found: dict[int, dict[str, str]] = {}
    for name, value in parser[stanza].items() if parser.has_section(stanza) else ():
        if match := re.fullmatch(r"pg(\d+)-(.+)", name):
            found.setdefault(int(match[1]), {})[match[2]] = value
    return tuple(Database(index, options) for index, options in sorted(found.items()))


def only_databases(databases: Sequence[Database], kept: Sequence[Database]) -> tuple[str, ...]:
    """Return the command-line options that leave a stanza only some of its databases, none when it keeps all.

    pgBackRest requires one with the index 1, so the indexes move up.
    """
    if len(kept) == len(databases):
        return ()
    given = {
        f"pg{index}-{name}": value for index, database in enumerate(kept, 1) for name, value in database.options.items()
    }
    configured = [f"pg{database.index}-{name}" for database in databases for name in database.options]
    return (
        *(f"--{name}={value}" for name, value in given.items()),
        *(f"--reset-{name}" for name in configured if name not in given),
    )


def plan_stanza(stanza: Stanza, leftovers: Iterable[str] = ()) -> tuple[StanzaStep, ...]:
    """Return the steps that make the stanza usable.

    *leftovers* are the names found under the stanza's paths in the repository. They matter when pgBackRest no longer
    knows the stanza: an interrupted creation leaves files that only deletion clears. What else there is, such as backup
    sets and archived WAL, is never deleted.
    """
    if stanza.exists:
        return ()
    if stanza.code not in {STATUS_MISSING_PATH, STATUS_MISSING_DATA}:
        raise PgBackRestError(f"stanza {stanza.name}, repository {stanza.repository}: {stanza.message}")
    return _plan_creation(stanza, tuple(leftovers))


def refuse_former_backups(stanza: Stanza) -> None:
    """Raise PgBackRestError if the stanza holds backups of a database other than the primary's.

    An upgrade of the stanza deletes none of them, but every full backup of the new database lets retention expire one.
    """
    if stanza.backups:
        raise PgBackRestError(
            f"stanza {stanza.name}: the primary's database is not the one (system identifier {stanza.system_id}) whose "
            f"{len(stanza.backups)} backups repository {stanza.repository} holds, newest {stanza.backups[-1].label}; "
            "nothing was changed. To have that database back: playbooks/restore.yml -e restore_confirm=CLUSTER. "
            "To start over, or after pg_upgrade: -e pgbackrest_stanza_upgrade=true; the old backups expire one by one"
        )


def plan_backup(stanza: Stanza, wanted: str, max_age: int | None, now: int) -> BackupPlan:
    """Return whether a backup that serves as *wanted* type and is at most *max_age* seconds old must be taken."""
    backup = newest(stanza.current_backups, wanted)
    if backup is not None and (max_age is None or now - backup.finished <= max_age):
        return BackupPlan("keep", backup)
    return BackupPlan("wait" if stanza.locked else "take", backup)


def newest(backups: Iterable[Backup], wanted: str) -> Backup | None:
    """Return the backup that finished last among those that serve as *wanted* type."""
    serving = [backup for backup in backups if backup.type in SERVES[wanted]]
    return max(serving, key=lambda backup: backup.finished, default=None)


def describe_stanza(stanza: Stanza, now: int) -> dict[str, Any]:
    """Return the stanza as plain data with the ages, in seconds, of its newest backups."""
    return {
        "name": stanza.name,
        "repository": stanza.repository,
        "code": stanza.code,
        "message": stanza.message,
        "ok": stanza.code == STATUS_OK,
        "locked": stanza.locked,
        "cipher": stanza.cipher,
        "system_id": stanza.system_id,
        "postgresql_version": stanza.postgresql_version,
        "backups": [describe_backup(backup, now) for backup in stanza.backups],
        "last": {kind: _describe_last(stanza, kind, now) for kind in BACKUP_TYPES},
        "wal": [{"archive_id": wal.archive_id, "min": wal.minimum, "max": wal.maximum} for wal in stanza.wal],
    }


def describe_backup(backup: Backup, now: int) -> dict[str, Any]:
    """Return a backup as plain data with its age and duration in seconds."""
    return {
        "label": backup.label,
        "type": backup.type,
        "started": backup.started,
        "finished": backup.finished,
        "age": now - backup.finished,
        "duration": backup.finished - backup.started,
        "size": backup.size,
        "repository_size": backup.repository_size,
        "wal_start": backup.wal_start,
        "wal_stop": backup.wal_stop,
        "error": backup.error,
    }


def _describe_last(stanza: Stanza, kind: str, now: int) -> dict[str, Any] | None:
    backup = max(
        (backup for backup in stanza.current_backups if backup.type == kind),
        key=lambda backup: backup.finished,
        default=None,
    )
    return None if backup is None else describe_backup(backup, now)


def _plan_creation(stanza: Stanza, leftovers: tuple[str, ...]) -> tuple[StanzaStep, ...]:
    labels = [name for name in leftovers if BACKUP_LABEL.match(name)]
    if labels:
        raise PgBackRestError(
            f"stanza {stanza.name}: {stanza.message}, but repository {stanza.repository} still holds the backup sets "
            f"{', '.join(labels)}; restore the stanza's info files, or move these backups away, and run again"
        )
    if others := [name for name in leftovers if not CREATED.match(name)]:
        raise PgBackRestError(
            f"stanza {stanza.name}: {stanza.message}, but repository {stanza.repository} still holds "
            f"{', '.join(others)}, such as archived WAL; restore the stanza's info files, or, if it is not needed, run "
            f"as postgres on this host pgbackrest --stanza={stanza.name} stop and pgbackrest --stanza={stanza.name} "
            f"--repo={stanza.repository} --force stanza-delete, and run again"
        )
    return ("delete", "create") if leftovers else ("create",)


def _repositories(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return what a stanza's document says of each repository; one that names none has one."""
    return document.get("repo") or [{"key": 1, "cipher": document.get("cipher", "none"), "status": document["status"]}]


def _stanza(document: Mapping[str, Any], repository: Mapping[str, Any]) -> Stanza:
    key = repository["key"]
    databases = [database for database in document.get("db") or [] if database.get("repo-key", 1) == key]
    current: Mapping[str, Any] = max(databases, key=lambda database: database["id"], default={})
    return Stanza(
        name=document["name"],
        code=repository["status"]["code"],
        message=str(repository["status"]["message"]),
        locked=bool(document["status"].get("lock", {}).get("backup", {}).get("held", False)),
        cipher=repository["cipher"],
        database_id=current.get("id"),
        system_id=str(current["system-id"]) if current else None,
        postgresql_version=current.get("version"),
        backups=tuple(_backup(backup) for backup in document.get("backup") or [] if _lies_in(backup, key)),
        wal=tuple(
            Wal(wal["id"], wal.get("min"), wal.get("max"))
            for wal in document.get("archive") or []
            if _lies_in(wal, key)
        ),
        repository=key,
    )


def _lies_in(item: Mapping[str, Any], key: int) -> bool:
    """Whether a backup, or a database's archive, lies in the repository."""
    return bool((item.get("database") or {}).get("repo-key", 1) == key)


def _backup(document: Mapping[str, Any]) -> Backup:
    info = document["info"]
    archive = document.get("archive") or {}
    return Backup(
        label=document["label"],
        type=document["type"],
        started=document["timestamp"]["start"],
        finished=document["timestamp"]["stop"],
        size=info["size"],
        repository_size=info["repository"].get("size", info["repository"]["delta"]),
        database_id=document["database"]["id"],
        wal_start=archive.get("start") or "",
        wal_stop=archive.get("stop") or "",
        error=bool(document.get("error")),
        lsn_stop=(document.get("lsn") or {}).get("stop") or "",
    )
