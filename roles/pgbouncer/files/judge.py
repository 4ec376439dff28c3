# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let the installed PgBouncer check a configuration: judge.py MAIN START, the paths of its two files.

Exits with 1 and PgBouncer's message on an error. PgBouncer has no option for a check. Without an address to listen on,
it reads the whole configuration, sets TLS up, and ends.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = "/usr/sbin/pgbouncer"
NOWHERE = "listen_addr =\nunix_socket_dir =\nlogfile =\npidfile =\n"
ACCEPTED = "nowhere to listen on"
SECONDS = 120


def tried(main: str, start: str) -> str:
    """Return the configuration with the settings that only a start reads, and without an address to listen on."""
    kept = [line for line in main.splitlines() if not line.startswith("%include")]
    return "\n".join([*kept, *start.splitlines(), NOWHERE])


def complaints(output: str) -> list[str]:
    """Return PgBouncer's error, without time and process."""
    said = [line.partition("] ")[2] or line for line in output.splitlines()]
    return [line for line in said if line.startswith(("ERROR", "FATAL")) and "auth_file" not in line]


def judge(config: str) -> list[str]:
    """Return the problems that PgBouncer reports for a configuration."""
    with tempfile.TemporaryDirectory(prefix="holdfast-pgbouncer-", dir="/run") as directory:
        path = Path(directory) / "pgbouncer.ini"
        path.write_text(config, encoding="utf-8")
        for shared in (Path(directory), path):
            shutil.chown(shared, group="postgres")
            shared.chmod(0o750 if shared.is_dir() else 0o640)
        argv = ["runuser", "-u", "postgres", "--", "timeout", str(SECONDS), PROGRAM, str(path)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/", stdin=subprocess.DEVNULL)
    said = complaints(done.stdout + done.stderr)
    return [] if said and ACCEPTED in said[-1] else said or [f"{PROGRAM} ended with {done.returncode}"]


def main() -> None:
    """Judge the two files."""
    refused = judge(tried(*(Path(path).read_text(encoding="utf-8") for path in sys.argv[1:3])))
    if refused:
        sys.exit("; ".join(refused).replace("/run/", "") + ". Fix: correct pgbouncer_settings")


if __name__ == "__main__":
    main()
