#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_target
short_description: Judge a recovery target and find the pgBackRest backup that leads there
version_added: 1.0.0
description:
  - Refuses a target that the repository can't lead to. That is a time or LSN before the oldest backup or after the end
    of the archive, and a backup that is not there, has tablespaces, or does not lie on the way to the timeline.
  - Takes the first repository that leads there. For a target that lies towards the archive's end (V(latest), V(xid),
    V(name)) it leaves out those whose archive ends a minute or more before another's.
  - Whether a transaction id or a named restore point exists, only recovery can tell.
  - Changes nothing. Run it on the repository host.
author: Holdfast contributors (@holdfast)
extends_documentation_fragment:
  - holdfast.ha.pgbackrest
  - holdfast.ha.pgbackrest.stanza
  - holdfast.ha.pgbackrest.reads
options:
  type:
    description:
      - What the target is. V(latest) is the end of the archive, V(immediate) the moment from which the backup is
        consistent.
    type: str
    choices: [latest, immediate, time, lsn, xid, name]
    default: latest
  target:
    description: The time with its offset from UTC, the LSN, the transaction id or the restore point's name.
    type: str
  exclusive:
    description: Whether to stop just before the target instead of just after it.
    type: bool
    default: false
  timeline:
    description: Timeline to recover along; V(latest), V(current) (the backup's) or a number.
    type: str
    default: latest
  repository:
    description: Number of the repository to restore from.
    type: int
  set:
    description: Label of the backup to restore. The newest before the target when unset.
    type: str
seealso:
  - module: holdfast.ha.pgbackrest_restore
"""

EXAMPLES = r"""
- name: See that there is a way to a moment
  holdfast.ha.pgbackrest_target:
    stanza: lab
    type: time
    target: "2026-01-05 13:00:00+00"
  register: judged
"""

RETURN = r"""
target:
  description: The target, with the backup that leads there, as M(holdfast.ha.pgbackrest_restore) takes it.
  returned: success
  type: dict
  sample:
    type: time
    value: "2026-01-05 13:00:00+00:00"
    inclusive: true
    timeline: latest
    set: 20260105-010000F
    size: 31457280
    backup_type: full
    backup_finished: 1767574805
    archive_end: "000000010000000000000007"
    postgresql_version: "17"
    archive_arrived: 1767618000
    repository: 1
"""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest import (
    Backup,
    PgBackRestError,
    Stanza,
    of_repository,
    parse_listing,
)
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_cli import COMMON_SPEC, PgBackRest, client_of
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_target import (
    TARGET_TYPES,
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
    """The archive of the database that a stanza serves now."""

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
        """Return the timelines that lead to the one to recover along, None when any will do."""
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
    """Return the target as one repository leads to it, or raise PgBackRestError."""
    archive = Archive.of(client, stanza)
    end = archive.end()
    backup = choose_backup(stanza, target, end, wanted, int(time.time()), lineage=archive.lineage(target))
    refuse_tablespaces(client, stanza, backup)
    return {
        **describe_target(target, backup, end, stanza.postgresql_version),
        "repository": stanza.repository,
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "stanza": {"type": "str", "required": True},
            "type": {"type": "str", "choices": list(TARGET_TYPES), "default": "latest"},
            "target": {"type": "str"},
            "exclusive": {"type": "bool", "default": False},
            "timeline": {"type": "str", "default": "latest"},
            "repository": {"type": "int"},
            "set": {"type": "str"},
            **COMMON_SPEC,
        },
        supports_check_mode=True,
    )
    if shutil.which("pgbackrest") is None:
        module.fail_json(msg="pgbackrest is not installed on this host, so there is no repository to restore from")
    try:
        module.exit_json(changed=False, target=judge(client_of(module), module.params))
    except PgBackRestError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
