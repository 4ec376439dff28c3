# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small files compared and replaced atomically, so that a killed run leaves the old or the new one."""

from __future__ import annotations

import grp
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.module_utils import safe_path


@dataclass(frozen=True)
class File:
    """The desired state of a file. ``content`` None keeps the present content, or the file's absence."""

    path: str
    content: bytes | None
    owner: str
    group: str
    mode: int


def read(path: str) -> bytes | None:
    """Return a file's content, or None when there is no such file."""
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def directory_differs(path: str) -> bool:
    """Return whether a path isn't a directory that all users may enter and only root may change."""
    try:
        status = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    return (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) != (0, 0, 0o755)


def put_directory(path: str) -> None:
    """Create a directory of root's with mode 0755, and missing parents."""
    with safe_path.directory(path, make=True) as place:
        safe_path.grant(place, ".", safe_path.Access(0, 0, 0o755))


def unknown_accounts(files: list[File]) -> list[str]:
    """Return the owners and groups this system doesn't know, as ``user x`` and ``group y``."""
    users = {f"user {file.owner}" for file in files if not _known(pwd.getpwnam, file.owner)}
    groups = {f"group {file.group}" for file in files if not _known(grp.getgrnam, file.group)}
    return sorted(users | groups)


def differs(file: File) -> bool:
    """Return whether a file's content, owner, group or mode differs from the desired state."""
    try:
        status = Path(file.path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return file.content is not None
    if not stat.S_ISREG(status.st_mode) or (file.content is not None and read(file.path) != file.content):
        return True
    try:
        ids = _ids(file)
    except KeyError:
        return True
    return (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) != (*ids, file.mode)


def put(file: File) -> None:
    """Bring a file into its desired state: replace it atomically if its content differs, otherwise change it in
    place."""
    access = safe_path.Access(*_ids(file), file.mode)
    if file.content is not None and safe_path.read(file.path) != file.content:
        safe_path.replace(file.path, file.content, access)
    else:
        with safe_path.parent(file.path) as (place, name):
            safe_path.grant(place, name, access)


def _ids(file: File) -> tuple[int, int]:
    return pwd.getpwnam(file.owner).pw_uid, grp.getgrnam(file.group).gr_gid


def _known(look_up: object, name: str) -> bool:
    try:
        look_up(name)  # type: ignore[operator]
    except KeyError:
        return False
    return True
