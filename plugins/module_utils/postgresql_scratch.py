# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An empty database cluster beside the real one, with which the installed PostgreSQL validates a configuration.

No server is started: nothing listens, archives or connects anywhere. What root writes lies in a directory of root,
what PostgreSQL writes in one of its user below it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ansible_collections.holdfast.ha.plugins.module_utils import safe_path

SECONDS = 120
TIMED_OUT = 124
FILES = {"config_file": "postgresql.conf", "hba_file": "pg_hba.conf", "ident_file": "pg_ident.conf"}
QUIET = ("log_line_prefix=", "lc_messages=C", "log_destination=stderr", "logging_collector=off")
SMALL = ("shared_buffers=16MB", "huge_pages=off", "archive_mode=off")
ROWS = "SELECT encode(convert_to(coalesce(json_agg(row), '[]')::text, 'UTF8'), 'hex') AS {name} FROM ({query}) AS row"

# Runs under the interpreter that Patroni runs under, which need not be Ansible's.
JUDGE = r"""
import inspect, json, logging, sys
logging.disable(logging.CRITICAL)
from patroni.config import Config
from patroni.postgresql.validator import recovery_parameters, transform_postgresql_parameter_value as transform
from patroni.postgresql.validator import transform_recovery_parameter_value as recover
asked = json.load(sys.stdin)
process = Config._process_postgresql_parameters
given = {**process(asked["cluster"], False), **process(asked["local"], True)}
rest = [set(asked["known"])][: len(inspect.signature(transform).parameters) - 3]
kept = {name: transform(asked["version"], name, value, *rest) for name, value in given.items()}
kept.update({name: recover(asked["version"], name, value, *rest) for name, value in asked["recovery"].items()})
kept = {name: value for name, value in kept.items() if value is not None}
unread = ""
try:
    Config.__new__(Config)._safe_copy_dynamic_configuration(asked["dynamic"])
except (TypeError, ValueError) as error:
    unread = str(error)
json.dump({"kept": kept, "recovery": sorted(recovery_parameters), "unread": unread}, sys.stdout)
"""
COMPARE = r"""
import json, sys
from patroni.utils import compare_values
json.dump({
    row["name"]: bool(compare_values(row["vartype"], row["unit"], row["setting"], row["wanted"]))
    for row in json.load(sys.stdin)
}, sys.stdout)
"""

Run = Callable[..., tuple[int, str, str]]
Rows = list[dict[str, Any]]


class ScratchError(Exception):
    """The validation itself failed; the message is for the user."""


def decode(output: str, name: str) -> Rows | None:
    """Return the rows that a stand-alone backend printed under a name, None where it printed none."""
    match = re.search(rf'\b{name} = "([0-9a-f]*)"', output)
    return cast("Rows", json.loads(bytes.fromhex(match[1]))) if match else None


@contextmanager
def scratch_directory(base: Path, user_id: int, group_id: int) -> Iterator[Path]:
    """Yield an empty directory of root's that the group may read, with a directory C(data) of the user's.

    One at a time: another one waits. What an interrupted one left is removed.
    """
    base.mkdir(mode=0o755, parents=True, exist_ok=True)
    directory = base / "scratch"
    with os.fdopen(safe_path.lock_file(base / "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(directory, ignore_errors=True)
        try:
            (directory / "data").mkdir(mode=0o700, parents=True)
            os.chown(directory / "data", user_id, group_id)
            os.chown(directory, 0, group_id)
            directory.chmod(0o750)
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True)
class Server:
    """The installed PostgreSQL, run as its user; ``run`` is AnsibleModule.run_command or shaped like it."""

    run: Run
    bin: Path
    user: str = "postgres"

    def call(self, *argv: str, data: str = "") -> tuple[int, str, str]:
        """Run a program as the user; raise ScratchError when it takes too long."""
        command = ["runuser", "-u", self.user, "--", "timeout", str(SECONDS), *argv]
        done = self.run(command, data=data, cwd="/", environ_update={"LC_ALL": "C", "LANGUAGE": "C"})
        if done[0] == TIMED_OUT:
            raise ScratchError(
                f"{Path(argv[0]).name} took longer than {SECONDS} s; run again when the host is less busy"
            )
        return done

    def version(self) -> str:
        """Return the server's version, such as C(17.12); raise ScratchError."""
        rc, out, err = self.call(str(self.bin / "postgres"), "--version")
        if rc:
            raise ScratchError(f"{self.bin}/postgres --version failed: {(err or out).strip()}")
        return out.split("(PostgreSQL)")[-1].split()[0]

    def known(self) -> list[str]:
        """Return the names of all parameters."""
        _rc, out, _err = self.call(str(self.bin / "postgres"), "--describe-config")
        return [line.partition("\t")[0] for line in out.splitlines()]

    def patroni(self, program: str, asked: Any) -> dict[str, Any]:
        """Return what a program says with the installed Patroni; raise ScratchError."""
        rc, out, err = self.call("/usr/bin/python3", "-I", "-c", program, data=json.dumps(asked))
        if rc:
            raise ScratchError(f"the installed Patroni can't be asked: {err.strip().rpartition(chr(10))[2]}")
        answer: dict[str, Any] = json.loads(out)
        return answer


@dataclass(frozen=True)
class Scratch:
    """A scratch cluster in a directory."""

    server: Server
    directory: Path

    def create(self, *options: str) -> str | None:
        """Create the cluster and return None, or why it can't be created with these options of initdb."""
        argv = ("-D", str(self.directory / "data"), "-U", "postgres", "-A", "reject", "--no-sync", *options)
        rc, out, err = self.server.call(str(self.server.bin / "initdb"), *argv)
        return (err or out).strip() if rc else None

    def put(self, name: str, content: str, mode: int = 0o640) -> Path:
        """Write a file that the user may read."""
        path = self.directory / name
        path.write_text(content, encoding="utf-8")
        os.chown(path, 0, (self.directory / "data").stat().st_gid)
        path.chmod(mode)
        return path

    def link_from(self, directory: Path) -> None:
        """Link the files beside the real ones into the scratch directory, because the tried files may refer to them."""
        for path in directory.iterdir() if directory.is_dir() else ():
            if path.name not in ("data", *FILES.values()):
                (self.directory / path.name).symlink_to(path)

    def ask(self, parameter: str) -> tuple[int, str, str]:
        """Have the server read the configuration as if it started, then print one parameter and end."""
        return self.server.call(str(self.server.bin / "postgres"), "-C", parameter, *self._options(QUIET))

    def session(self, queries: Mapping[str, str], statements: Sequence[str]) -> tuple[dict[str, Rows], str]:
        """Run statements, one line each, and queries in a stand-alone backend.

        Return the queries' rows by their names, without those that failed, and the backend's log.
        """
        named = [ROWS.format(name=name, query=query) for name, query in queries.items()]
        argv = ("--single", *self._options((*QUIET, *SMALL)), "postgres")
        data = "".join(f"{line}\n" for line in (*named, *statements))
        _rc, out, err = self.server.call(str(self.server.bin / "postgres"), *argv, data=data)
        return {name: rows for name in queries if (rows := decode(out, name)) is not None}, err

    def _options(self, overrides: Sequence[str]) -> list[str]:
        own = [f"{name}={self.directory / file}" for name, file in FILES.items()]
        return ["-D", str(self.directory / "data"), *(word for item in (*own, *overrides) for word in ("-c", item))]
