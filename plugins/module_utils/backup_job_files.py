# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Saves files with restic and verifies the snapshot: restores some of them and compares them with the host's."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import re
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils import safe_path
from ansible_collections.holdfast.ha.plugins.module_utils.backup_job_tools import JobError, Runner, plain_environment

DAY = 86400
EARLY = 3600  # a daily check is due although the day's run began a little earlier than yesterday's
LARGEST = 64 * 2**20
KEEP = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
SECRET_LENGTH = 4  # a shorter value is no secret, and hiding it would garble messages


@dataclass(frozen=True)
class Settings:
    """What to save and where; ``keep`` has restic's counts by period, ``check_parts`` 0 disables the repository's
    check. A snapshot during which one of the ``steady`` files changed is not used."""

    name: str
    host: str
    paths: tuple[str, ...]
    excludes: tuple[str, ...]
    one_file_system: bool
    repository: str = field(repr=False)
    password: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    keep: Mapping[str, int]
    check_days: int
    check_parts: int
    proof_files: int
    steady: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """The state between runs: the known repository, and which part of it was read when."""

    repository: str = ""
    checked: float = 0.0
    part: int = 0


@dataclass(frozen=True)
class Saved:
    """A regular file in a snapshot."""

    path: str
    size: int


def parse_settings(document: Mapping[str, Any]) -> Settings:
    """Return the settings of a job's document."""
    lists = {key: tuple(document.get(key, ())) for key in ("paths", "excludes", "steady")}
    return Settings(**{**document, **lists})


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Return the secrets to hide: passwords, including that in the repository's address, and the environment's
    values."""
    inside = re.findall(r"//[^/@:]*:([^/@]+)@", settings.repository)
    values = [settings.password, *settings.environment.values(), *inside]
    return tuple(value for value in values if len(value) >= SECRET_LENGTH)


def fingerprint(repository: str) -> str:
    """Return a fingerprint of a repository's address that does not reveal it."""
    return hashlib.sha256(repository.encode()).hexdigest()


def backup_command(settings: Settings, own: Sequence[str]) -> list[str]:
    """Return restic's command that saves the files; *own* are the job's own directories, which it leaves out."""
    options = [f"--exclude={pattern}" for pattern in (*settings.excludes, *own)]
    options += ["--one-file-system"] if settings.one_file_system else []
    return ["restic", "backup", "--json", "--quiet", *labels(settings), *options, "--", *settings.paths]


def labels(settings: Settings) -> list[str]:
    """Return the options that select this job's snapshots in the repository."""
    return [f"--tag=holdfast-job-{settings.name}", f"--host={settings.host}"]


def forget_command(settings: Settings) -> list[str] | None:
    """Return restic's command that expires snapshots, None where all are kept."""
    kept = [f"--keep-{period}={settings.keep[period]}" for period in KEEP if settings.keep.get(period)]
    # Grouped by paths, snapshots of paths that are no longer declared would never expire.
    return (
        ["restic", "forget", "--quiet", "--prune", "--group-by=host,tags", *labels(settings), *kept] if kept else None
    )


def due_part(settings: Settings, state: State, now: float) -> int | None:
    """Return the part of the repository to read, from 1 on; None when none is due."""
    if not settings.check_parts or now - state.checked < settings.check_days * DAY - EARLY:
        return None
    return state.part % settings.check_parts + 1


def snapshot_of(lines: Iterable[str]) -> str:
    """Return the snapshot's id from what `restic backup --json` printed."""
    for line in lines:
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("message_type") == "summary":
            return str(message["snapshot_id"])
    raise JobError("restic backup did not tell which snapshot it made")


def parse_files(lines: Iterable[str]) -> Iterator[Saved]:
    """Yield the regular files of `restic ls --json`."""
    for line in lines:
        node = json.loads(line) if line.startswith("{") else {}
        if node.get("struct_type") == "node" and node.get("type") == "file":
            yield Saved(node["path"], int(node.get("size", 0)))


def sample(files: Iterable[Saved], count: int, chance: random.Random) -> list[Saved]:
    """Return a uniform random sample of the files; the smallest file if all are too large to restore."""
    chosen: list[Saved] = []
    smallest: Saved | None = None
    seen = 0
    for file in files:
        smallest = file if smallest is None or file.size < smallest.size else smallest
        if file.size > LARGEST:
            continue
        seen += 1
        place = chance.randrange(seen)
        if len(chosen) < count:
            chosen.append(file)
        elif place < count:
            chosen[place] = file
    return chosen or ([smallest] if smallest else [])


def literal(path: str) -> str:
    """Return restic's pattern that matches this path only."""
    return re.sub(r"([\\*?\[])", r"\\\1", path)


def save(document: Mapping[str, Any]) -> str:
    """Save the files and verify the snapshot; return what was done, raise JobError."""
    directories = [Path(os.environ[name]) for name in ("STATE_DIRECTORY", "CACHE_DIRECTORY")]
    return Files(parse_settings(document), *directories).save()


