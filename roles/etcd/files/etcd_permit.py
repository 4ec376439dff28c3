# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets etcd start on the data it has, and on an empty data directory with a permit only.

A member that lost its data and starts on an empty directory keeps its id. It votes and acknowledges without what it had
acknowledged before: with it a quorum can lack what was committed.

etcd_member writes a permit, the settings of the first start, when it is safe. It is good for one start, and no
longer than until the host's next boot: it lies in /run and is renamed before etcd runs.

    etcd-permit take PERMIT TAKEN    as root: wait for data or for PERMIT, which becomes TAKEN; 1 without either
    etcd-permit clear                as etcd: set aside what a data directory without a write-ahead log still holds

ETCD_DATA_DIR and ETCD_WAL_DIR are etcd's own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Data:
    """Where a member keeps its data."""

    directory: Path
    wal: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Data:
        """Return the directories that etcd takes from its environment."""
        directory = Path(environment["ETCD_DATA_DIR"])
        return cls(directory, Path(environment.get("ETCD_WAL_DIR") or directory / "member" / "wal"))

    def exists(self) -> bool:
        """Tell whether there is a write-ahead log; etcd looks for the same files."""
        return any(self.wal.glob("*.wal"))


def take(data: Data, permit: Path, taken: Path) -> bool:
    """Tell whether a start is permitted; a permit is spent, needed or not."""
    taken.unlink(missing_ok=True)
    if data.exists():
        permit.unlink(missing_ok=True)
        return True
    try:
        permit.rename(taken)
    except FileNotFoundError:
        return False
    return True


def wait_and_take(data: Data, permit: Path, taken: Path, seconds: float) -> bool:
    """Poll until a start is permitted or the time is over."""
    deadline = time.monotonic() + seconds
    permitted = take(data, permit, taken)
    if not permitted:
        waits = f"{data.wal} holds no write-ahead log: waiting for its volume, or for site.yml to let the member in"
        print(waits, flush=True)
    while not permitted and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        permitted = take(data, permit, taken)
    return permitted


def clear(data: Data) -> None:
    """Set aside a database without a log: etcd would take it for what the new log describes. The last one is kept."""
    member, aside = data.directory / "member", data.directory / "member.unfinished"
    if data.exists() or not member.exists():
        return
    print(f"{member} has no write-ahead log: moving it to {aside}")
    if aside.exists():
        shutil.rmtree(aside)
    member.rename(aside)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    taking = commands.add_parser("take")
    taking.add_argument("permit", type=Path)
    taking.add_argument("taken", type=Path)
    taking.add_argument("--seconds", type=float, default=PATIENCE_SECONDS)
    commands.add_parser("clear")
    arguments = parser.parse_args()
    data = Data.of(os.environ)
    if arguments.command == "clear":
        clear(data)
        return 0
    return 0 if wait_and_take(data, arguments.permit, arguments.taken, arguments.seconds) else 1


if __name__ == "__main__":
    sys.exit(main())
