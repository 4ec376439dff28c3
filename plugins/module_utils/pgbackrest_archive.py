# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks a recovery target against the repositories."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest import (
    Backup,
    PgBackRestError,
    Stanza,
    of_repository,
    parse_listing,
)
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_cli import PgBackRest
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_target import (
    ArchiveEnd,
    Lineage,
    Target,
    choose_backup,
    describe_target,
    furthest,
    last_directory,
    parse_archive_end,
    parse_lineage,
    parse_target,
    wanted_timeline,
)


@dataclass(frozen=True)
class Archive:
    """The archive of a stanza's current database."""

    client: PgBackRest
    repository: int
    root: str | None
    names: tuple[str, ...]

    @classmethod
    def of(cls, client: PgBackRest, stanza: Stanza) -> Archive:
        """Return the stanza's archive, an empty one as long as nothing was archived."""
        known = [wal for wal in stanza.wal if wal.archive_id.endswith(f"-{stanza.database_id}") and wal.maximum]
        if not known:
            return cls(client, stanza.repository, None, ())
        root = f"archive/{stanza.name}/{known[-1].archive_id}"
        return cls(client, stanza.repository, root, parse_listing(client.listing(stanza.repository, root)))

    def end(self) -> ArchiveEnd:
        """Return its last segment."""
        newest = last_directory(self.names)
        if newest is None:
            return ArchiveEnd()
        return parse_archive_end(self.client.listing(self.repository, f"{self.root}/{newest}"))

    def lineage(self, target: Target) -> Lineage | None:
        """Return the timelines that lead to the one to recover along, None if any is allowed."""
        timeline = wanted_timeline(target, self.names) if self.root else None
        if timeline is None:
            return None
        name = f"{timeline:08X}.history"
        if name not in self.names:
            return parse_lineage(timeline, "")
        history = self.client.demand("repo-get", f"--repo={self.repository}", f"{self.root}/{name}")
        return parse_lineage(timeline, history)


def refuse_tablespaces(client: PgBackRest, stanza: Stanza, backup: Backup) -> None:
    """Raise PgBackRestError for a backup with tablespaces: their directories can't be kept aside."""
    options = (f"--repo={stanza.repository}", "--output=json", f"--set={backup.label}")
    text = client.demand("info", *options, stanza=stanza.name)
    try:
        names = [space["name"] for space in json.loads(text)[0]["backup"][0].get("tablespace") or []]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise PgBackRestError(f"pgbackrest info: unreadable answer for {backup.label}: {text[:200]!r}") from error
    if names:
        raise PgBackRestError(
            f"backup {backup.label} has the tablespaces {', '.join(names)}, which lie outside the data directory and "
            "can't be kept aside; restore such a cluster by hand with pgbackrest's --tablespace-map"
        )


def judge(client: PgBackRest, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the judged target as plain data, or raise PgBackRestError."""
    target = parse_target(params["type"], params["target"], not params["exclusive"], params["timeline"])
    stanzas = of_repository(client.repositories(params["stanza"]), params["repository"])
    judged: list[dict[str, Any]] = []
    refusals: list[str] = []
    for stanza in stanzas:
        try:
            judged.append(judge_in(client, stanza, target, params["set"]))
        except PgBackRestError as error:
            refusals.append(f"repository {stanza.repository}: {error}" if len(stanzas) > 1 else str(error))
    if not judged:
        raise PgBackRestError("; ".join(refusals))
    return furthest(target, judged)


def judge_in(client: PgBackRest, stanza: Stanza, target: Target, wanted: str | None) -> dict[str, Any]:
    """Return the target with its backup in one repository, or raise PgBackRestError."""
    archive = Archive.of(client, stanza)
    end = archive.end()
    backup = choose_backup(stanza, target, end, wanted, int(time.time()), lineage=archive.lineage(target))
    refuse_tablespaces(client, stanza, backup)
    return {
        **describe_target(target, backup, end, stanza.postgresql_version),
        "repository": stanza.repository,
    }
