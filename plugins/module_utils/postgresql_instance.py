# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private PostgreSQL that is started on a restored data directory only to recover it.

All its settings are on the command line, which overrides every file of the restored data.
"""

# It serves a program that runs without Ansible too.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_target import (
    RECOVERY_PARAMETER,
    SEGMENT_BYTES,
    Target,
    parse_lsn,
    segment_start,
)

PORT = 5432  # names the socket only; nothing listens on TCP
POLL_SECONDS = 0.2
STOP_SECONDS = 600
READY = "ready"
RECOVERED_AND_STOPPED = "shut down in recovery"
# A recovering server needs at least the primary's values, which are in pg_control.
FROM_CONTROL = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_wal_senders setting": "max_wal_senders",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
    "wal_level setting": "wal_level",
    "track_commit_timestamp setting": "track_commit_timestamp",
}


class InstanceError(Exception):
    """PostgreSQL did not reach its goal, or not in time; the message is for the user."""


def parse_control(text: str) -> dict[str, str]:
    """Return what ``pg_controldata`` printed, by its labels."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {label.strip(): value.strip() for label, separator, value in pairs if separator}


def private_files(users: Iterable[str] = (), superuser: str = "postgres") -> dict[str, str]:
    """Return the files of an instance's run directory by name: only the named system users may log in, as the
    superuser."""
    known = list(users)
    return {
        "postgresql.conf": "",
        "pg_hba.conf": f"local all {superuser} peer map=private\n" if known else "local all all reject\n",
        "pg_ident.conf": "".join(f"private {user} {superuser}\n" for user in known),
    }


def base_settings(control: Mapping[str, str], run: str) -> dict[str, str]:
    """Return the settings of an instance whose socket, hba and ident files lie in the directory *run*."""
    return {
        "config_file": f"{run}/postgresql.conf",
        "hba_file": f"{run}/pg_hba.conf",
        "ident_file": f"{run}/pg_ident.conf",
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": run,
        "external_pid_file": "",
        "ssl": "off",
        "hot_standby": "off",
        "shared_buffers": "128MB",
        "shared_preload_libraries": "",
        "session_preload_libraries": "",
        # A restored subscription would take what the publisher keeps for the original one.
        "max_logical_replication_workers": "0",
        "synchronous_standby_names": "",
        "primary_conninfo": "",
        "primary_slot_name": "",
        "logging_collector": "off",
        "log_destination": "stderr",
        "lc_messages": "C",
        **{name: control[label] for label, name in FROM_CONTROL.items() if label in control},
    }


def recovery_settings(target: Target, action: str, restore_command: str) -> dict[str, str]:
    """Return the settings that recover to *target* and then do *action* (promote, shutdown)."""
    settings = {"restore_command": restore_command, "recovery_target_timeline": target.timeline}
    if target.type == "latest":
        return settings
    settings["recovery_target_action"] = action
    if target.type == "immediate":
        return settings | {"recovery_target": "immediate"}
    inclusive = "on" if target.inclusive else "off"
    return settings | {RECOVERY_PARAMETER[target.type]: target.value or "", "recovery_target_inclusive": inclusive}


def archive_settings(*, later: bool) -> dict[str, str]:
    """Return the settings that archive nothing; with *later* the WAL is kept for the next server to archive."""
    return {"archive_mode": "on" if later else "off", "archive_command": ""}


def explain_log(text: str) -> str:
    """Return the lines of a server's log that explain its end."""
    lines = [line.strip() for line in text.splitlines()]
    fatal = [line for line in lines if re.search(r"\b(FATAL|PANIC):", line)]
    hints = [line for line in lines if re.search(r"recovery stopping|last completed transaction|HINT:", line)]
    chosen = [*hints[-2:], *fatal[-2:]] or lines[-3:]
    return " | ".join(dict.fromkeys(chosen)) or "it said nothing"


def last_transaction(text: str) -> str | None:
    """Return the time of the last transaction that was replayed, as the server's log says it."""
    found = re.findall(r"last completed transaction was at log time (.+)", text)
    return found[-1].strip() if found else None


def parse_history(text: str) -> tuple[int, str] | None:
    """Return parent timeline and LSN of the last switch in a timeline's history file."""
    lines = [line.split("\t") for line in text.splitlines() if re.match(r"\d+\t", line)]
    return (int(lines[-1][0]), lines[-1][1]) if lines else None


