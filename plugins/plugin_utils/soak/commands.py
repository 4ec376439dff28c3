# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of a soak: every disturbance is a unit that systemd ends on its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.judge import Journal, Load
from ansible_collections.holdfast.ha.plugins.plugin_utils.systemd import argument

BURN, STALL, LOAD = "holdfast-soak-burn", "holdfast-soak-stall", "holdfast-soak-load"
WATCHER, PATRONI = "holdfast-lease-watcher.service", "patroni.service"
UNITS = (BURN, STALL, LOAD)
BUSY = 'for one in $(seq "$(nproc)"); do while :; do :; done & done; wait'
STORM = """while :; do
dd if=/dev/zero of="$0" bs=1M count=64 conv=fsync status=none
dd if=/dev/zero of="$0" bs=8k count=256 oflag=dsync status=none
psql -XAtq -h /var/run/postgresql -U "$1" -c CHECKPOINT postgres
done"""
LOGGED_IN = 'IFS= read -r PGPASSWORD; export PGPASSWORD; exec "$0" "$@"'
"""Standard input keeps the password out of the process list and of units."""
REVOKED = ("revoked:", "found revoked already:")
RECOUNTS, SILENCE = ("counting anew", "held up for"), "has not renewed for"
DEMOTION, OVERRUN = "emoting self", "Loop time exceeded"


def unit(name: str, seconds: float, argv: Sequence[str], *options: str) -> list[str]:
    """Return the command that starts a unit which runs for some seconds at most."""
    bounds = ["--collect", f"--unit={name}", f"--property=RuntimeMaxSec={seconds:g}"]
    return ["systemd-run", "--quiet", *bounds, *options, "--", *argv]


def burn(seconds: float) -> list[str]:
    """Return the command that keeps all processors of a host busy."""
    return unit(BURN, seconds, ["sh", "-c", BUSY])


def stall(seconds: float, data_directory: str, superuser: str) -> list[str]:
    """Return the command that writes and flushes continuously on the data directory's file system."""
    filler = f"{data_directory}/holdfast-soak-filler"
    # In a directory of postgres, root could be misled by links.
    options = ["--uid=postgres", f"--property=ExecStopPost=rm -f {argument(filler)}"]
    return unit(STALL, seconds, ["sh", "-c", STORM, filler, superuser], *options)


def pgbench(seconds: float, settings: Mapping[str, str], arguments: Sequence[str]) -> list[str]:
    """Return the command that runs pgbench with libpq's environment settings and waits for it.

    It reads the password from standard input.
    """
    environment = [f"--setenv={name}={value}" for name, value in settings.items()]
    return unit(LOAD, seconds, ["sh", "-c", LOGGED_IN, "pgbench", *arguments], "--wait", "--pipe", *environment)


def journal_since(unit_name: str, since: str) -> list[str]:
    """Return the command that prints a unit's relevant messages since a time; it exits with 1 if there are none."""
    what = f"--grep={'|'.join((*REVOKED, *RECOUNTS, SILENCE, DEMOTION, OVERRUN))}"
    return ["journalctl", "--no-pager", "--quiet", "--output=cat", what, f"--unit={unit_name}", f"--since=@{since}"]


def read_load(output: str, errors: str, code: int) -> Load:
    """Return pgbench's results."""

    def number(pattern: str) -> float:
        found = re.search(pattern, output)
        return float(found[1]) if found else 0.0

    lines = [line for line in errors.splitlines() if "error" in line or "FATAL" in line] or errors.splitlines()[-1:]
    return Load(
        transactions=int(number(r"number of transactions actually processed: (\d+)")),
        tps=number(r"(?m)^tps = ([\d.]+)"),
        latency_ms=number(r"latency average = ([\d.]+)"),
        failed=int(number(r"number of failed transactions: (\d+)")),
        breaks=(lines[0] if lines else f"exit code {code}",) if code else (),
    )


def read_journal(watcher: str, patroni: str) -> Journal:
    """Return the relevant messages of a host's lease watcher and Patroni."""
    said = watcher.splitlines()
    return Journal(
        revoked=tuple(line for line in said if line.startswith(REVOKED)),
        recounts=sum(any(sign in line for sign in RECOUNTS) for line in said),
        silences=tuple(dict.fromkeys(line for line in said if SILENCE in line)),
        demotions=tuple(line for line in patroni.splitlines() if DEMOTION in line),
        overruns=patroni.count(OVERRUN),
    )
