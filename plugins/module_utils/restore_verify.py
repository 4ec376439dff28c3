# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves that the backups can be restored: run by a timer on the repository host, without Ansible.

    python3 -m ansible_collections.holdfast.ha.plugins.module_utils.restore_verify JOB.json

Restores the newest backup into a scratch directory, replays to the end of the archive on a private server, checks it,
and removes everything again; then the same with an older backup and a random point in time. Several repositories take
turns. Writes a record (restore_record.py). Exit code 0 means that everything passed.
"""

# A program that runs without Ansible.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import configparser
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest import (
    Backup,
    PgBackRestError,
    Stanza,
    find_stanzas,
    newest,
    of_repository,
    parse_info,
    scratch_config,
)
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_target import (
    ArchiveEnd,
    Point,
    Target,
    older_point,
)
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_instance import (
    Instance,
    InstanceError,
    archive_settings,
    base_settings,
    last_transaction,
    missing_wal,
    private_files,
    recovery_settings,
    shell_words,
)
from ansible_collections.holdfast.ha.plugins.module_utils.restore_record import Record, read_record

MEGABYTE = 10**6
SPARE_BYTES = 2**30  # for the WAL that recovery fetches
REMOVE_SECONDS = 30
POLL_SECONDS = 0.2
CANARY_EXISTS = "SELECT to_regclass('holdfast.canary') IS NOT NULL"
CANARY = "SELECT floor(extract(epoch FROM at))::bigint FROM holdfast.canary"
UNREADABLE = "\N{REPLACEMENT CHARACTER}"
WRONG_KEY = " -- is the passphrase in pgBackRest's configuration that of the repository?"
PG_ROOT = Path("/usr/lib/postgresql")


class VerifyError(Exception):
    """The backup is not proven to restore; the message says why."""


@dataclass(frozen=True)
class Assertion:
    """A query of the user's, which must return the one value true."""

    name: str
    database: str
    sql: str


@dataclass(frozen=True)
class Job:
    """What to verify and where; ``timeout`` is seconds for the restore, and again for the replay.

    ``canary_limit`` is the greatest age of the canary in seconds at the archive's end; 0 does not read it. ``older`` is
    the recovery target of an older backup: to a ``time``, until it is consistent (``immediate``), or ``none``.
    """

    stanza: str
    pgbackrest_config: Path
    scratch: Path
    run: Path
    record: Path
    textfile: Path | None
    user: str
    superuser: str
    amcheck: tuple[str, ...] | None
    assertions: tuple[Assertion, ...]
    canary_limit: int
    timeout: int
    older: str = "none"


def parse_job(document: Mapping[str, Any]) -> Job:
    """Return the job of its file's document."""
    return Job(
        stanza=document["stanza"],
        pgbackrest_config=Path(document["pgbackrest_config"]),
        scratch=Path(document["scratch"]),
        run=Path(document["run"]),
        record=Path(document["record"]),
        textfile=Path(document["textfile"]) if document.get("textfile") else None,
        user=document["user"],
        superuser=document["superuser"],
        amcheck=None if document["amcheck"] is None else tuple(document["amcheck"]),
        assertions=tuple(
            Assertion(item["name"], item.get("database") or "postgres", item["sql"]) for item in document["assertions"]
        ),
        canary_limit=int(document["canary_limit"]),
        timeout=int(document["timeout"]),
        older=document["older"],
    )


def next_turn(repositories: Sequence[int], last: int, passed: bool) -> int:
    """Return the repository to verify after the *last* one: the next, but one that failed until it passes."""
    if last in repositories and not passed:
        return last
    return next((repository for repository in repositories if repository > last), repositories[0])


def choose(stanza: Stanza) -> Backup:
    """Return the newest backup of the database that the stanza serves; raise VerifyError without one."""
    backup = newest(stanza.current_backups, "incr")
    if backup is None:
        raise VerifyError(f"stanza {stanza.name} has no backup in repository {stanza.repository}: {stanza.message}")
    if backup.error:
        raise VerifyError(f"pgBackRest found damaged pages when it took backup {backup.label}")
    return backup


def error_of(output: str) -> str:
    """Return the first error in what pgBackRest printed, without its log prefix."""
    found = re.search(r"ERROR: (.*)", output)
    return found.group(1).strip() if found else output.strip()[-1000:] or "it said nothing"


