# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out one run of a declared backup job: started by systemd, without Ansible.

    python3 -m ansible_collections.holdfast.ha.plugins.module_utils.backup_job JOB.json

Exit code 0: done; 1: failed, systemd retries; 69: failed at the last attempt; 70: nothing done, because all attempts
were runs that systemd stopped.
"""

# A program that runs without Ansible.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils import backup_job_etcd, backup_job_files
from ansible_collections.holdfast.ha.plugins.module_utils.backup_job_tools import JobError, plain_environment

RUN = Path("/run/holdfast-jobs")
RETRY, LAST, USED_UP = 1, 69, 70


@dataclass(frozen=True)
class Job:
    """A declared job; ``lock`` is a file, or "" for none, ``lock_timeout`` seconds, ``settings`` those of its kind."""

    name: str
    kind: str
    retries: int
    lock: str
    lock_timeout: int
    settings: Mapping[str, Any] = field(repr=False)


def run_commands(settings: Mapping[str, Any]) -> str:
    """Run the declared commands one after the other, with the journal as their output."""
    environment = {**plain_environment("PYTHONPATH", "PYTHONDONTWRITEBYTECODE"), **settings["environment"]}
    for argv in settings["commands"]:
        try:
            code = subprocess.run(argv, check=False, env=environment, stdin=subprocess.DEVNULL).returncode
        except OSError as error:
            raise JobError(f"{argv[0]}: {error.strerror}") from error
        if code:
            raise JobError(f"{argv[0]} exited with {code}")
    return f"{len(settings['commands'])} commands ran"


KINDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "command": run_commands,
    "etcd_snapshot": backup_job_etcd.take,
    "files": backup_job_files.save,
}


def verdict(attempt: int, retries: int) -> int:
    """Return the exit code of an attempt that failed."""
    return LAST if attempt > retries else RETRY


def attempt_of(name: str, run: Path = RUN) -> int:
    """Return the number of this attempt, as the recorder wrote it before."""
    try:
        return int((run / f"{name}.attempt").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 1


@contextmanager
def held(lock: str, seconds: int) -> Iterator[None]:
    """Hold a lock; raise JobError if others hold it for longer than the time-out."""
    if not lock:
        yield
        return
    with Path(lock).open(encoding="utf-8") as file:
        # flock locks the open file, which this process shares and keeps.
        command = ["flock", "--exclusive", f"--timeout={seconds}", str(file.fileno())]
        if subprocess.run(command, check=False, pass_fds=[file.fileno()]).returncode:
            raise JobError(f"another job with the lock {Path(lock).stem} ran for longer than {seconds} s")
        yield


def carry_out(job: Job, attempt: int) -> int:
    """Run a job and log its result; return its exit code."""
    if attempt > job.retries + 1:
        print(f"{job.name}: all {job.retries + 1} attempts were ended by systemd", file=sys.stderr)
        return USED_UP
    try:
        with held(job.lock, job.lock_timeout):
            print(f"{job.name}: {KINDS[job.kind](job.settings)}")
    except (JobError, OSError, ValueError, LookupError, TypeError) as error:
        print(f"{job.name}: attempt {attempt} of {job.retries + 1} failed: {error or repr(error)}", file=sys.stderr)
        return verdict(attempt, job.retries)
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run the job whose file is the only argument."""
    os.umask(0o077)
    job = Job(**json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    return carry_out(job, attempt_of(job.name))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