def missing_wal(history: str, end: str | None) -> str | None:
    """Return what is missing when recovery to the latest ended before the archive's last segment *end*, or None.

    *history* is the new timeline's history file. If *end* is on a timeline other than the one that recovery came from,
    the result is unknown.
    """
    switch = parse_history(history)
    if switch is None or end is None or int(end[:8], 16) != switch[0]:
        return None
    reached = parse_lsn(switch[1])
    if reached >= segment_start(end):
        return None
    log, segment = divmod(reached // SEGMENT_BYTES, 2**32 // SEGMENT_BYTES)
    name = f"{switch[0]:08X}{log:08X}{segment:08X}"
    return (
        f"recovery ended at {switch[1]}, in the WAL segment {name}, but the archive goes on to {end}: WAL is missing "
        "or unreadable in between"
    )


def parse_status(pid_file: str) -> str | None:
    """Return the postmaster's state from its postmaster.pid: starting, standby, ready or stopping."""
    lines = pid_file.splitlines()
    return lines[7].strip() if len(lines) > 7 else None


def shell_words(*words: str) -> str:
    """Return words as a command for archive_command or restore_command, in which % stands for itself."""
    return shlex.join(words).replace("%", "%%")


@dataclass
class Instance:
    """A server on the data directory *data*; *run* takes its socket and log."""

    data: Path
    run: Path
    bin: Path
    log_name: str = "postgresql.log"
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        """The file that the server writes its log to."""
        return self.run / self.log_name

    def control(self) -> dict[str, str]:
        """Return pg_controldata's output, parsed."""
        return parse_control(self.command("pg_controldata", str(self.data)))

    def command(self, program: str, *arguments: str, timeout: float | None = None) -> str:
        """Run one of PostgreSQL's programs and return its output; raise InstanceError."""
        argv = [str(self.bin / program), *arguments]
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, check=False, cwd="/", env=_ENVIRONMENT, timeout=timeout
            )
        except subprocess.TimeoutExpired as error:
            raise InstanceError(f"{program} took longer than {timeout:.0f} s") from error
        if done.returncode:
            raise InstanceError(f"{program} failed with code {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def start(self, settings: Mapping[str, str]) -> None:
        """Start the server in the background."""
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(self.bin / "postgres"), "-D", str(self.data), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_ENVIRONMENT,
                start_new_session=True,
            )

    def await_ready(self, seconds: float) -> None:
        """Wait until the server has recovered and accepts writes; raise InstanceError when it ends before."""
        self._poll(seconds, lambda: parse_status(_text(self.data / "postmaster.pid")) == READY, "did not recover")

    def await_target(self, seconds: float) -> None:
        """Wait until the server has stopped itself at its recovery target; raise InstanceError for another end."""
        ended: list[int] = []
        self._poll(seconds, lambda: False, "did not reach its target", ended)
        state = self.control().get("Database cluster state")
        if ended != [0] or state != RECOVERED_AND_STOPPED:
            raise InstanceError(f"PostgreSQL did not reach its target: {explain_log(_text(self.log))}")

    def stop(self) -> None:
        """Stop the server on the data directory, even an earlier run's, after it has archived everything."""
        if self.running():
            self.command("pg_ctl", "stop", "-D", str(self.data), "-m", "fast", "-w", "-t", str(STOP_SECONDS))
        if self._process is not None:
            self._process.wait()
            self._process = None

    def running(self) -> bool:
        """Whether a server runs on the data directory."""
        if not (self.data / "postmaster.pid").exists():
            return False
        argv = [str(self.bin / "pg_ctl"), "status", "-D", str(self.data)]
        return subprocess.run(argv, capture_output=True, check=False, cwd="/", env=_ENVIRONMENT).returncode == 0

    def _poll(self, seconds: float, done: Callable[[], bool], what: str, ended: list[int] | None = None) -> None:
        """Wait for *done*, or with *ended* for the process' end, whose exit code it takes."""
        process = cast("subprocess.Popen[bytes]", self._process)
        deadline = time.monotonic() + seconds
        while not done():
            code = process.poll()
            if code is not None and ended is not None:
                ended.append(code)
                return
            if code is not None:
                raise InstanceError(f"PostgreSQL {what}, it ended with code {code}: {explain_log(_text(self.log))}")
            if time.monotonic() >= deadline:
                raise InstanceError(f"PostgreSQL {what} within {seconds:.0f} s: {explain_log(_text(self.log))}")
            time.sleep(POLL_SECONDS)


_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
