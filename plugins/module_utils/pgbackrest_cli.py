# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs ``pgbackrest`` on the repository host, and converges a stanza and its backups with it."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest import (
    Backup,
    BackupStep,
    Database,
    PgBackRestError,
    Stanza,
    StanzaStep,
    find_stanzas,
    newest,
    of_repository,
    only_databases,
    parse_databases,
    parse_info,
    parse_listing,
    parse_version,
    plan_backup,
    plan_stanza,
    refuse_former_backups,
)

Runner = Callable[[Sequence[str]], tuple[int, str, str]]
CheckResult = Literal["passed", "not_run", "backup_running"]

# pgBackRest's exit codes are the codes of its errors.
CONFIG = 27
FILE_INVALID = 28
HOST_CONNECT = 49
LOCK_ACQUIRE = 50
DB_CONNECT = 56
DB_QUERY = 57
DB_MISSING = 80
ARCHIVE_TIMEOUT = 82

# A member that is starting, failing over or not archiving yet answers with one of these.
PASSING = frozenset({HOST_CONNECT, LOCK_ACQUIRE, DB_CONNECT, DB_QUERY, DB_MISSING, ARCHIVE_TIMEOUT})

# It frees and takes megabytes for each piece of a file, which glibc would give back to the kernel each time. Bytes.
KEEPS_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "16777216"}
ENVIRONMENT = {"LC_ALL": "C.UTF-8", **KEEPS_MEMORY}

TIMED_OUT = 124  # coreutils' timeout(1)
POLL_SECONDS = 1.0
ARCHIVE_TIMEOUT_SECONDS = 45.0
# A frozen host still completes TCP handshakes, so only the protocol's time-out (half an hour by default) ends the wait.
SHORT_TIMEOUTS = ("--db-timeout=30", "--protocol-timeout=60")
CONNECT_SECONDS = 1.0
PING_SECONDS = 2  # for a pgBackRest server that may be busy; each that is dead costs as much
ARCHIVED = "successfully archived"  # says check of the primary's segment; it may pass without any
NEARLY_FULL = 64 * 2**20  # bytes; an unfinished file still takes what is less
GRACE_SECONDS = 10.0  # for pgBackRest to report its own time-out first

DEFAULT_CONFIG = "/etc/pgbackrest.conf"
COMMON_SPEC: dict[str, dict[str, Any]] = {
    "user": {"type": "str", "default": "postgres"},
    "config": {"type": "path"},
}


class PartlyError(PgBackRestError):
    """Some repositories can't be converged; another one has the stanza and can take a backup."""


class Deadline:
    """A monotonic deadline that polls can ask and pause on."""

    def __init__(
        self,
        seconds: float,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.seconds = seconds
        self._now = now
        self._sleep = sleep
        self._end = now() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self._end - self._now())

    def pause(self) -> bool:
        """Sleep one poll interval; return False when no time is left instead."""
        if self.remaining <= 0:
            return False
        self._sleep(min(POLL_SECONDS, self.remaining))
        return True


def full_disk(error: str) -> str:
    """Return the fix where pgBackRest could not write for lack of space, which it does not report, or ""."""
    match = re.search(r"unable to write '([^']+)'", error)
    folder = next((path for path in Path(match[1]).parents if path.exists()), None) if match else None
    if folder is None or (free := shutil.disk_usage(folder).free) >= NEARLY_FULL:
        return ""
    return (
        f" -- the disk of {folder} is full, {free // 2**20} MiB are free: give it more room, or keep fewer backups "
        "(pgbackrest_retention_full); then run it again"
    )


