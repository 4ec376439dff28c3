# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records the result of a scheduled job: run by systemd as root around the job, without Ansible.

    python3 -m ansible_collections.holdfast.ha.plugins.module_utils.job_record

    begin UNIT [--lock=FILE] [--lock-user=USER]     ExecStartPre=
    end UNIT [--textfile=DIRECTORY] [--skip=STATUS] ExecStopPost=

``begin`` writes the number of the attempt for the job, and creates its lock file, for root and the given user. ``end``
writes the record (see Record) from what systemd says of the job, and the same for Prometheus into a directory, which
may be another user's.
"""

# A program that runs without Ansible.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import argparse
import json
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.module_utils import safe_path

RECORDS = Path("/var/lib/holdfast/jobs")
RUN = Path("/run/holdfast-jobs")
PROPERTIES = ("NRestarts", "ExecMainStartTimestampMonotonic", "InactiveExitTimestampMonotonic")
PREFIXES = ("holdfast-job-", "holdfast-")
SUCCESS = "success"
MICROSECONDS = 10**6


@dataclass(frozen=True)
class Record:
    """The last run of a job: times are seconds since the epoch.

    ``result`` is systemd's $SERVICE_RESULT, ``exit_status`` a number, a signal's name, or "" when nothing ran.
    ``attempt`` counts from 1, ``consecutive_failures`` counts failed attempts since the last success.
    """

    job: str
    unit: str
    started: float
    finished: float
    seconds: float
    result: str
    exit_status: str
    attempt: int
    consecutive_failures: int
    last_success: float | None = None


def job_of(unit: str) -> str:
    """Return the name under which a unit's runs are recorded."""
    stem = unit.rpartition(".")[0] or unit
    return next((stem.removeprefix(prefix) for prefix in PREFIXES if stem.startswith(prefix)), stem)


def parse_properties(shown: str) -> dict[str, int]:
    """Return the numbers that `systemctl show` printed, 0 for what it does not know."""
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    return {name: int(values[name]) if values.get(name, "").isdecimal() else 0 for name in PROPERTIES}


def began(properties: Mapping[str, int]) -> float:
    """Return when the attempt began, in seconds of the monotonic clock: its main process, if there was one."""
    activated = properties["InactiveExitTimestampMonotonic"]
    main = properties["ExecMainStartTimestampMonotonic"]
    return (max(main, activated)) / MICROSECONDS


def record_of(
    unit: str,
    environment: Mapping[str, str],
    properties: Mapping[str, int],
    clocks: tuple[float, float],
    former: Record | None,
) -> Record:
    """Return the record of the run that has just ended; *clocks* are now by the wall's and the monotonic clock."""
    now, monotonic = clocks
    seconds = max(0.0, monotonic - began(properties))
    result = environment.get("SERVICE_RESULT", "unknown")
    succeeded = result == SUCCESS
    failures = former.consecutive_failures if former else 0
    return Record(
        job=job_of(unit),
        unit=unit,
        started=round(now - seconds, 3),
        finished=round(now, 3),
        seconds=round(seconds, 3),
        result=result,
        exit_status=environment.get("EXIT_STATUS", ""),
        attempt=properties["NRestarts"] + 1,
        consecutive_failures=0 if succeeded else failures + 1,
        last_success=round(now, 3) if succeeded else former.last_success if former else None,
    )


def metrics(record: Record) -> str:
    """Return the record in Prometheus' text format."""
    label = f'{{job_name="{record.job}"}}'
    values: dict[str, tuple[str, float]] = {
        "success": ("Whether the last run succeeded.", float(record.result == SUCCESS)),
        "finished_timestamp_seconds": ("When it ended.", record.finished),
        "last_success_timestamp_seconds": ("When one succeeded last, 0 for never.", record.last_success or 0.0),
        "duration_seconds": ("How long it took.", record.seconds),
        "consecutive_failures": ("Failed attempts since the last success.", record.consecutive_failures),
    }
    return "".join(
        f"# HELP holdfast_job_{name} {text}\n# TYPE holdfast_job_{name} gauge\n"
        f"holdfast_job_{name}{label} {value:.14g}\n"
        for name, (text, value) in values.items()
    )


def read_record(path: Path) -> Record | None:
    """Return the record of a file, None where there is none that can be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Record(**{item.name: document[item.name] for item in fields(Record)})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def properties_of(unit: str) -> dict[str, int]:
    """Ask systemd about a unit."""
    command = ["systemctl", "show", f"--property={','.join(PROPERTIES)}", unit]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return parse_properties(done.stdout)


def begin(unit: str, lock: str, user: str) -> None:
    """Write the number of the attempt, and create the lock file; an empty user stands for several users."""
    RUN.mkdir(mode=0o755, exist_ok=True)
    safe_path.replace(RUN / f"{job_of(unit)}.attempt", f"{properties_of(unit)['NRestarts'] + 1}\n".encode())
    if lock:
        os.close(safe_path.lock_file(lock, pwd.getpwnam(user).pw_uid if user else None, 0o600 if user else 0o644))


def end(unit: str, textfile: str, skip: str) -> None:
    """Write the record of the run that has just ended; a run that exited with *skip* did nothing."""
    if skip and os.environ.get("EXIT_STATUS") == skip:
        return
    RECORDS.mkdir(mode=0o755, parents=True, exist_ok=True)
    path = RECORDS / f"{job_of(unit)}.json"
    clocks = (time.time(), time.monotonic())
    record = record_of(unit, os.environ, properties_of(unit), clocks, read_record(path))
    safe_path.replace(path, (json.dumps(asdict(record), indent=2, sort_keys=True) + "\n").encode())
    if textfile:
        safe_path.replace(Path(textfile) / f"{unit.rpartition('.')[0]}.prom", metrics(record).encode())


def main(arguments: Sequence[str]) -> int:
    """Run one of the two verbs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["begin", "end"])
    parser.add_argument("unit")
    parser.add_argument("--lock", default="")
    parser.add_argument("--lock-user", default="")
    parser.add_argument("--textfile", default="")
    parser.add_argument("--skip", default="")
    options = parser.parse_args(arguments)
    os.umask(0o022)
    if options.verb == "begin":
        begin(options.unit, options.lock, options.lock_user)
    else:
        end(options.unit, options.textfile, options.skip)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