def legible(error: str) -> str:
    """Return an error without the garbage that a wrong passphrase makes of a file, and with this reason."""
    readable = "".join(letter if letter.isprintable() or letter.isspace() else UNREADABLE for letter in error)
    suspicious = UNREADABLE in readable or "CryptoError" in error or "repo encrypted" in error
    return readable[:2000] + (WRONG_KEY if suspicious else "")


def stale(record: Record, limit: int) -> str | None:
    """Return why a disaster would cost more than *limit* seconds of writes, or None; 0 allows any."""
    if not limit or record.canary_age is None or record.canary_age <= limit:
        return None
    known = "its canary" if record.canary is not None else "without a canary its backup"
    return (
        f"the archive ends too early: {known} is {record.canary_age} s old, the limit is {limit} s "
        "(restore_verify_canary_limit); see that WAL is archived, and that holdfast-canary.timer runs on the primary"
    )


def metrics(record: Record) -> str:
    """Return the record in Prometheus' text format."""
    label = f'{{stanza="{record.stanza}"}}'
    values: dict[str, tuple[str, float]] = {
        "success": ("Whether the last verification passed.", float(record.result == "passed")),
        "finished_timestamp_seconds": ("When it ended.", record.finished),
        "last_success_timestamp_seconds": ("When one passed last.", record.last_passed or 0),
        "duration_seconds": ("How long it took.", record.seconds.get("total", 0.0)),
        "restored_bytes": ("Size of the restored database.", record.bytes),
    }
    if record.canary_age is not None:
        values["canary_age_seconds"] = ("Age of the newest restored write.", record.canary_age)
    return "".join(
        f"# HELP holdfast_restore_verify_{name} {text}\n# TYPE holdfast_restore_verify_{name} gauge\n"
        f"holdfast_restore_verify_{name}{label} {value:.10g}\n"
        for name, (text, value) in values.items()
    )


