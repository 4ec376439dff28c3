# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Differences that would lose WAL, backups or snapshots."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.deployed import Deployed
from ansible_collections.holdfast.ha.plugins.module_utils.masking import mask_line
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.declared import (
    RETENTION,
    wished_parameters,
    wished_repositories,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.model import (
    BACKUP_REPOSITORY,
    BACKUP_RETENTION,
    NO_ARCHIVING,
    TAKE_BACK,
    Difference,
    Host,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.job_rules import DEFAULTS

PUSH = "/usr/local/lib/holdfast/pgbackrest-push "
NO_OPERATIONS = frozenset((":", "[", "cd", "echo", "exit", "printf", "sleep", "test", "true"))


def judge_archiving(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield where an archiving cluster would discard its WAL, or send it elsewhere than to its backups."""
    data = deployed.postgresql
    if data is None or "postgresql" not in host.ha["components"] or host.ha["backup"]:
        return
    found = archiver(asdict(data))
    wished = wished_parameters(host.variables)
    kept, served = archiver(wished), data.archive_command.startswith(PUSH)
    if not found or (kept and not served):
        return
    then = kept or ("archive_mode = off" if is_off(wished) else f"archive_command = {wished['archive_command']}")
    lost = "no WAL would follow the backups in the repository" if kept else "WAL would be thrown away"
    variable, fix = f"patroni_parameters.{then.partition(' ')[0]}", TAKE_BACK
    if served:
        variable, fix = "group backup", "put the backup host back into the group backup"
    text = f"found {mask_line(found)}, declared {mask_line(then)} and no backup host: {lost}"
    yield Difference(host.name, variable, text, fix, f"{NO_ARCHIVING}:{host.ha['cluster']}")


def archiver(parameters: Mapping[str, Any]) -> str:
    """Return the parameter that archives WAL, with its value; "" where no WAL is kept."""
    library, command = (str(parameters.get(f"archive_{name}") or "") for name in ("library", "command"))
    if is_off(parameters):
        return ""
    if library:
        return f"archive_library = {library}"
    return "" if keeps_nothing(command) else f"archive_command = {command}"


def is_off(parameters: Mapping[str, Any]) -> bool:
    """Return whether PostgreSQL archives nothing at all."""
    return str(parameters["archive_mode"] or "off").lower() in {"off", "false", "no", "0"}


def keeps_nothing(command: str) -> bool:
    """Return whether a shell command can't archive: it does not take the file's name, or does nothing with it."""
    command = re.sub(r"\d?>+\s*(&\d|/dev/null)", "", command)
    if not re.search("%[pf]", command):
        return True
    words = command.split()
    does_nothing = PurePosixPath(words[0]).name in NO_OPERATIONS or words[-1] == "/dev/null"
    return does_nothing and not re.search(r"[;&|`<>\n]|\$\(", command)


def judge_repositories(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield where backups would start over in another place, or the host has those of another cluster."""
    found, wished = deployed.pgbackrest, host.ha["backup"]
    if found is None or not wished or not wished["kinds"]:
        return
    if found.stanza != wished["stanza"]:
        text = f"pgBackRest serves the stanza {found.stanza} here, declared {wished['stanza']}"
        fix = f"{TAKE_BACK}, a cluster can't be renamed; or give the hosts of {found.stanza} back to it"
        yield Difference(host.name, "clusters", text, fix)
        return
    word = f"{BACKUP_REPOSITORY}:{host.ha['cluster']}"
    elsewhere = set() if "repository" in wished["kinds"] else {wished["repository"]["address"]}
    lost = set(found.hosts) - elsewhere
    if lost:
        text = f"found the repository on {', '.join(sorted(lost))}, declared {wished['repository']['address']}"
        fix = f"{TAKE_BACK}: the backups and the WAL there would not be used any more"
        yield Difference(host.name, "group backup", text, fix, word)
    places = [repository["place"] for repository in wished_repositories(host.variables)]
    gone = [item for item in found.places if item not in places]
    if gone:
        text = f"found a repository in {', '.join(gone)}, declared {', '.join(places)}"
        fix = f"{TAKE_BACK}: the backups and the WAL there would not be used any more"
        yield Difference(host.name, _repository_variable(host), text, fix, word)


def _repository_variable(host: Host) -> str:
    several = "pgbackrest_repositories"
    return several if host.variables.get(several) else "pgbackrest_repository_path"


def judge_emptied(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield repositories that would be created again although they received backups before."""
    if deployed.emptied and host.ha["backup"]:
        text = f"backups were made to {', '.join(deployed.emptied)}, which holds none of the stanza now"
        fix = "mount its volume"
        word = f"{BACKUP_REPOSITORY}:{host.ha['cluster']}"
        yield Difference(host.name, "pgbackrest_repository_path", text, fix, word)


def judge_retention(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield where the next backup would expire backups or WAL that are kept now."""
    found, wished = deployed.pgbackrest, host.ha["backup"]
    if found is None or not wished or "repository" not in wished["kinds"]:
        return
    word = f"{BACKUP_RETENTION}:{host.ha['cluster']}"
    for repository in wished_repositories(host.variables):
        after = repository["retention"]
        before = found.retention.get(repository["place"], after)
        for kind in keeps_less(before, after):
            old, new = (one.get(kind.replace("_", "-")) or "all" for one in (before, after))
            text = f"found {old}, declared {new}: the next backup would expire backups or WAL that are kept now"
            yield Difference(host.name, repository["retention_variable"] + kind, text, TAKE_BACK, word)


def keeps_less(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the options of RETENTION with which a repository would keep less, or count differently."""
    if before.get("full-type", "count") != after.get("full-type", "count"):
        return ["full_type"]
    counts = {kind: [_count(one.get(kind, "")) for one in (before, after)] for kind in RETENTION[1:]}
    return [kind for kind, (old, new) in counts.items() if new < old]


def _count(text: str) -> float:
    return int(text) if text.isdecimal() and int(text) else math.inf


def judge_jobs(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield where the next run of a backup job would remove snapshots that are kept now."""
    for job in (job for job in host.variables.get("backup_jobs") or () if isinstance(job, Mapping)):
        before = deployed.kept.get(str(job.get("name")))
        key = "keep_newest" if job.get("kind") == "etcd_snapshot" else "keep"
        after = job.get(key) or DEFAULTS[key]
        if before is not None and keeps_fewer(before, after):
            text = f"found {before}, declared {after}: the next run would remove snapshots that are kept now"
            word = f"{BACKUP_RETENTION}:{host.ha['cluster']}"
            yield Difference(host.name, f"backup_jobs[{job['name']}].{key}", text, TAKE_BACK, word)


def keeps_fewer(before: Any, after: Any) -> bool:
    """Return whether a job would keep fewer snapshots, by number or by those of each period; {} keeps all."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return isinstance(before, int) and str(after).isdecimal() and int(after) < before
    counts = {period: int(count) for period, count in after.items() if str(count).isdecimal() and int(count)}
    return bool(counts) and (not any(before.values()) or any(counts.get(key, 0) < old for key, old in before.items()))
