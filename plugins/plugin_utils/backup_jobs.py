# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declared backup jobs: what is wrong with them, and the files and units they become."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
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

SYSTEMD = "/etc/systemd/system"
DOCUMENTS = "/etc/holdfast/jobs"
LOCKS = "/run/holdfast-jobs"
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
    """What a kind of job needs and takes beside the common options, and who runs it unless it says so."""

    needs: tuple[str, ...]
    takes: tuple[str, ...] = ()
    user: str = "root"


KINDS = {
    "command": Kind(("commands",), ("environment", "writable_paths")),
    "etcd_snapshot": Kind((), ("directory", "keep_newest"), user="etcd"),
    "files": Kind(
        ("paths", "repository", "password"),
        ("excludes", "one_file_system", "environment", "keep", "check_days", "check_parts", "proof_files"),
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
    """Yield what is wrong with declared jobs beyond the types of their options; what is not readable is passed over."""
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
    """Yield what is wrong with lists of paths and commands, and with the counts of snapshots to keep."""
    repository = local_repository(job)
    if re.search(r'[%"\\\n]', repository):
        yield Problem(f"{where}.repository", HIDDEN, 'is a path with %, " or \\', "use another directory")
    absolute = [(key, path) for key in ("paths", "writable_paths") for path in _listed(job.get(key))]
    absolute += [("directory", job["directory"])] if job.get("directory") is not None else []
    for key, path in absolute:
        allowed = r"/[^\0\n]*" if key == "paths" else r'/[^\0\n%"\\]*'
        if isinstance(path, str) and (not re.fullmatch(allowed, path) or "/../" in f"{path}/"):
            yield Problem(
                f"{where}.{key}", path, 'is not an absolute path without %, ", \\ and ..', "write the whole path"
            )
    for argv in _listed(job.get("commands")):
        if not isinstance(argv, (list, Opaque)) or argv == []:
            fix = "write a list of lists: each command with its arguments, without a shell"
            yield Problem(f"{where}.commands", HIDDEN, "holds what is not a command", fix)
    keep = job.get("keep")
    for period, count in keep.items() if isinstance(keep, Mapping) else ():
        if count is None or isinstance(count, Opaque):
            continue
        if period not in KEPT or not isinstance(count, int) or count < 0:
            yield Problem(f"{where}.keep.{period}", count, "is not understood", f"count by {', '.join(KEPT)}")


def _places(where: str, job: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the directories that the job would have for itself, but that every host needs."""
    for key, path in (("directory", job.get("directory")), ("repository", local_repository(job))):
        if isinstance(path, str) and path.startswith("/") and of_the_system(path):
            shown = path if key == "directory" else HIDDEN
            yield Problem(f"{where}.{key}", shown, "is the system's own directory", "name one below it")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def calendars(jobs: Any, **others: Any) -> dict[str, str]:
    """Return the schedules of jobs, and those of other variables, by what they are called in messages."""
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


@dataclass(frozen=True)
class Settings:
    """The role's own variables: defaults of the common options, and how etcd's member is reached."""

    host: str
    common: Mapping[str, Any]
    etcd: Mapping[str, str]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Settings:
        """Return the settings of a template's dictionary."""
        return cls(str(document["host"]), document["common"], document["etcd"])


def plan(jobs: Sequence[Mapping[str, Any]], settings: Settings) -> dict[str, Any]:
    """Return what the jobs become: files, directories, units, packages, and what is kept of jobs' files.

    Raises ValueError with every problem of the jobs.
    """
    problems = list(job_problems(list(jobs)))
    if problems:
        raise ValueError(" ".join(map(str, problems)))
    complete = with_lock_users([completed(job, settings) for job in jobs])
    return {
        "files": [file for job in complete for file in files_of(job, settings)],
        "directories": [directory for job in complete for directory in directories_of(job)],
        "units": [
            {"name": f"{job['unit']}.timer", "restart_on": [f"{SYSTEMD}/{job['unit']}.timer"]} for job in complete
        ],
        "packages": sorted({"restic" for job in complete if job["kind"] == "files"}),
        "names": [job["unit"] for job in complete],
        "users": {job["unit"]: job["user"] for job in complete},
    }


def with_lock_users(jobs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the jobs with who shall be able to take their locks beside root: a user, root, or "" for several users."""
    users = {job["lock"]: {one["user"] for one in jobs if one["lock"] == job["lock"]} for job in jobs}
    others = {lock: sorted(found - {"root"}) or ["root"] for lock, found in users.items()}
    return [{**job, "lock_user": others[job["lock"]][0] if len(others[job["lock"]]) == 1 else ""} for job in jobs]


def completed(job: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return a job with all options of its kind."""
    kind = KINDS[job["kind"]]
    known = {"user": kind.user, **settings.common, **{key: DEFAULTS[key] for key in kind.takes}}
    given = {key: value for key, value in job.items() if value is not None}
    return {**known, **given, "unit": f"holdfast-job-{job['name']}", "group": group_of(job["kind"], settings)}


def group_of(kind: str, settings: Settings) -> str:
    """Return the group that lets a job read the key of its certificate, "" for none."""
    return settings.etcd["group"] if kind == "etcd_snapshot" else ""


def files_of(job: Mapping[str, Any], settings: Settings) -> list[dict[str, Any]]:
    """Return a job's files as holdfast.ha.component takes them."""
    unit, document = job["unit"], f"{DOCUMENTS}/{job['name']}.json"
    shown = {key: job[key] for key in (*IDENTITY, *COMMON, "unit", "group")}
    shown |= {"document": document, "lock_file": lock_of(job), "lock_user": job["lock_user"]}
    shown |= {"writable": writable(job), "scratch": scratch_of(job)}
    check = f"systemd-analyze calendar {shlex.quote(str(job['schedule']))}"
    return [
        {
            "path": document,
            "secret": True,
            "content": json.dumps(document_of(job, settings), indent=2, sort_keys=True) + "\n",
            "owner": job["user"],
            "mode": "0400",
        },
        {"path": f"{SYSTEMD}/{unit}.service", "template": "job.service.j2", "template_vars": {"job": shown}},
        {
            "path": f"{SYSTEMD}/{unit}.timer",
            "template": "job.timer.j2",
            "template_vars": {"job": shown},
            "validate": check,
        },
    ]


def document_of(job: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return what the job's program reads: module_utils/backup_job.py."""
    return {
        "name": job["name"],
        "kind": job["kind"],
        "retries": job["retries"],
        "lock": lock_of(job),
        "lock_timeout": job["lock_timeout"],
        "settings": settings_of(job, settings),
    }


def settings_of(job: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the settings that the job's kind takes."""
    if job["kind"] == "command":
        return {"commands": [[str(word) for word in argv] for argv in job["commands"]], "environment": texts(job)}
    if job["kind"] == "etcd_snapshot":
        access = {key: value for key, value in settings.etcd.items() if key != "group"}
        return {"directory": job["directory"], "keep": job["keep_newest"], "timeout": 120, **access}
    own = {key: job[key] for key in ("name", *KINDS["files"].needs, *KINDS["files"].takes)}
    counts = {period: count for period, count in job["keep"].items() if count is not None}
    return {**own, "host": settings.host, "environment": texts(job), "keep": counts}


def texts(job: Mapping[str, Any]) -> dict[str, str]:
    """Return the job's environment with texts only."""
    return {name: str(value) for name, value in job["environment"].items()}


def lock_of(job: Mapping[str, Any]) -> str:
    """Return the job's lock file, "" for none."""
    return f"{LOCKS}/{job['lock']}.lock" if job["lock"] else ""


def local_repository(job: Mapping[str, Any]) -> str:
    """Return the directory of a repository on the host itself, "" for any other."""
    repository = str(job.get("repository", "")).removeprefix("local:")
    return repository if repository.startswith("/") else ""


def writable(job: Mapping[str, Any]) -> list[str] | None:
    """Return the only paths that the job may write to; None leaves it all but the system's own."""
    if job["kind"] == "command":
        return job["writable_paths"] or None
    return [job["directory"]] if job["kind"] == "etcd_snapshot" else list(filter(None, [local_repository(job)]))


def scratch_of(job: Mapping[str, Any]) -> str:
    """Return what a run leaves behind when it is killed, "" for nothing."""
    if job["kind"] == "etcd_snapshot":
        return f"{job['directory']}/.proof"
    return f"/var/cache/{job['unit']}/scratch" if job["kind"] == "files" else ""


def directories_of(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the directories that the job writes to and that must be there."""
    path = job.get("directory") or local_repository(job)
    return [{"path": path, "owner": job["user"], "group": "root", "mode": "0700"}] if path else []
