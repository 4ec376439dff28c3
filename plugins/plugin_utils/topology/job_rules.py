# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declared backup jobs: their kinds, options and problems."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.places import of_the_system
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.node import suggestion
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import HIDDEN, Opaque, Problem

VARIABLE = "backup_jobs"
NAME = r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?"
LOCK = r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}"
CALENDAR = r"[A-Za-z0-9*,./:~ _+-]+"
SPAN = r"\d+(\.\d+)?( *(us|ms|s|sec|second|seconds|m|min|minute|minutes|h|hr|hour|hours|d|day|days|w|week|weeks))?"
SPANS = rf"(infinity|{SPAN}( *{SPAN})*)"
USER = r"[a-z_][a-z0-9_-]{0,31}"
MEMORY = r"(|infinity|\d+[KMGT]?|\d+(\.\d+)?%)"
RESERVED = ("restore-verify",)
"""Names under which other jobs are recorded."""

COMMON = (
    "random_delay",
    "catch_up",
    "timeout",
    "retries",
    "retry_delay",
    "nice",
    "io_class",
    "cpu_weight",
    "memory_max",
    "lock",
    "lock_timeout",
    "user",
)
"""Options of every kind; each but the user has a default that is a variable of the role."""


@dataclass(frozen=True)
class Kind:
    """A kind of job: its required and optional keys besides the common ones, and its default user."""

    needs: tuple[str, ...]
    takes: tuple[str, ...] = ()
    user: str = "root"


KINDS = {
    "command": Kind(("commands",), ("environment", "writable_paths")),
    "etcd_snapshot": Kind((), ("directory", "keep_newest"), user="etcd"),
    "files": Kind(
        ("paths", "repository", "password"),
        ("excludes", "one_file_system", "environment", "keep", "check_days", "check_parts", "proof_files", "steady"),
    ),
}
IDENTITY = ("name", "kind", "schedule")
KEYS = (*IDENTITY, *COMMON, *sorted({key for kind in KINDS.values() for key in (*kind.needs, *kind.takes)}))
DEFAULTS: dict[str, Any] = {
    "environment": {},
    "writable_paths": [],
    "directory": "/var/backups/etcd",
    "keep_newest": 14,
    "excludes": [],
    "one_file_system": False,
    "keep": {},
    "check_days": 1,
    "check_parts": 30,
    "proof_files": 20,
    "steady": [],
}
PATTERNS = {
    "schedule": (CALENDAR, "a systemd calendar expression, such as *-*-* 03:30:00"),
    "random_delay": (SPANS, "a time span, such as 5min"),
    "timeout": (SPANS, "a time span, such as 6h"),
    "retry_delay": (SPANS, "a time span, such as 5min"),
    "lock": (LOCK, "letters, digits, - and _"),
    "user": (USER, "the name of a user of the host"),
    "memory_max": (MEMORY, "bytes with K, M or G, or a percentage"),
}
LEAST = {
    "retries": 0,
    "lock_timeout": 0,
    "keep_newest": 1,
    "check_days": 1,
    "check_parts": 0,
    "proof_files": 0,
    "cpu_weight": 1,
}
KEPT = ("last", "hourly", "daily", "weekly", "monthly", "yearly")


def job_problems(jobs: Any) -> Iterator[Problem]:
    """Yield the problems of declared jobs beyond the types of their options; unreadable ones are skipped."""
    names: set[str] = set()
    for number, job in enumerate(jobs if isinstance(jobs, list) else []):
        if not isinstance(job, Mapping):
            continue
        name = job.get("name")
        where = f"{VARIABLE}[{name if isinstance(name, str) else number}]"
        if isinstance(name, str) and name in names:
            yield Problem(f"{where}.name", name, "is the name of two jobs", "rename one of them")
        names.add(str(name))
        yield from _of_one(where, job)


