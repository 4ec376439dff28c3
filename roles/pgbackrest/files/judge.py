# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let the installed pgBackRest check a configuration: judge.py FILE STANZA.

Exits with 1 and pgBackRest's message, without secrets, on an error. pgBackRest has no option for a check, and each
command reads only the options that it knows. So this runs commands that together know all options, each in a way that
ends after reading them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

PROGRAM = "/usr/bin/pgbackrest"
USER = "postgres"
SECONDS = 60
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
REFUSALS = frozenset({27, 29, *range(31, 38)})
"""The exit codes of errors in the configuration itself."""
SECRET = re.compile(r"^\s*\S*(?:pass|key|secret|token)[^=\n]*=[ \t]*(\S.*?)\s*$", re.MULTILINE)


def commands(stanza: str, directory: str) -> Iterator[list[str]]:
    """Yield commands that end before any change: they lack a file, a lock, a free data directory or a name."""
    log, of_stanza = f"--log-path={directory}", f"--stanza={stanza}"
    yield [log, of_stanza, "archive-get"]
    yield [log, of_stanza, "archive-push"]
    yield [log, of_stanza, f"--lock-path={directory}/postmaster.pid/none", "backup"]
    yield [log, of_stanza, f"--pg1-path={directory}", "restore"]
    yield [log, "--tls-server-address=/", "server"]


def complaints(code: int, output: str) -> list[str]:
    """Return the configuration's problems in the output of one command."""
    ignored = re.findall(r"WARN: (configuration file contains .*)", output)
    if code not in REFUSALS:
        return ignored
    error = re.search(r"ERROR: \[\d+\]: (.*)", output, re.DOTALL)
    return [*ignored, " ".join(error[1].split()) if error else f"{PROGRAM} ended with {code}"]


def masked(words: str, config: str) -> str:
    """Return a message without the values of the configuration's secrets."""
    for value in sorted(set(SECRET.findall(config)), key=len, reverse=True):
        words = words.replace(value, "***")
    return words


def judge(path: str, stanza: str) -> list[str]:
    """Return the problems that pgBackRest reports for a configuration."""
    with tempfile.TemporaryDirectory(prefix="holdfast-pgbackrest-", dir="/run") as directory:
        (Path(directory) / "postmaster.pid").touch()
        shutil.chown(directory, USER)
        for command in commands(stanza, directory):
            argv = ["runuser", "-u", USER, "--", "timeout", str(SECONDS), PROGRAM, f"--config={path}", *command]
            done = subprocess.run(
                argv, env=ENVIRONMENT, capture_output=True, text=True, errors="replace", check=False, cwd="/"
            )
            if found := complaints(done.returncode, done.stdout + done.stderr):
                return found
    return []


def main() -> None:
    """Judge the file."""
    path, stanza = sys.argv[1:]
    refused = "; ".join(judge(path, stanza))
    if refused:
        shown = masked(refused, Path(path).read_text(encoding="utf-8", errors="replace"))
        sys.exit(f"{shown}. Fix: correct it in pgbackrest_options or in the role's variable for that option")


if __name__ == "__main__":
    main()
