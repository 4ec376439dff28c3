# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets a data directory aside that holds no database, before Patroni starts.

    patroni-set-aside DATA_DIRECTORY

Patroni never starts on a data directory that is neither empty nor a database, which is what remains when a host dies
while it creates or copies one: pg_control is missing. Such a directory becomes DATA_DIRECTORY.unfinished; the last one
is kept, and each that holds anything which no program of PostgreSQL or pgBackRest puts there. One that something still
fills stays: Patroni's children outlive it.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
MARK = ".set-aside-by-patroni-set-aside"
MADE = re.compile(
    r"PG_VERSION|base|global|log|current_logfiles(\.tmp)?|postgresql(\.auto|\.base)?\.conf(\.backup|\.tmp)?"
    r"|pg_(commit_ts|dynshmem|logical|multixact|notify|replslot|serial|snapshots|stat|stat_tmp|subtrans|tblspc|twophase)"
    r"|pg_(wal|xact)|pg_(hba|ident)\.conf(\.backup)?|postmaster\.(opts|pid)|patroni\.dynamic\.json"
    r"|backup_label(\.old)?|backup_manifest(\.tmp)?|backup\.manifest(\.copy)?|tablespace_map(\.old)?"
    r"|(recovery|standby)\.signal|.*\.pgbackrest\.tmp|" + re.escape(MARK)
)
"""What initdb, pg_basebackup, pgBackRest, PostgreSQL and Patroni put at the top of a data directory."""
WRITES = os.O_WRONLY | os.O_RDWR


def holds_no_database(data: Path) -> bool:
    """Tell whether the directory is neither empty nor a database; PostgreSQL's programs write pg_control last."""
    return data.is_dir() and any(data.iterdir()) and not (data / "global" / "pg_control").exists()


def processes() -> Iterator[Path]:
    """Yield the host's processes below /proc but this one and who started it."""
    own = {str(os.getpid()), str(os.getppid())}
    yield from (entry for entry in PROC.iterdir() if entry.name.isdecimal() and entry.name not in own)


def fills(process: Path, data: Path) -> bool:
    """Tell whether a process of the directory's owner is at work there, or one of root's that names it."""
    with suppress(OSError):
        user, owner = process.stat().st_uid, data.stat().st_uid
        if user in {0, owner} and names(process, data):
            return True
        return user == owner and (writes_into(process, data) or outlives_patroni(process, data))
    return False


def names(process: Path, data: Path) -> bool:
    """Tell whether an argument is the directory, such as -D DIRECTORY, -DDIRECTORY or --pg1-path=DIRECTORY."""
    paths = (text[text.index("/") :] for text in arguments(process) if "/" in text)
    return any(os.path.realpath(path) == str(data) for path in paths)


def arguments(process: Path) -> list[str]:
    """Return a process's command line."""
    return os.fsdecode((process / "cmdline").read_bytes()).split("\0")


def writes_into(process: Path, data: Path) -> bool:
    """Tell whether a process has a file below the directory open for writing."""
    for descriptor in (process / "fd").iterdir():
        with suppress(OSError):
            if not descriptor.readlink().is_relative_to(data):
                continue
            if open_flags((process / "fdinfo" / descriptor.name).read_text(encoding="ascii")) & WRITES:
                return True
    return False


def open_flags(information: str) -> int:
    """Return the flags a file was opened with, from /proc/PID/fdinfo/FD."""
    found = (line.split()[1] for line in information.splitlines() if line.startswith("flags:"))
    return int(next(found, "0"), 8)


def outlives_patroni(process: Path, data: Path) -> bool:
    """Tell whether a process of this unit restores, or has its working directory there, as PostgreSQL's have."""
    if unit(process) != unit(PROC / "self"):
        return False
    return "restore" in arguments(process) or (process / "cwd").readlink().is_relative_to(data)


def unit(process: Path) -> str:
    """Return the control group of a process's unit."""
    return (process / "cgroup").read_text(encoding="utf-8").rstrip("\n").removesuffix("/.control")


def foreign(directory: Path) -> list[str]:
    """Return what lies in a directory and was not put there to make a database."""
    return sorted(entry.name for entry in directory.iterdir() if not MADE.fullmatch(entry.name))


def place_for(data: Path) -> Path:
    """Return where to set a directory aside. One that was set aside before is removed, if it is half-made."""
    for number in range(1, 100):
        place = data.with_name(f"{data.name}.unfinished{f'.{number}' if number > 1 else ''}")
        if (place / MARK).exists() and not place.is_symlink():
            kept = foreign(place)
            if kept:
                print(f"{place} is kept: it holds {', '.join(kept)}; remove it by hand", flush=True)
            else:
                shutil.rmtree(place)
        if not os.path.lexists(place):
            return place
    raise FileExistsError(errno.EEXIST, "it and 98 like it are not this program's to remove", str(place))


def set_aside(data: Path) -> None:
    """Rename the directory and leave an empty one, which a link may lead to; raise OSError."""
    if data.is_mount():
        raise OSError(errno.EBUSY, "it is a mount point, which can't be renamed: empty it by hand", str(data))
    place = place_for(data)
    others = foreign(data)
    held = f", with {', '.join(others)} in it, which stays there" if others else ""
    print(f"{data} holds no database: moving it to {place}{held}", flush=True)
    (data / MARK).touch()
    data.rename(place)
    data.mkdir(mode=0o700)


def main() -> int:
    """Run the command; 1 when the directory can't be set aside."""
    data = Path(sys.argv[1]).resolve()
    if not holds_no_database(data):
        return 0
    busy = [process.name for process in processes() if fills(process, data)]
    if busy:
        print(f"{data} holds no database yet, and something is still at work there: process {', '.join(busy)}")
        return 0
    try:
        set_aside(data)
    except OSError as error:
        print(f"{data} holds no database and can't be set aside: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
