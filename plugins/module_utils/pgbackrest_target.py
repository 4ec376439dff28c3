# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovery targets, and the backups to restore for them. Nothing here does I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest import Backup, PgBackRestError, Stanza

TARGET_TYPES = ("latest", "immediate", "time", "lsn", "xid", "name")
WITHOUT_VALUE = frozenset({"latest", "immediate"})
RECOVERY_PARAMETER = {kind: f"recovery_target_{kind}" for kind in TARGET_TYPES if kind not in WITHOUT_VALUE}
SEGMENT_BYTES = 16 * 2**20  # initdb's default; pgBackRest does not report another
SEGMENT_NAME = re.compile(r"^[0-9A-F]{24}")
HISTORY_NAME = re.compile(r"^[0-9A-F]{8}\.history$")
SEGMENT_DIRECTORY = re.compile(r"^[0-9A-F]{16}$")
MAX_NAME_BYTES = 63
AT_THE_END = frozenset({"latest", "xid", "name"})
CATCH_UP_SECONDS = 60  # repositories that are in reach are no further apart
QUIET_SECONDS = 120  # two of the canary's periods: within them a cluster that runs commits something
Lineage = Mapping[int, "int | None"]


@dataclass(frozen=True)
class Target:
    """A point to recover to; ``value`` is as PostgreSQL reads it, None for latest and immediate."""

    type: str
    value: str | None = None
    inclusive: bool = True
    timeline: str = "latest"

    def __str__(self) -> str:
        """Return it for people: ``time 2026-01-05 01:00:00+00:00``."""
        return self.type if self.value is None else f"{self.type} {self.value}"


@dataclass(frozen=True)
class ArchiveEnd:
    """The last archived WAL segment and when it arrived (seconds since the epoch); None where unknown."""

    segment: str | None = None
    arrived: int | None = None


@dataclass(frozen=True)
class Point:
    """A backup and its recovery target."""

    backup: Backup
    target: Target


def older_point(
    backups: Sequence[Backup], last: str, written: ArchiveEnd, pick: Callable[[int, int], int], *, timed: bool
) -> Point | None:
    """Return the next point besides the archive's end to verify, or None without any.

    The older backups take turns; *last* is the label of the last one. Recovery goes to a time that *pick* chooses
    between two, if the archive certainly has a transaction of the backup's timeline after it: before *written*, the
    segment and the time of a known write, or well before a later backup's end. Elsewhere, and unless *timed*, it goes
    to where the backup is consistent.

    :arg backups: all of the database, oldest first.
    """
    candidates = [backup for backup in backups[:-1] or backups if not backup.error]
    if not candidates:
        return None
    backup = next((each for each in candidates if each.label > last), candidates[0])
    timeline = backup.wal_stop[:8]
    known = [each.finished - QUIET_SECONDS for each in backups if each.wal_start[:8] == timeline]
    if written.segment and written.segment[:8] == timeline and written.arrived is not None:
        known.append(written.arrived - 1)
    first, latest = backup.finished, max(known)
    if timed and latest > first:
        moment = datetime.fromtimestamp(pick(first, latest), UTC).isoformat(sep=" ")
        return Point(backup, Target("time", moment, timeline="current"))
    if len(backups) == 1:
        return None
    return Point(backup, Target("immediate", timeline="current"))


def parse_target(kind: str, value: str | None, inclusive: bool, timeline: str) -> Target:
    """Return the target that the parameters describe; raise PgBackRestError naming what is wrong with them."""
    given = (value or "").strip()
    if kind in WITHOUT_VALUE:
        if given:
            raise PgBackRestError(f"target {given!r} does not go with the type {kind}; leave it out")
        parsed = None
    elif not given:
        raise PgBackRestError(f"the type {kind} needs a target: restore_target='...'")
    else:
        parsed = _PARSERS[kind](given)
    if not re.fullmatch(r"latest|current|[1-9]\d*", timeline):
        raise PgBackRestError(f"timeline {timeline!r} is none of latest, current and a decimal number")
    return Target(kind, parsed, inclusive, timeline)


