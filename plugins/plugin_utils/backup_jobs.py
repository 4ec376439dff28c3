# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files and units of the declared backup jobs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.sandbox import SANDBOX
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.job_rules import (
    COMMON,
    DEFAULTS,
    IDENTITY,
    KINDS,
    job_problems,
    local_repository,
)

SYSTEMD = "/etc/systemd/system"
DOCUMENTS = "/etc/holdfast/jobs"
LOCKS = "/run/holdfast-jobs"
NETWORK = "AF_INET AF_INET6 AF_NETLINK AF_UNIX"
SANDBOXES: Mapping[str, dict[str, Any]] = {
    # Nothing is known of a command, but that another user's needs no privileges.
    "command": {
        "MemoryDenyWriteExecute": None,
        "PrivateTmp": None,
        "ProtectHome": None,
        "ProtectProc": None,
        "RestrictAddressFamilies": None,
        "RestrictSUIDSGID": None,
    },
    "etcd_snapshot": {"ProtectHome": "read-only", "RestrictAddressFamilies": NETWORK},
    # It saves what the host has, and its proof restores files with their owners and modes.
    "files": {
        "PrivateTmp": None,
        "ProtectHome": "read-only",
        "ProtectKernelModules": None,
        "RestrictAddressFamilies": NETWORK,
        "RestrictSUIDSGID": None,
    },
}
"""By kind: how a job's sandbox deviates."""
EVERY_FILE = "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_SETFCAP"
"""What root needs to save and to restore the files of all users."""


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
    """Return the jobs' files, directories, units and packages, and the patterns of files to keep.

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
    """Return the jobs with the user who can take their locks beside root: a user, root, or "" for several users."""
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
    shown |= {"writable": writable(job), "scratch": scratch_of(job), "sandbox": sandbox_of(job)}
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


def writable(job: Mapping[str, Any]) -> list[str] | None:
    """Return the only paths that the job may write to; None permits all but the system's own."""
    if job["kind"] == "command":
        return job["writable_paths"] or None
    return [job["directory"]] if job["kind"] == "etcd_snapshot" else list(filter(None, [local_repository(job)]))


def sandbox_of(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the job's sandbox deviates; commands of root's have none but for the system's directories."""
    kind, by_root = job["kind"], job["user"] == "root"
    if kind == "command":
        base = dict.fromkeys(SANDBOX) | {"UMask": SANDBOX["UMask"]} if by_root else dict(SANDBOXES[kind])
        return base | {"ProtectSystem": "full" if writable(job) is None else "strict"}
    return SANDBOXES[kind] | ({"CapabilityBoundingSet": EVERY_FILE} if by_root else {})


def scratch_of(job: Mapping[str, Any]) -> str:
    """Return the path that a killed run leaves behind, "" if it leaves none."""
    if job["kind"] == "etcd_snapshot":
        return f"{job['directory']}/.proof"
    return f"/var/cache/{job['unit']}/scratch" if job["kind"] == "files" else ""


def directories_of(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the directories that the job writes to and that must exist."""
    path = job.get("directory") or local_repository(job)
    return [{"path": path, "owner": job["user"], "group": "root", "mode": "0700"}] if path else []
