# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service holdfast-metrics: writes a host's own metrics for node_exporter's textfile collector, without Ansible.

    python3 -m ansible_collections.holdfast.ha.plugins.module_utils.metrics CONFIGURATION

Cheap readings are taken each round. The expensive ones (metrics_survey.py) are taken by a process beside it, when
something that they depend on has changed, and rarely otherwise.
"""

# A program that runs without Ansible.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.module_utils import (
    archive_queue,
    job_schedule,
    maintenance,
    rolling_lock,
    safe_path,
    vrrp,
)
from ansible_collections.holdfast.ha.plugins.module_utils.job_record import RECORDS, SUCCESS, job_of, read_record
from ansible_collections.holdfast.ha.plugins.module_utils.metrics_settings import ERRORS, Settings, load, output
from ansible_collections.holdfast.ha.plugins.module_utils.metrics_text import (
    Readings,
    Sample,
    Taken,
    labelled,
    parse,
    render,
    take,
)
from ansible_collections.holdfast.ha.plugins.module_utils.restore_record import read_record as read_verification

FILE = "holdfast.prom"
CONVERGED = "/var/lib/holdfast/converged"
"""A file that site.yml touches at its end."""
UNITS = Path("/etc/systemd/system")
PROPERTIES = ("MainPID", *job_schedule.TIMER_PROPERTIES)
RUNNING = ("active", "reloading", "refreshing")
SURVEY = "ansible_collections.holdfast.ha.plugins.module_utils.metrics_survey"
SPACING = 60.0
"""Seconds between two surveys of the same part, at least; an upgrade changes many files one after the other."""
HOURS = 3600.0
PACKAGES_CHANGED = ("/var/lib/dpkg/status", "/var/lib/apt/lists", "/var/lib/apt/lists/partial", "/usr/sbin/policy-rc.d")
HOST_CHANGED = ("/var/lib/dpkg/status", "/run/reboot-required", "/var/lib/holdfast/files.json")

Shown = Mapping[str, Mapping[str, str]]
"""The properties of units, by the names that were asked for."""


def show(units: Sequence[str]) -> Shown:
    """Ask systemd for units; an alias keeps its name. Raises OSError, ValueError."""
    if not units:
        return {}
    command = ["systemctl", "show", "--timestamp=us+utc", f"--property={','.join(PROPERTIES)}", *units]
    blocks = output(command).strip("\n").split("\n\n")
    properties = (dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks)
    return dict(zip(units, properties, strict=True))


def active(units: Iterable[str], shown: Shown) -> list[Sample]:
    """Return which units run."""
    return labelled("unit_active", "unit", {unit: shown[unit].get("ActiveState") in RUNNING for unit in units})


def held(addresses: Sequence[str], printed: str) -> list[Sample]:
    """Return which virtual addresses are here, by the output of `ip -json address`; raises ValueError."""
    places = vrrp.locate(addresses, vrrp.parse_addresses(printed))
    return labelled("vrrp_address", "address", {vrrp.plain(address): bool(places[address]) for address in addresses})


def queue(settings: Settings, now: float) -> list[Sample]:
    """Return what waits to be archived.

    A link is followed only to a directory of the database's user, who may look there anyway. Raises OSError.
    """
    path = f"{settings.data_directory}/{archive_queue.MARKS}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    try:
        if os.fstat(descriptor).st_uid != pwd.getpwnam(settings.data_user).pw_uid:
            raise OSError(f"{path} does not belong to {settings.data_user}")
        found = archive_queue.marked(Path(f"/proc/self/fd/{descriptor}"), now)
    finally:
        os.close(descriptor)
    return [Sample("archive_queue_files", found.waiting), Sample("archive_queue_age_seconds", found.age or 0)]


def timers(declared: Sequence[str], directory: Path) -> list[str]:
    """Return the timers of jobs, those that should exist among them."""
    there = {path.name for pattern in job_schedule.PATTERNS for path in directory.glob(pattern)}
    return sorted(there | {f"holdfast-job-{name}.timer" for name in declared})


@cache
def gap(timer: job_schedule.Timer) -> float | None:
    """Return the longest time between two runs of a timer; raises OSError."""
    if not timer.calendars:
        return None
    command = job_schedule.calendar_command(timer)
    return job_schedule.longest_gap(output(command, job_schedule.CALENDAR_ENVIRONMENT))


def jobs(names: Iterable[str], shown: Shown, records: Path = RECORDS) -> Iterator[Sample]:
    """Yield how the jobs of timers went, and by when they must succeed again."""
    for name in names:
        timer, record = job_schedule.parse_timer(shown[name]), read_record(records / f"{job_of(name)}.json")
        label = (("job_name", job_of(name)),)
        success = record.last_success if record else None
        yield Sample("job_success_timestamp_seconds", success or 0.0, label)
        yield Sample("job_failed", record is not None and record.result != SUCCESS, label)
        since = job_schedule.counts_from(timer, success)
        allowed = job_schedule.allowed_age(timer, gap(timer), record.seconds if record else 0.0)
        if since is not None and allowed is not None:
            yield Sample("job_due_timestamp_seconds", since + allowed, label)


def verification(path: Path) -> Iterator[Sample]:
    """Yield the last verification of a restore."""
    record = read_verification(path)
    yield Sample("restore_verified_timestamp_seconds", float(record["last_passed"] or 0) if record else 0.0)
    yield Sample("restore_verify_failed", record is not None and record["result"] != "passed")
    if record and record["canary_age"] is not None:
        yield Sample("canary_age_seconds", float(record["canary_age"]))


def marks(host: str) -> list[Sample]:
    """Return whether the host is in maintenance, and whether a rolling verb works on its cluster."""
    lock = rolling_lock.in_force(rolling_lock.parse(safe_path.read(rolling_lock.PATH)), rolling_lock.host_now())
    maintained = host in [mark.host for mark in maintenance.read()]
    return [Sample("maintenance", maintained), Sample("rolling", lock is not None)]


def converged(path: str = CONVERGED) -> list[Sample]:
    """Return when site.yml was last completed."""
    status = safe_path.look(path)
    return [Sample("converged_timestamp_seconds", status.st_mtime if status else 0.0)]


def modified(paths: Iterable[str]) -> tuple[int, ...]:
    """Return when the paths changed, 0 for those that don't exist."""
    return tuple(Path(path).stat().st_mtime_ns if Path(path).exists() else 0 for path in paths)