@dataclass(frozen=True)
class Answer:
    """What one command answered."""

    command: str
    code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The error pgBackRest reported, without its log prefix."""
        text = f"{self.stderr}\n{self.stdout}"
        match = re.search(r"ERROR: (.*)", text, re.DOTALL)
        silence = (
            "it did not end in time, as when a database host is frozen" if self.code == TIMED_OUT else "no message"
        )
        detail = (match.group(1) if match else text).strip() or silence
        return f"pgbackrest {self.command} failed with code {self.code}: {detail}{full_disk(detail)}"


@dataclass(frozen=True)
class StanzaOutcome:
    """The actions on the stanza, its former and present state in each repository, and whether archiving was proven."""

    before: tuple[Stanza, ...]
    after: tuple[Stanza, ...]
    actions: tuple[str, ...] = ()
    check: CheckResult = "not_run"


@dataclass(frozen=True)
class BackupOutcome:
    """The backup that served before, the one that serves now (None if it is yet to be taken), and the action."""

    step: BackupStep
    previous: Backup | None
    backup: Backup | None
    repository: int = 1


def listens(host: str, port: int) -> bool:
    """Return whether a server accepts connections; pgBackRest would retry a host that is down many times."""
    with suppress(OSError), socket.create_connection((host, port), CONNECT_SECONDS):
        return True
    return False


@dataclass
class PgBackRest:
    """The ``pgbackrest`` command of this host, run as the user that owns the repository."""

    run_command: Runner
    user: str = "postgres"
    config: str | None = None
    listens: Callable[[str, int], bool] = listens
    _prefix: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if os.geteuid() == 0:
            self._prefix = ["runuser", "-u", self.user, "--"]

    def run(self, command: str, *options: str, stanza: str | None = None, timeout: float | None = None) -> Answer:
        """Run one command; *timeout* in seconds ends it. Never raises for an exit code."""
        argv = list(self._prefix)
        if timeout is not None:
            argv += ["timeout", f"{timeout:.0f}"]
        argv.append("pgbackrest")
        if self.config:
            argv.append(f"--config={self.config}")
        if stanza:
            argv.append(f"--stanza={stanza}")
        return Answer(command, *self.run_command([*argv, command, *options]))

    def demand(self, command: str, *options: str, stanza: str | None = None, timeout: float | None = None) -> str:
        """Run one command and return its output, or raise PgBackRestError."""
        answer = self.run(command, *options, stanza=stanza, timeout=timeout)
        if answer.code != 0:
            raise PgBackRestError(answer.error)
        return answer.stdout

    def databases(self, stanza: str) -> tuple[Database, ...]:
        """Return the databases that the configuration gives a stanza, none where it can't be read."""
        try:
            return parse_databases(Path(self.config or DEFAULT_CONFIG).read_text(encoding="utf-8"), stanza)
        except (OSError, configparser.Error):
            return ()

    def answers(self, database: Database) -> bool:
        """Return whether the pgBackRest server of a database's host answers; this host's own database needs none."""
        if not database.host:
            return True
        options = (f"--tls-server-port={database.server_port}", f"--io-timeout={PING_SECONDS}")
        return (
            self.listens(database.host, int(database.server_port))
            and self.run("server-ping", *options, database.host).code == 0
        )

    def check(self, *options: str, stanza: str, timeout: float) -> tuple[Answer, tuple[str, ...]]:
        """Check archiving without the hosts whose pgBackRest server is silent; return the answer and their addresses.

        pgBackRest itself would wait many times its io-timeout for each of them.
        """
        databases = self.databases(stanza)
        kept = [database for database in databases if self.answers(database)]
        silent = tuple(database.host for database in databases if database not in kept)
        if silent and not kept:
            return Answer("check", HOST_CONNECT, "", f"ERROR: no database host answers: {', '.join(silent)}"), silent
        rest = only_databases(databases, kept)
        level = ("--log-level-console=info",) if silent else ()
        answer = self.run("check", *options, *level, *rest, stanza=stanza, timeout=timeout)
        if silent and (answer.code == CONFIG or (answer.code == 0 and ARCHIVED not in answer.stdout)):
            missing = f"ERROR: no primary among the hosts that answer, {', '.join(silent)} did not"
            return Answer("check", HOST_CONNECT, "", missing), silent
        return answer, silent

    def version(self) -> str:
        """Return the installed version, for instance ``2.55.1``."""
        return parse_version(self.demand("version"))

    def stanzas(self, name: str | None = None) -> tuple[Stanza, ...]:
        """Return the stanzas that the repository knows."""
        return parse_info(self.demand("info", "--output=json", stanza=name))

    def repositories(self, name: str) -> tuple[Stanza, ...]:
        """Return one stanza, which may be missing, in each repository."""
        return find_stanzas(self.stanzas(name), name)

    def stanza(self, name: str, repository: int) -> Stanza:
        """Return one stanza, which may be missing, in one repository."""
        return of_repository(self.repositories(name), repository)[0]

    def listing(self, repository: int, path: str) -> str:
        """Return what lies under a path of a repository, as JSON."""
        return self.demand("repo-ls", f"--repo={repository}", "--output=json", path)

    def leftovers(self, stanza: Stanza) -> tuple[str, ...]:
        """Return what lies in a repository under a stanza's paths."""
        listings = (self.listing(stanza.repository, f"{part}/{stanza.name}") for part in ("archive", "backup"))
        return tuple(entry for listing in listings for entry in parse_listing(listing))

    def patiently(
        self, command: str, *options: str, stanza: str, deadline: Deadline, passing: frozenset[int] = PASSING
    ) -> Answer:
        """Repeat a command while its failure is transient."""
        return patiently(
            lambda: self.run(command, *options, stanza=stanza, timeout=deadline.remaining + GRACE_SECONDS),
            deadline,
            passing,
        )


