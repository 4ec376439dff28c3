# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which directories one may have for oneself, to be given to a service user or to be deleted. Nothing here does I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr", "/home", "/root")
"""Neither they, nor what lies in them."""

SHARED = (
    *("/lost+found", "/media", "/mnt", "/opt", "/srv", "/tmp", "/var", "/var/backups", "/var/cache"),  # noqa: S108
    *("/var/lib", "/var/lib/dpkg", "/var/lib/systemd", "/var/local", "/var/log", "/var/mail", "/var/opt"),
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
    """Return which path of others a directory can't be had for, None when it can.

    ``reserved`` are paths of others as SYSTEM, ``homes`` as SHARED: those of the host's users.
    """
    inside = (other for other in (*reserved, *SYSTEM) if overlaps(path, other))
    above = (other for other in (*SHARED, *homes) if holds(path, other))
    return next(inside, None) or next(above, None)


def of_the_system(path: str) -> bool:
    """Return whether a directory is one of those that every host has."""
    return any(holds(path, other) for other in (*SYSTEM, *SHARED))


def mount_points(mountinfo: str) -> frozenset[str]:
    """Return where something is mounted, bind mounts included, by what /proc/self/mountinfo says."""
    fields = (line.split() for line in mountinfo.splitlines())
    return frozenset(
        re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line[4]) for line in fields if len(line) > 4
    )