@dataclass
class Survey:
    """One part of the expensive readings: taken when its key changes, and otherwise every ``longest`` seconds."""

    part: str
    command: Sequence[str]
    longest: float
    taken: Taken = field(default_factory=Taken)
    _key: Hashable = None
    _begun: float = -HOURS
    _process: subprocess.Popen[bytes] | None = None

    def step(self, key: Hashable, now: float) -> None:
        """Collect what is ready, and begin what is due; now is of the monotonic clock."""
        if self._process is not None:
            self._collect(now)
        if self._process is None and self._is_due(key, now):
            self._key, self._begun = key, now
            self._process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def _is_due(self, key: Hashable, now: float) -> bool:
        age = now - self._begun
        return age >= self.longest or (age >= SPACING and key != self._key)

    def _collect(self, now: float) -> None:
        process = self._process
        if process is None or (process.poll() is None and now - self._begun < self.longest):
            return
        process.kill()
        printed, _none = process.communicate()
        self._process = None
        try:
            self.taken = parse(printed.decode())
        except (ValueError, KeyError, TypeError):
            self.taken = Taken((), {self.part: f"the survey ended with {process.returncode}"})


@dataclass
class Service:
    """Takes all readings of a host, and writes them."""

    settings: Settings
    surveys: Mapping[str, Survey]
    tell: Callable[[str], None] = lambda message: print(message, flush=True)
    _told: Mapping[str, str] = field(default_factory=dict)

    def readings(self, shown: Shown, names: Sequence[str]) -> Readings:
        """Return the cheap readings; those of parts that the host doesn't have are left out."""
        settings = self.settings
        found: dict[str, Callable[[], Iterable[Sample]]] = {
            "units": lambda: active(settings.units, shown),
            "marks": lambda: marks(settings.host),
            "converged": converged,
            "profile": lambda: labelled("profile_seconds", "name", settings.profile),
        }
        if settings.addresses:
            found["addresses"] = lambda: held(settings.addresses, output(["ip", "-json", "address"]))
        if settings.data_directory:
            found["archive"] = lambda: queue(settings, time.time())
        if names:
            found["jobs"] = lambda: jobs(names, shown)
        if settings.verification:
            found["verification"] = lambda: verification(Path(settings.verification))
        return found

    def round(self) -> None:
        """Read everything and write it; raises OSError, UnsafePathError where it can't be written."""
        names = timers(self.settings.jobs, UNITS)
        try:
            shown = show([*self.settings.units, *names])
            unasked = {}
        except ERRORS as error:
            shown, unasked = {}, {"systemd": str(error)}
        self._survey(shown)
        cheap = self.readings(shown, names)
        parts = [take(cheap, ERRORS), *(survey.taken for survey in self.surveys.values())]
        failed = {name: reason for part in parts for name, reason in part.failed.items()} | unasked
        self._report(failed)
        samples = [sample for part in parts for sample in part.samples]
        samples += labelled("metrics_failed", "reading", dict.fromkeys(failed, 1.0))
        samples.append(Sample("metrics_timestamp_seconds", time.time()))
        safe_path.replace(Path(self.settings.directory) / FILE, render(samples).encode())

    def _survey(self, shown: Shown) -> None:
        now = time.monotonic()
        processes = tuple(shown.get(unit, {}).get("MainPID", "") for unit in self.settings.units)
        certificates = modified(map(str, sorted(Path(self.settings.tls_directory).glob("*.crt"))))
        keys = {
            "packages": modified(PACKAGES_CHANGED),
            "host": (modified(HOST_CHANGED), processes, certificates),
        }
        for name, survey in self.surveys.items():
            survey.step(keys[name], now)

    def _report(self, failed: Mapping[str, str]) -> None:
        """Write to the journal what fails, and what no longer does, once each."""
        for name, reason in failed.items():
            if self._told.get(name) != reason:
                self.tell(f"{name}: {reason}")
        for name in self._told.keys() - failed.keys():
            self.tell(f"{name}: reads again")
        self._told = dict(failed)


def surveys_of(configuration: str) -> dict[str, Survey]:
    """Return the parts of the expensive readings."""
    longest = {"packages": 6 * HOURS, "host": HOURS / 6}
    command = [sys.executable, "-B", "-m", SURVEY, configuration]
    return {part: Survey(part, [*command, part], seconds) for part, seconds in longest.items()}


def main(arguments: Sequence[str]) -> int:
    """Run until systemd ends it."""
    (configuration,) = arguments
    settings = load(configuration)
    service = Service(settings, surveys_of(configuration))
    os.umask(0o022)
    following = time.monotonic()
    while True:
        service.round()
        following = max(following + settings.interval, time.monotonic())
        time.sleep(max(0.0, following - time.monotonic()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
