# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories of a host's components, and those that conflict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.host_preflight import Finding
from ansible_collections.holdfast.ha.plugins.module_utils.places import holds, overlaps
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.declared import etcd_directory, wished_repositories
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.job_rules import (
    DEFAULTS,
    KINDS,
    VARIABLE,
    local_repository,
)

DATA = "ha.postgresql.data_directory"


@dataclass(frozen=True)
class Directory:
    """A directory and the variable that names it; only its owner and root may read it."""

    variable: str
    path: str
    owner: str


def directory_findings(ha: Mapping[str, Any], variables: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield each directory of a host that conflicts with another.

    variables: evaluated and of the right types, with the defaults of the role pgbackrest.
    """
    for one, other in combinations(directories_of(ha, variables), 2):
        if overlaps(one.path, other.path) and not may_overlap(one, other):
            value = f"{other.path} overlaps with {one.path}, {one.variable}, which {one.owner} has"
            yield Finding(other.variable, value, "give each of them a directory of its own")


def may_overlap(one: Directory, other: Directory) -> bool:
    """Say whether both owners can reach their directories, and PostgreSQL's data directory holds nothing else."""
    outer, inner = (one, other) if holds(one.path, other.path) else (other, one)
    alone = outer.variable == DATA or (outer.path == inner.path and inner.variable == DATA)
    reached = outer.owner == inner.owner or (inner.owner == "root" and outer.path != inner.path)
    return reached and not alone


def directories_of(ha: Mapping[str, Any], variables: Mapping[str, Any]) -> Iterator[Directory]:
    """Yield the directories of a host's components."""
    if ha.get("postgresql") and "postgresql" in ha["components"]:
        yield Directory(DATA, ha["postgresql"]["data_directory"], "postgres")
    if ha.get("etcd") and "etcd" in ha["components"]:
        yield from _of_etcd(ha["etcd"], variables)
    kinds = (ha.get("backup") or {}).get("kinds") or ()
    if kinds:
        yield Directory("pgbackrest_log_path", str(variables["pgbackrest_log_path"]), "postgres")
    if "database" in kinds:
        yield Directory("pgbackrest_spool_path", str(variables["pgbackrest_spool_path"]), "postgres")
    if "repository" in kinds:
        for item in wished_repositories(variables):
            if item["type"] == "posix":
                yield Directory(item["path_variable"], item["path"], "postgres")
    for job in variables.get(VARIABLE) or ():
        yield from _of_job(job)


def _of_etcd(etcd: Mapping[str, Any], variables: Mapping[str, Any]) -> Iterator[Directory]:
    settings = variables.get("etcd_settings") or {}
    given = {
        "etcd_data_directory": etcd_directory(etcd, variables),
        "etcd_settings.ETCD_DATA_DIR": settings.get("ETCD_DATA_DIR"),
        "etcd_settings.ETCD_WAL_DIR": settings.get("ETCD_WAL_DIR"),
    }
    if given["etcd_settings.ETCD_DATA_DIR"]:
        del given["etcd_data_directory"]
    yield from (Directory(variable, str(path), "etcd") for variable, path in given.items() if path)


def _of_job(job: Any) -> Iterator[Directory]:
    kind = KINDS.get(str(job.get("kind"))) if isinstance(job, Mapping) else None
    if kind is None:
        return
    path = local_repository(job) or (job.get("directory") or DEFAULTS["directory"] if "directory" in kind.takes else "")
    if path:
        yield Directory(f"{VARIABLE}[{job.get('name')}]", str(path), str(job.get("user") or kind.user))