class Files:
    """One run: ``state`` and ``cache`` are the job's own directories."""

    def __init__(self, settings: Settings, state: Path, cache: Path) -> None:
        self.settings = settings
        self.memory = state / "state.json"
        self.cache = cache
        self.scratch = cache / "scratch"
        environment = {
            **plain_environment("RESTIC_"),
            "TMPDIR": str(self.scratch),
            "RESTIC_CACHE_DIR": str(cache / "restic"),
            "RESTIC_REPOSITORY": settings.repository,
            "RESTIC_PASSWORD": settings.password,
            **settings.environment,
        }
        self.runner = Runner(environment, secrets_of(settings))

    def save(self) -> str:
        """Save, verify, expire and check, in this order: nothing expires before the new snapshot is verified."""
        missing = [path for path in self.settings.paths if not os.path.lexists(path)]
        if missing:  # restic would only leave them out
            raise JobError(f"{', '.join(missing)} does not exist")
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(mode=0o700)
        try:
            self._have_repository()
            began = time.time()
            snapshot = self._snapshot()
            proven = self._prove(snapshot, began)
            forget = forget_command(self.settings)
            if forget:
                self.runner.output(forget)
            return f"snapshot {snapshot[:8]}: {proven}{self._check()}"
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def _snapshot(self) -> str:
        """Take a snapshot; one during which a steady file changed is dropped again."""
        before = states(self.settings.steady)
        unread = [path for path, contents in before.items() if not contents]
        if unread:
            raise JobError(f"{', '.join(unread)} can't be read, or is no file")
        own = (str(self.cache), str(self.memory.parent))
        snapshot = snapshot_of(self.runner.output(backup_command(self.settings, own)).splitlines())
        after = states(self.settings.steady)
        changed = [path for path in before if before[path] != after[path]]
        if changed:
            self.runner.output(["restic", "forget", "--quiet", snapshot])
            raise JobError(f"{', '.join(changed)} changed during the snapshot, which is not used")
        return snapshot

    def _have_repository(self) -> None:
        """Create the repository in the first run; fail if a known repository no longer exists."""
        state = self._remembered()
        known = fingerprint(self.settings.repository)
        try:
            self.runner.output(["restic", "cat", "config"])
        except JobError as error:
            if state.repository == known:
                raise JobError(f"the repository can't be read, and is not created again: {error}") from error
            try:
                self.runner.output(["restic", "init"])
            except JobError as refused:
                raise JobError(f"there is no repository: {error}; nor can it be made: {refused}") from refused
        # Remove the locks of a run that lost power; locks of running processes stay.
        self.runner.output(["restic", "unlock"])
        if state.repository != known:
            self._remember(State(known))

    def _prove(self, snapshot: str, began: float) -> str:
        """Restore files of a snapshot, and compare those that did not change on the host since it was begun."""
        if not self.settings.proof_files:
            return "not proven"
        lines = self.runner.lines(["restic", "ls", "--json", snapshot])
        chosen = sample(parse_files(lines), self.settings.proof_files, random.SystemRandom())
        if not chosen:
            raise JobError("the snapshot holds no file")
        target = self.scratch / "restored"
        included = [f"--include={literal(file.path)}" for file in chosen]
        self.runner.output(["restic", "restore", "--quiet", "--verify", f"--target={target}", *included, snapshot])
        compared = sum(prove_file(target, file, began) for file in chosen)
        return f"{len(chosen)} files restored, {compared} of them compared with the host's"

    def _check(self) -> str:
        """Check a part of the repository if that is due."""
        state = self._remembered()
        part = due_part(self.settings, state, time.time())
        if part is None:
            return ""
        self.runner.output(["restic", "check", "--quiet", f"--read-data-subset={part}/{self.settings.check_parts}"])
        self._remember(State(state.repository, time.time(), part))
        return f", part {part} of {self.settings.check_parts} of the repository read"

    def _remembered(self) -> State:
        try:
            return State(**json.loads(safe_path.read(self.memory) or b"{}"))
        except (safe_path.UnsafePathError, OSError, ValueError, TypeError):
            return State()

    def _remember(self, state: State) -> None:
        access = safe_path.Access(os.geteuid(), os.getegid(), 0o600)
        try:
            safe_path.replace(self.memory, json.dumps(asdict(state)).encode(), access)
        except safe_path.UnsafePathError as error:
            raise JobError(str(error)) from error


def states(paths: Iterable[str]) -> dict[str, str]:
    """Return the hashes of files' contents by path, "" for one that can't be read or is no file."""
    found = {}
    for path in paths:
        try:
            with open_regular(path) as file:
                found[path] = digest(file)
        except OSError:
            found[path] = ""
    return found


def prove_file(target: Path, file: Saved, began: float) -> bool:
    """Compare a restored file; return whether the host's could be compared, too; raise JobError if they differ."""
    restored = Path(f"{target}{file.path}")
    if not restored.is_file() or restored.stat().st_size != file.size:
        raise JobError(f"{file.path} was not restored as it was saved")
    try:
        with restored.open("rb") as copy, open_regular(file.path) as there:
            before = os.fstat(there.fileno())
            same = digest(copy) == digest(there)
            after = os.fstat(there.fileno())
    except OSError:
        return False
    if max(before.st_ctime, after.st_ctime) >= int(began):
        return False
    if not same:
        raise JobError(f"{file.path} was restored with other contents than the host's, which did not change")
    return True


def open_regular(path: str) -> io.BufferedReader:
    """Open a file that may have changed its type: OSError if it is a link or not a regular file."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"{path} is no regular file")
    return file


def digest(file: io.BufferedReader) -> str:
    """Return the hash of a file's contents."""
    return hashlib.file_digest(file, "sha256").hexdigest()