def parse_time(text: str) -> datetime:
    """``2026-01-05 01:00:00+00``, ``2026-01-05T01:00:00Z`` -> an aware datetime in UTC."""
    iso = re.sub(r"\s*(Z|UTC)$", "+00:00", text.strip())
    iso = re.sub(r"\s*([+-]\d\d)$", r"\1:00", iso)
    iso = re.sub(r"\.(\d{1,6})", lambda match: f".{match.group(1):0<6}", iso)
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise PgBackRestError(
            f"target time {text!r} is not a time with its offset from UTC; write it like "
            "'2026-01-05 13:00:00+00' or '2026-01-05 14:00:00.25+01:00'"
        )
    return moment.astimezone(UTC)


def parse_lsn(text: str) -> int:
    """``16/B374D848`` -> the byte position."""
    match = re.fullmatch(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})", text)
    if match is None:
        raise PgBackRestError(f"target LSN {text!r} is not of the form 16/B374D848")
    return (int(match.group(1), 16) << 32) | int(match.group(2), 16)


def segment_start(segment: str, segment_bytes: int = SEGMENT_BYTES) -> int:
    """Return the byte position at which a WAL segment begins."""
    return (int(segment[8:16], 16) << 32) + int(segment[16:24], 16) * segment_bytes


def last_directory(names: Iterable[str]) -> str | None:
    """Return the archive's newest directory of WAL segments among a listing's names."""
    return max((name for name in names if SEGMENT_DIRECTORY.match(name)), default=None)


def parse_archive_end(listing: str) -> ArchiveEnd:
    """Return the last segment of what ``pgbackrest repo-ls --output=json`` printed for a directory of segments."""
    try:
        files = {name: entry for name, entry in json.loads(listing).items() if SEGMENT_NAME.match(name)}
        last = max(files, default=None)
        return ArchiveEnd() if last is None else ArchiveEnd(last[:24], files[last].get("time"))
    except (ValueError, TypeError, AttributeError) as error:
        raise PgBackRestError(f"pgbackrest repo-ls: unreadable answer: {listing[:200]!r}") from error


def wanted_timeline(target: Target, names: Iterable[str]) -> int | None:
    """Return the timeline to recover along by a listing of the archive, None for the backup's own.

    A repository that is younger than a timeline has its segments, but no history of it. Raise PgBackRestError for a
    number that the archive doesn't have.
    """
    known = {1, *(int(name[:8], 16) for name in names if HISTORY_NAME.match(name) or SEGMENT_DIRECTORY.match(name))}
    if target.timeline == "current":
        return None
    if target.timeline == "latest":
        return max(known)
    if int(target.timeline) not in known:
        raise PgBackRestError(f"timeline {target.timeline} is not in the archive, which has up to {max(known)}")
    return int(target.timeline)


def parse_lineage(timeline: int, history: str) -> Lineage:
    """Return the timelines that lead to *timeline* by its history file, each with the position where it was left."""
    lines = (line.split("\t") for line in history.splitlines() if re.match(r"\d+\t", line))
    return {int(line[0]): parse_lsn(line[1]) for line in lines} | {timeline: None}


def choose_backup(
    stanza: Stanza, target: Target, end: ArchiveEnd, wanted: str | None, now: int, *, lineage: Lineage | None = None
) -> Backup:
    """Return the backup to restore for *target*; raise PgBackRestError without one.

    The repository does not show whether a transaction id or a named point exists: take the newest backup then, and let
    recovery decide. *wanted* is the label of a backup that the user chose, *now* seconds since the epoch. Backups
    outside the *lineage* of the timeline to recover along don't serve.
    """
    backups = _on_lineage(_usable(stanza, wanted), lineage)
    _refuse_beyond(target, end, now)
    before = [backup for backup in backups if _precedes(backup, target)]
    if before:
        return max(before, key=lambda backup: backup.finished)
    oldest = min(backups, key=lambda backup: backup.finished)
    which = "that backup ends" if wanted else "the oldest backup ends"
    raise PgBackRestError(
        f"{target} lies before every usable backup: {which} at {_shown(oldest.finished)}, LSN {oldest.lsn_stop or '?'} "
        f"({oldest.label}); choose a later target"
    )


def describe_target(target: Target, backup: Backup, end: ArchiveEnd, version: str | None = None) -> dict[str, Any]:
    """Return the target with its backup as plain data, as the restoring side takes it."""
    return {
        **asdict(target),
        "set": backup.label,
        "size": backup.size,
        "backup_type": backup.type,
        "backup_finished": backup.finished,
        "archive_end": end.segment,
        "postgresql_version": version,
        "archive_arrived": end.arrived,
    }