def patiently(attempt: Callable[[], Answer], deadline: Deadline, passing: frozenset[int]) -> Answer:
    """Return the first answer that is not a transient failure, or the last before the deadline."""
    while True:
        answer = attempt()
        if answer.code not in passing or not deadline.pause():
            return answer


def client_of(module: AnsibleModule) -> PgBackRest:
    """Return the client that a module's parameters describe."""
    return PgBackRest(
        # It shows the beginning of a file that it can't read, which may be encrypted.
        run_command=lambda argv: module.run_command(list(argv), cwd="/", environ_update=ENVIRONMENT, errors="replace"),
        user=module.params["user"],
        config=module.params["config"],
    )


def predict_absent(module: AnsibleModule, **result: Any) -> None:
    """Without an installed pgBackRest, predict a change in check mode and fail otherwise."""
    if shutil.which("pgbackrest") is not None:
        return
    if module.check_mode:
        module.exit_json(changed=True, **result)
    module.fail_json(msg="pgbackrest is not installed on this host; install the package pgbackrest first")


def converge_stanza(
    client: PgBackRest, name: str, check: str, deadline: Deadline, *, dry_run: bool, upgrade: bool = False
) -> StanzaOutcome:
    """Ensure that the stanza exists in each repository and fits its database, and prove archiving as *check* says.

    *check* is always, changed or never. With *upgrade* a stanza that holds another database's backups is upgraded, too;
    otherwise that is an error.
    """
    before, plans = _plan(client, name)
    actions = _steps(plans)
    if dry_run:
        return StanzaOutcome(before, before, actions)
    while any("delete" in steps for steps in plans.values()) and not _delete(client, name, plans, deadline):
        plans = _plan(client, name)[1]
        actions = _steps(plans)
    upgraded = "create" in actions and _create(client, before, deadline, upgrade=upgrade)
    result: CheckResult = "not_run"
    if check == "always" or (check == "changed" and actions):
        result, proved = _prove(client, before, bool(actions), deadline, upgrade=upgrade)
        upgraded = upgraded or proved
    actions += ("upgrade",) if upgraded else ()
    return StanzaOutcome(before, client.repositories(name) if actions else before, actions, result)


def converge_backup(
    client: PgBackRest,
    name: str,
    wanted: str,
    max_age: int | None,
    deadline: Deadline,
    *,
    dry_run: bool,
    repository: int = 1,
    now: Callable[[], float] = time.time,
) -> BackupOutcome:
    """Ensure a backup that serves as *wanted* type; wait for a running one before deciding whether to take it."""
    while True:
        plan = plan_backup(client.stanza(name, repository), wanted, max_age, int(now()))
        if plan.step == "keep":
            return BackupOutcome("keep", plan.backup, plan.backup, repository)
        if dry_run:
            return BackupOutcome("take", plan.backup, None, repository)
        if plan.step == "take" and _take(client, name, wanted, deadline, repository):
            break
        if not deadline.pause():
            raise PgBackRestError(
                f"stanza {name}: another backup still holds the lock after {deadline.seconds:.0f} s of waiting"
            )
    backups = client.stanza(name, repository).current_backups
    return BackupOutcome("take", plan.backup, newest(backups, wanted), repository)


def _plan(client: PgBackRest, name: str) -> tuple[tuple[Stanza, ...], dict[int, tuple[StanzaStep, ...]]]:
    """Return the stanza in each repository, and the steps that each of them needs."""
    stanzas = client.repositories(name)
    plans: dict[int, tuple[StanzaStep, ...]] = {}
    errors: list[str] = []
    for stanza in stanzas:
        try:
            plans[stanza.repository] = plan_stanza(stanza, () if stanza.exists else client.leftovers(stanza))
        except PgBackRestError as error:
            errors.append(str(error))
    if errors:
        raise (PartlyError if any(stanza.exists for stanza in stanzas) else PgBackRestError)("; ".join(errors))
    return stanzas, plans