@dataclass
class Verification:
    """One running verification; ``passed`` says whether the previous one of the record's repository passed."""

    job: Job
    record: Record
    passed: bool = True

    def carry_out(self) -> None:
        """Restore, replay and check; raise VerifyError, PgBackRestError or InstanceError."""
        stanzas = find_stanzas(parse_info(self._pgbackrest("info", "--output=json")), self.job.stanza)
        record = self.record
        record.repository = next_turn([each.repository for each in stanzas], record.repository, self.passed)
        record.older = record.turns.get(str(record.repository), "")
        stanza = of_repository(stanzas, record.repository)[0]
        backup = choose(stanza)
        record.backup, record.backup_type = backup.label, backup.type
        record.backup_finished, record.bytes = backup.finished, backup.size
        record.archive_end = max((wal.maximum for wal in stanza.wal if wal.maximum), default=None)
        programs = self._programs(stanza)
        self._prove(Point(backup, Target("latest")), programs, self._check_newest)
        problem = stale(record, self.job.canary_limit)
        if problem:
            raise VerifyError(problem)
        self._prove_older(stanza, programs)

    def _prove_older(self, stanza: Stanza, programs: Path) -> None:
        """Verify a point other than the newest, if one is configured and exists."""
        record = self.record
        written = ArchiveEnd(record.archive_end, record.canary)
        timed = self.job.older == "time"
        point = older_point(stanza.current_backups, record.older, written, random.SystemRandom().randint, timed=timed)
        if self.job.older == "none" or point is None:
            return
        record.older, record.older_target, record.older_result = point.backup.label, str(point.target), "failed"
        record.turns[str(record.repository)] = record.older
        prepare(self.job)
        try:
            self._prove(point, programs, lambda instance: self._check_older(instance, point.target), "older_")
        except (VerifyError, InstanceError) as error:
            raise VerifyError(f"backup {record.older} recovered to {record.older_target}: {error}") from error
        record.older_result = "passed"

    def _prove(
        self, point: Point, programs: Path, check: Callable[[Instance], None], name: Literal["", "older_"] = ""
    ) -> None:
        """Restore and recover to a point, and check what is there; *name* is put before those of the durations."""
        self._see_room(point.backup)
        instance = Instance(self.job.scratch, self.job.run, programs)
        try:
            self._timed(f"{name}restore", lambda: self._restore(point.backup))
            self._timed(f"{name}replay", lambda: self._replay(instance, point.target))
            check(instance)
            self._timed(f"{name}amcheck", lambda: self._amcheck(instance))
        finally:
            instance.stop()
        self._timed(f"{name}checksums", lambda: self._checksums(instance))

    def _check_newest(self, instance: Instance) -> None:
        """Measure the restore's speed and where the archive ends, and run the user's assertions."""
        record, taken = self.record, self.record.seconds["restore"]
        record.megabytes_per_second = round(record.bytes / MEGABYTE / taken, 1) if taken else 0.0
        record.last_transaction = last_transaction(instance.log.read_text(encoding="utf-8", errors="replace"))
        histories = sorted((self.job.scratch / "pg_wal").glob("*.history"))
        problem = missing_wal(histories[-1].read_text(encoding="utf-8") if histories else "", record.archive_end)
        if problem:
            raise VerifyError(problem)
        self._read_canary(instance)
        self._timed("assertions", lambda: self._assert(instance))

    def _check_older(self, instance: Instance, target: Target) -> None:
        """Check that nothing was replayed that was written after the target."""
        canary = self._canary(instance) if target.value and self.job.canary_limit else None
        if canary is not None and canary > datetime.fromisoformat(target.value or "").timestamp():
            raise VerifyError(f"it has a canary of {datetime.fromtimestamp(canary).astimezone()}, after the target")

    def _timed(self, name: str, action: Callable[[], None]) -> None:
        started = time.monotonic()
        try:
            action()
        finally:
            self.record.seconds[name] = round(time.monotonic() - started, 1)

    def _see_room(self, backup: Backup) -> None:
        free = shutil.disk_usage(self.job.scratch.parent).free
        if free < backup.size + SPARE_BYTES:
            raise VerifyError(
                f"{self.job.scratch.parent} has {free / 2**30:.1f} GiB free, the backup {backup.label} needs "
                f"{(backup.size + SPARE_BYTES) / 2**30:.1f} GiB"
            )

    def _programs(self, stanza: Stanza) -> Path:
        path = PG_ROOT / str(stanza.postgresql_version) / "bin"
        if not (path / "postgres").exists():
            raise VerifyError(
                f"{path}/postgres is missing: install PostgreSQL {stanza.postgresql_version} on this host"
            )
        return path

    def _pgbackrest(self, *words: str) -> str:
        argv = ["pgbackrest", f"--config={self.job.run}/pgbackrest.conf", f"--stanza={self.job.stanza}", *words]
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, errors="replace", check=False, cwd="/", timeout=self.job.timeout
            )
        except subprocess.TimeoutExpired as error:
            raise VerifyError(f"pgbackrest {words[0]} took longer than {self.job.timeout} s") from error
        if done.returncode:
            raise VerifyError(f"pgbackrest {words[0]} failed: {error_of(done.stderr or done.stdout)}")
        return done.stdout

    def _restore(self, backup: Backup) -> None:
        self.job.scratch.mkdir(mode=0o700)
        self._pgbackrest("restore", self._repository(), f"--set={backup.label}", "--type=none", "--no-delta")
        (self.job.scratch / "recovery.signal").touch(mode=0o600)

    def _replay(self, instance: Instance, target: Target) -> None:
        options = (f"--config={self.job.run}/pgbackrest.conf", f"--stanza={self.job.stanza}", self._repository())
        settings = {
            **base_settings(instance.control(), str(self.job.run)),
            **recovery_settings(target, "promote", shell_words("pgbackrest", *options, "archive-get") + ' %f "%p"'),
            **archive_settings(later=False),
            "autovacuum": "off",
            "max_parallel_workers": "0",
        }
        instance.start(settings)
        instance.await_ready(self.job.timeout)

    def _repository(self) -> str:
        return f"--repo={self.record.repository}"

    def _connection(self) -> tuple[str, ...]:
        return ("--host", str(self.job.run), "--username", self.job.superuser)

    def _query(self, instance: Instance, database: str, sql: str) -> str:
        options = ("-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql)
        return instance.command("psql", *self._connection(), *options, timeout=self.job.timeout).strip()

    def _read_canary(self, instance: Instance) -> None:
        """Measure the newest write's age; a cluster that has no canary yet has its backup's end instead."""
        if not self.job.canary_limit:
            return
        now = int(time.time())
        self.record.canary = self._canary(instance)
        newest_write = self.record.backup_finished if self.record.canary is None else self.record.canary
        self.record.canary_age = max(0, now - newest_write)

    def _canary(self, instance: Instance) -> int | None:
        """Return when the canary was written, None in a database that has none."""
        if self._query(instance, "postgres", CANARY_EXISTS) != "t":
            return None
        return int(self._query(instance, "postgres", CANARY))

    def _amcheck(self, instance: Instance) -> None:
        if self.job.amcheck is None:
            return
        self.record.amcheck = "failed"
        arguments = (*self._connection(), "--all", "--install-missing", *self.job.amcheck)
        try:
            instance.command("pg_amcheck", *arguments, timeout=self.job.timeout)
        except InstanceError as error:
            raise VerifyError(str(error)) from error
        self.record.amcheck = "passed"

    def _assert(self, instance: Instance) -> None:
        for assertion in self.job.assertions:
            answer = self._query(instance, assertion.database, assertion.sql)
            if answer != "t":
                raise VerifyError(f"assertion {assertion.name!r} is not true: it returned {answer[:200]!r}")
            self.record.assertions += 1

    def _checksums(self, instance: Instance) -> None:
        if instance.control().get("Data page checksum version") == "0":
            self.record.checksums = "off in this cluster"
            return
        self.record.checksums = "failed"
        instance.command("pg_checksums", "--check", "-D", str(instance.data), timeout=self.job.timeout)
        self.record.checksums = "passed"


def prepare(job: Job) -> None:
    """Make the run directory's files; what an interrupted verification left behind is removed."""
    clean(job)
    for path in (job.run, job.run / "lock", job.run / "log", job.run / "spool"):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = scratch_config(job.pgbackrest_config.read_text(encoding="utf-8"), job.stanza, str(job.scratch), str(job.run))
    _write(job.run / "pgbackrest.conf", text, 0o600)
    for name, content in private_files([job.user], job.superuser).items():
        _write(job.run / name, content, 0o600)


def clean(job: Job) -> None:
    """Remove the scratch directory and what lies in the run directory."""
    _remove(job.scratch)
    for path in job.run.iterdir() if job.run.exists() else ():
        if path.is_dir() and not path.is_symlink():
            _remove(path)
        else:
            path.unlink(missing_ok=True)


def verify(job: Job) -> Record:
    """Verify, write the record to its files, clean up, and return the record."""
    former = read_record(job.record) or asdict(Record(job.stanza, 0))
    kept = {name: former[name] for name in ("last_passed", "older", "older_target", "repository", "turns")}
    record = Record(job.stanza, int(time.time()), **kept)
    started = time.monotonic()
    try:
        prepare(job)
        Verification(job, record, former["result"] == "passed").carry_out()
        record.result = "passed"
    except (VerifyError, PgBackRestError, InstanceError, OSError, KeyError, ValueError, configparser.Error) as error:
        record.error = legible(str(error) or repr(error))
    try:
        record.finished = int(time.time())
        record.seconds["total"] = round(time.monotonic() - started, 1)
        if record.result == "passed":
            record.last_passed = record.finished
        _write(job.record, json.dumps(asdict(record), indent=2, sort_keys=True) + "\n", 0o644)
        if job.textfile:
            _write(job.textfile, metrics(record), 0o644)
    finally:
        clean(job)
    return record


def _remove(path: Path) -> None:
    """Remove a directory; pgBackRest's workers may go on to write for a moment after its end."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while path.exists():
        try:
            shutil.rmtree(path)
        except OSError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(POLL_SECONDS)


def _write(path: Path, text: str, mode: int) -> None:
    """Replace a file at once; it never has more permissions than *mode*."""
    staged = path.with_name(f".{path.name}.new")
    staged.unlink(missing_ok=True)
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    staged.replace(path)


def ended_from_outside(_number: int, _frame: Any) -> None:
    """Record a stop by systemd like any other failure."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise VerifyError("it was ended from outside, as when its time was over or the host went down")


def main(arguments: Sequence[str]) -> int:
    """Run the job whose file is the only argument."""
    signal.signal(signal.SIGTERM, ended_from_outside)
    job = parse_job(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    record = verify(job)
    text = f"backup {record.backup or '?'} of {record.stanza}: {record.result} after {record.seconds['total']} s"
    print(text if record.result == "passed" else f"{text}: {record.error}", file=sys.stderr)
    return 0 if record.result == "passed" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