def furthest(target: Target, judged: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the description to use; there is one from each repository with the target, preferred first.

    Where the target may lie at the archive's end, it is the first whose archive reaches as far as any: the others were
    out of reach when the primary was lost.
    """
    arrived = [each["archive_arrived"] or 0 for each in judged]
    if target.type not in AT_THE_END:
        return judged[0]
    return next(each for each, at in zip(judged, arrived, strict=True) if at >= max(arrived) - CATCH_UP_SECONDS)


def _usable(stanza: Stanza, wanted: str | None) -> list[Backup]:
    if wanted is not None:
        chosen = [backup for backup in stanza.backups if backup.label == wanted]
        if not chosen:
            known = ", ".join(backup.label for backup in stanza.backups) or "none"
            raise PgBackRestError(f"stanza {stanza.name} has no backup {wanted}; it has {known}")
        return chosen
    usable = [backup for backup in stanza.current_backups if not backup.error]
    if not usable:
        raise PgBackRestError(f"stanza {stanza.name} has no usable backup to restore: {stanza.message}")
    return usable


def _on_lineage(backups: list[Backup], lineage: Lineage | None) -> list[Backup]:
    """Return the backups from which recovery can go on along the lineage; raise PgBackRestError without any."""
    if lineage is None:
        return backups
    fitting = [backup for backup in backups if _fits(backup, lineage)]
    if not fitting:
        raise PgBackRestError(
            f"no backup lies on the way to timeline {max(lineage)}: {', '.join(backup.label for backup in backups)} "
            "belong to others; see restore_timeline and restore_set"
        )
    return fitting


def _fits(backup: Backup, lineage: Lineage) -> bool:
    timeline = int(backup.wal_stop[:8] or "0", 16)
    if timeline not in lineage:
        return not backup.wal_stop
    left = lineage[timeline]
    return left is None or not backup.lsn_stop or parse_lsn(backup.lsn_stop) <= left


def _refuse_beyond(target: Target, end: ArchiveEnd, now: int) -> None:
    """Raise PgBackRestError for a time or an LSN that the archive does not reach.

    Both times are whole seconds: what lies within such a second may have arrived.
    """
    if target.type == "time" and target.value is not None:
        wanted = int(parse_time(target.value).timestamp())
        if wanted > now:
            raise PgBackRestError(f"{target} lies in the future; it is {_shown(now)}")
        if end.arrived is not None and wanted > end.arrived:
            raise PgBackRestError(
                f"{target} lies after the archive's end: the last WAL segment {end.segment} arrived at "
                f"{_shown(end.arrived)}; choose an earlier target, or restore to the latest"
            )
    if target.type == "lsn" and target.value is not None and end.segment is not None:
        beyond = segment_start(end.segment) + SEGMENT_BYTES
        if parse_lsn(target.value) >= beyond:
            raise PgBackRestError(f"{target} lies after the archive's end, the WAL segment {end.segment}")


def _precedes(backup: Backup, target: Target) -> bool:
    """Return whether recovery from the backup can reach the target: it must be consistent before."""
    if target.type == "time" and target.value is not None:
        return backup.finished <= parse_time(target.value).timestamp()
    if target.type == "lsn" and target.value is not None:
        return not backup.lsn_stop or parse_lsn(backup.lsn_stop) <= parse_lsn(target.value)
    return True


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="seconds")


def _time(text: str) -> str:
    return parse_time(text).isoformat(sep=" ")


def _lsn(text: str) -> str:
    parse_lsn(text)
    return text.upper()


def _xid(text: str) -> str:
    if not re.fullmatch(r"\d{1,20}", text):
        raise PgBackRestError(f"target transaction id {text!r} is not a number, as pg_current_xact_id() returns it")
    return text


def _name(text: str) -> str:
    if len(text.encode()) > MAX_NAME_BYTES or not text.isprintable():
        raise PgBackRestError(f"the restore point's name is longer than {MAX_NAME_BYTES} bytes or not printable")
    return text


_PARSERS: dict[str, Callable[[str], str]] = {"time": _time, "lsn": _lsn, "xid": _xid, "name": _name}
