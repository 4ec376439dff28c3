# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which directories may be given to a service user exclusively, or deleted. Nothing here does I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

SYSTEM = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr", "/home", "/root"),
    *("/var/cache/apt", "/var/lib/apt", "/var/lib/dpkg", "/var/lib/private", "/var/lib/ucf", "/var/log/apt"),
    *("/var/log/journal", "/var/log/private", "/var/spool/cron"),
)
"""Neither they, nor what lies in them."""

SHARED = (
    *("/lost+found", "/media", "/mnt", "/opt", "/srv", "/tmp", "/var", "/var/backups", "/var/cache"),  # noqa: S108
    *("/var/lib", "/var/lib/systemd", "/var/local", "/var/log", "/var/mail", "/var/opt"),
    *("/var/spool", "/var/tmp"),  # noqa: S108
)
"""Not they themselves; what lies in them may be had."""


def overlaps(one: str, other: str) -> bool:
    """Return whether two paths are the same, or one lies in the other."""
    first, second = PurePosixPath(one), PurePosixPath(other)
    return first.is_relative_to(second) or second.is_relative_to(first)


def holds(one: str, other: str) -> bool:
    """Return whether a path is the other one, or leads to it."""
    return PurePosixPath(other).is_relative_to(one)


def in_use(path: str, reserved: Iterable[str] = (), homes: Iterable[str] = ()) -> str | None:
    """Return the path of others that keeps a directory from exclusive use, None without one.

    ``reserved`` are paths of others as SYSTEM, ``homes`` as SHARED: those of the host's users.
    """
    if path in SHARED:
        return path
    inside = (other for other in (*reserved, *SYSTEM) if overlaps(path, other))
    above = (other for other in (*SHARED, *homes) if holds(path, other))
    return next(inside, None) or next(above, None)


def of_the_system(path: str) -> bool:
    """Return whether a directory is one of those that every host has."""
    return any(holds(path, other) for other in (*SYSTEM, *SHARED))


@dataclass(frozen=True)
class Account:
    """A user of the host."""

    name: str
    uid: int
    home: str

    @property
    def is_service(self) -> bool:
        """Whether it is neither root nor a login user, by Debian's user ids."""
        return 0 < self.uid < 1000


@dataclass(frozen=True)
class Access:
    """The name of a directory's owner, and its permission bits."""

    owner: str
    mode: int


def whose(path: str, found: Access, wanted: Access, accounts: Collection[Account]) -> str:
    """Return why an existing directory can't be given to the desired owner, "" if it can."""
    closes = bool(found.mode & ~wanted.mode & 0o005)
    if found.owner == wanted.owner and not closes:
        return ""
    system = next((other for other in SYSTEM if other != "/home" and holds(other, path)), "")
    if system and (wanted.owner != "root" or (closes and system != "/root")):
        return f"lies in {system}, which is the system's"
    for account in accounts:
        if account.name != wanted.owner and holds(path, account.home):
            return f"is or holds the home of {account.name}"
    services = {account.name for account in accounts if account.is_service}
    if found.owner in services - {wanted.owner} and not system:
        return f"is {found.owner}'s, who may need it (if not, chown it to {wanted.owner})"
    return ""


def mount_points(mountinfo: str) -> frozenset[str]:
    """Return where something is mounted, bind mounts included, by what /proc/self/mountinfo says."""
    fields = (line.split() for line in mountinfo.splitlines())
    return frozenset(
        re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line[4]) for line in fields if len(line) > 4
    )