def _steps(plans: Mapping[int, tuple[StanzaStep, ...]]) -> tuple[str, ...]:
    wanted = {step for steps in plans.values() for step in steps}
    return tuple(step for step in ("delete", "create") if step in wanted)


def _delete(client: PgBackRest, name: str, plans: Mapping[int, tuple[StanzaStep, ...]], deadline: Deadline) -> bool:
    """Clear a stanza without backups; return False when another command uses it, so that the caller plans again."""
    for repository in [key for key, steps in plans.items() if "delete" in steps]:
        client.demand("stop", stanza=name)
        answer = client.run(
            "stanza-delete",
            f"--repo={repository}",
            "--force",
            stanza=name,
            timeout=deadline.remaining + GRACE_SECONDS,
        )
        if answer.code != 0:
            client.demand("start", stanza=name)
            if answer.code != LOCK_ACQUIRE or not deadline.pause():
                raise PgBackRestError(answer.error)
            return False
    return True


def _create(client: PgBackRest, stanzas: Sequence[Stanza], deadline: Deadline, *, upgrade: bool) -> bool:
    """Create the stanza where a repository lacks it; return whether it had to be upgraded in another one first.

    pgBackRest goes through all repositories and stops at the first that fails.
    """
    name = stanzas[0].name
    answer = client.patiently("stanza-create", *SHORT_TIMEOUTS, stanza=name, deadline=deadline)
    upgraded = answer.code == FILE_INVALID
    if upgraded:
        _refuse_former_backups(stanzas, upgrade)
        client.patiently("stanza-upgrade", *SHORT_TIMEOUTS, stanza=name, deadline=deadline)
        answer = client.patiently("stanza-create", *SHORT_TIMEOUTS, stanza=name, deadline=deadline)
    if answer.code != 0:
        raise PgBackRestError(answer.error)
    return upgraded


def _refuse_former_backups(stanzas: Sequence[Stanza], upgrade: bool) -> None:
    for stanza in () if upgrade else stanzas:
        refuse_former_backups(stanza)


def _prove(
    client: PgBackRest, stanzas: Sequence[Stanza], changed: bool, deadline: Deadline, *, upgrade: bool
) -> tuple[CheckResult, bool]:
    """Run pgBackRest's check; return its result and whether the stanza had to be upgraded to the database first."""
    name = stanzas[0].name
    answer = _check(client, name, deadline)
    upgraded = answer.code == FILE_INVALID and not changed
    if upgraded:
        _refuse_former_backups(stanzas, upgrade)
        upgrading = client.patiently("stanza-upgrade", *SHORT_TIMEOUTS, stanza=name, deadline=deadline)
        if upgrading.code != 0:
            raise PgBackRestError(upgrading.error)
        answer = _check(client, name, deadline)
    if answer.code == LOCK_ACQUIRE:
        return "backup_running", upgraded
    if answer.code != 0:
        raise PgBackRestError(answer.error)
    return "passed", upgraded


def _check(client: PgBackRest, name: str, deadline: Deadline) -> Answer:
    """Run the check; don't wait for a lock held by a backup, which may last for hours."""
    options = (f"--archive-timeout={min(ARCHIVE_TIMEOUT_SECONDS, deadline.seconds / 2):.0f}", *SHORT_TIMEOUTS)
    return patiently(
        lambda: client.check(*options, stanza=name, timeout=deadline.remaining + GRACE_SECONDS)[0],
        deadline,
        PASSING - {LOCK_ACQUIRE},
    )


def _take(client: PgBackRest, name: str, wanted: str, deadline: Deadline, repository: int) -> bool:
    """Take a backup; return False when another one holds the lock."""
    options = (f"--repo={repository}", f"--type={wanted}")
    answer = client.run("backup", *options, stanza=name, timeout=deadline.remaining + GRACE_SECONDS)
    if answer.code == LOCK_ACQUIRE:
        return False
    if answer.code == TIMED_OUT:
        raise PgBackRestError(f"stanza {name}: the {wanted} backup was ended after {deadline.seconds:.0f} s")
    if answer.code != 0:
        raise PgBackRestError(answer.error)
    return True