def _of_one(where: str, job: Mapping[str, Any]) -> Iterator[Problem]:
    name = job.get("name")
    if isinstance(name, str) and (not re.fullmatch(NAME, name) or name in RESERVED):
        fix = f"use at most 40 small letters, digits and -, and none of {', '.join(RESERVED)}"
        yield Problem(f"{where}.name", name, "can't be the name of a job", fix)
    kind = job.get("kind")
    if not isinstance(kind, Opaque):
        yield from _keys(where, job, KINDS.get(str(kind)))
    for key, (pattern, wanted) in PATTERNS.items():
        value = job.get(key)
        if isinstance(value, (str, int)) and value != "" and not re.fullmatch(pattern, str(value)):
            yield Problem(f"{where}.{key}", value, "is not understood", f"write {wanted}")
    for key, least in LEAST.items():
        value = job.get(key)
        if isinstance(value, int) and value < least:
            yield Problem(f"{where}.{key}", value, f"is less than {least}", "raise it")
    yield from _contents(where, job)
    yield from _places(where, job)


def _keys(where: str, job: Mapping[str, Any], kind: Kind | None) -> Iterator[Problem]:
    if kind is None:
        yield Problem(f"{where}.kind", job.get("kind"), "is not a kind of job", f"use one of {', '.join(KINDS)}")
        return
    allowed = (*IDENTITY, *COMMON, *kind.needs, *kind.takes)
    for key in (*IDENTITY, *kind.needs):
        if job.get(key) in (None, "", []):
            yield Problem(
                f"{where}.{key}", HIDDEN, f"is missing, and a job of the kind {job['kind']} needs it", "add it"
            )
    for key, value in job.items():
        # An option that the job leaves out is None once the role's spec was applied.
        if key not in allowed and value is not None:
            what = f"is not an option of the kind {job['kind']}"
            yield Problem(f"{where}.{key}", HIDDEN, what, suggestion(str(key), allowed))


def _contents(where: str, job: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of lists of paths and commands, and of the counts of snapshots to keep."""
    repository = local_repository(job)
    if re.search(r'[%"\\\n]', repository):
        yield Problem(f"{where}.repository", HIDDEN, 'is a path with %, " or \\', "use another directory")
    absolute = [(key, path) for key in ("paths", "steady", "writable_paths") for path in _listed(job.get(key))]
    absolute += [("directory", job["directory"])] if job.get("directory") is not None else []
    for key, path in absolute:
        allowed = r"/[^\0\n]*" if key in ("paths", "steady") else r'/[^\0\n%"\\]*'
        if isinstance(path, str) and (not re.fullmatch(allowed, path) or "/../" in f"{path}/"):
            yield Problem(
                f"{where}.{key}", path, 'is not an absolute path without %, ", \\ and ..', "write the full path"
            )
    for argv in _listed(job.get("commands")):
        if not isinstance(argv, (list, Opaque)) or argv == []:
            fix = "write a list of lists: each command with its arguments, without a shell"
            yield Problem(f"{where}.commands", HIDDEN, "holds a value that is not a command", fix)
    keep = job.get("keep")
    for period, count in keep.items() if isinstance(keep, Mapping) else ():
        if count is None or isinstance(count, Opaque):
            continue
        if period not in KEPT or not isinstance(count, int) or count < 0:
            yield Problem(f"{where}.keep.{period}", count, "is not understood", f"count by {', '.join(KEPT)}")


def _places(where: str, job: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield system directories that the job claims for itself."""
    for key, path in (("directory", job.get("directory")), ("repository", local_repository(job))):
        if isinstance(path, str) and path.startswith("/") and of_the_system(path):
            shown = path if key == "directory" else HIDDEN
            yield Problem(f"{where}.{key}", shown, "is the system's own directory", "name one below it")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def calendars(jobs: Any, **others: Any) -> dict[str, str]:
    """Return the schedules of jobs and of other variables by their names in messages."""
    found = {
        f"{VARIABLE}[{job['name']}].schedule": str(job["schedule"])
        for job in _listed(jobs)
        if isinstance(job, Mapping) and "name" in job and "schedule" in job
    }
    for variable, value in others.items():
        named = (
            {f"{variable}.{key}": part for key, part in value.items()}
            if isinstance(value, Mapping)
            else {variable: value}
        )
        found |= {where: str(schedule) for where, schedule in named.items()}
    return found


def local_repository(job: Mapping[str, Any]) -> str:
    """Return the directory of a repository on the host itself, "" for any other."""
    repository = str(job.get("repository", "")).removeprefix("local:")
    return repository if repository.startswith("/") else ""
