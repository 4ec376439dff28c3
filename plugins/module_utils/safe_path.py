# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that root changes below paths that other users can change, too.

Every path is walked from the root directory, each part opened in the one before it. A symbolic link is followed only if
only root may write to all directories on the path, as with /var/run.
"""

# A program that runs without Ansible uses it too.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import os
import pwd
import shutil
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MOST_LINKS = 40
MOST_BYTES = 16 * 1024 * 1024
MOUNTS = Path("/proc/self/mountinfo")


class UnsafePathError(Exception):
    """A user other than root can change where the path leads; the message names path, obstacle and fix."""


@dataclass(frozen=True)
class Place:
    """A directory that stays open while it is used.

    ``trusted`` says whether only root can change its entries and the path to it.
    """

    descriptor: int
    trusted: bool

    def status(self, name: str) -> os.stat_result | None:
        """Return the status of an entry, None if it does not exist; links are not followed."""
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """Open a file here, never through a link, and without waiting for a pipe's other end."""
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(name, flags, mode, dir_fd=self.descriptor)

    def unlink(self, name: str) -> None:
        """Remove a file or a link, if it exists."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    def rename(self, name: str, new: str) -> None:
        """Rename a file here, replacing an existing one."""
        os.rename(name, new, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def names(self) -> list[str]:
        """Return the names of the entries."""
        descriptor = self.open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            return os.listdir(descriptor)  # noqa: PTH208 (pathlib knows no descriptors)
        finally:
            os.close(descriptor)

    @property
    def path(self) -> str:
        """Its path, without links."""
        return str(Path(f"/proc/self/fd/{self.descriptor}").readlink())


@contextmanager
def directory(path: str | os.PathLike[str], *, make: bool = False) -> Iterator[Place]:
    """Open a directory; with *make*, create missing ones with mode 0755.

    Raises UnsafePathError, and OSError such as FileNotFoundError.
    """
    descriptor, trusted = _walk(PurePosixPath(path), make)
    try:
        yield Place(descriptor, trusted and _is_own(os.fstat(descriptor)))
    finally:
        os.close(descriptor)


@contextmanager
def parent(path: str | os.PathLike[str], *, make: bool = False) -> Iterator[tuple[Place, str]]:
    """Open the directory that holds a path; yield it and the path's name there."""
    whole = PurePosixPath(path)
    if whole.name in ("", ".."):
        raise UnsafePathError(f"{path}: names no file or directory of its own; write the whole path")
    with directory(whole.parent, make=make) as place:
        yield place, whole.name


def _walk(path: PurePosixPath, make: bool) -> tuple[int, bool]:
    """Return a descriptor of a directory, and whether only root can change the path to it."""
    if not path.is_absolute():
        raise UnsafePathError(f"{path}: is no absolute path; write the whole path")
    here, trusted, links = _open("/"), True, 0
    parts = deque(path.parts[1:])
    try:
        while parts:
            trusted = trusted and _is_own(os.fstat(here))
            target = _link(here, parts[0])
            name = parts.popleft()
            if target is None:
                here = _enter(here, name, make)
                continue
            links += 1
            if not trusted or links > MOST_LINKS:
                raise UnsafePathError(_planted(path, Place(here, trusted), name, target))
            parts.extendleft(reversed(target.parts))
            if target.is_absolute():
                here = _enter(here, parts.popleft(), make)
    except BaseException:
        os.close(here)
        raise
    return here, trusted


def _planted(path: PurePosixPath, place: Place, name: str, target: PurePosixPath) -> str:
    return (
        f"{path}: {place.path}/{name} is a symbolic link to {target}, which {_user(os.fstat(place.descriptor).st_uid)} "
        f"could have made; remove the link, or name the directory that it leads to"
    )


def _user(uid: int) -> str:
    try:
        return "another user than root" if uid == 0 else pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _link(here: int, name: str) -> PurePosixPath | None:
    """Return where a link leads, None for anything else."""
    try:
        return PurePosixPath(os.readlink(name, dir_fd=here))
    except OSError:
        return None


def _enter(here: int, name: str, make: bool) -> int:
    """Open a directory in another one, which is closed."""
    if make:
        _make(here, name)
    inner = _open(name, here)
    os.close(here)
    return inner


def _make(here: int, name: str) -> None:
    """Make a directory with mode 0755, whatever the host's umask, unless something is there."""
    umask = os.umask(0o022)
    try:
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=here)
    finally:
        os.umask(umask)


def _open(name: str, here: int | None = None) -> int:
    return os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)


def _is_own(status: os.stat_result) -> bool:
    """Whether only root may write to a directory."""
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def regular(place: Place, status: os.stat_result) -> bool:
    """Whether it is a regular file without a possible second name elsewhere."""
    return stat.S_ISREG(status.st_mode) and (place.trusted or status.st_nlink == 1)


def look(path: str | os.PathLike[str]) -> os.stat_result | None:
    """Return the status of a path, None if it does not exist; raises UnsafePathError."""
    try:
        with parent(path) as (place, name):
            return place.status(name)
    except (FileNotFoundError, NotADirectoryError):
        return None


def read(path: str | os.PathLike[str]) -> bytes | None:
    """Return a regular file's content, None for anything else and beyond 16 MiB; raises UnsafePathError."""
    try:
        with parent(path) as (place, name):
            return read_in(place, name)
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_in(place: Place, name: str) -> bytes | None:
    """Return the content of a regular file in a directory, None for anything else and beyond 16 MiB."""
    try:
        descriptor = place.open(name, os.O_RDONLY)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(MOST_BYTES + 1) if regular(place, os.fstat(descriptor)) else None
    return None if content is None or len(content) > MOST_BYTES else content


@dataclass(frozen=True)
class Access:
    """Numbers of owner and group, and the permission bits."""

    uid: int
    gid: int
    mode: int


def grant(place: Place, name: str, access: Access) -> None:
    """Give a file or directory, not what a link leads to, its owner, group and mode."""
    found = place.status(name)
    if found is not None and stat.S_ISLNK(found.st_mode):
        raise UnsafePathError(f"{place.path}/{name}: is a symbolic link; remove it, or put there what it leads to")
    descriptor = place.open(name, os.O_RDONLY)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISDIR(status.st_mode) and not regular(place, status):
            raise UnsafePathError(f"{place.path}/{name}: has another name elsewhere, or is no file; remove it")
        _give(descriptor, access)
    finally:
        os.close(descriptor)


def _give(descriptor: int, access: Access) -> None:
    os.fchown(descriptor, access.uid, access.gid)
    os.fchmod(descriptor, access.mode)


def stage(place: Place, name: str, content: bytes, access: Access) -> str:
    """Write a file's new content beside it, replacing what a killed run left, and return its name.

    It never has more permissions than *access* says.
    """
    staged = f".{name}.new"
    place.unlink(staged)
    descriptor = place.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            _give(descriptor, access)
            os.fsync(descriptor)
    except BaseException:
        place.unlink(staged)
        raise
    return staged


def replace(path: str | os.PathLike[str], content: bytes, access: Access | None = None) -> None:
    """Replace a file atomically, so that a crash leaves the old or the new one; raises UnsafePathError, OSError."""
    with parent(path) as (place, name):
        staged = stage(place, name, content, access or Access(os.geteuid(), os.getegid(), 0o644))
        try:
            place.rename(staged, name)
        except BaseException:
            place.unlink(staged)
            raise


def lock_file(path: str | os.PathLike[str], uid: int | None = None, mode: int = 0o600) -> int:
    """Open a lock's file in a directory of root's, and create it if needed; every user that can open it can hold the
    lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    _give(descriptor, Access(os.geteuid() if uid is None else uid, -1, mode))
    return descriptor


def remove(path: str | os.PathLike[str]) -> None:
    """Remove a file, a link or a whole directory, if it exists; raises UnsafePathError, OSError."""
    status = look(path)
    if status is None:
        return
    with parent(path) as (place, name):
        if not stat.S_ISDIR(status.st_mode):
            place.unlink(name)
            return
        _refuse_mounts(f"{place.path}/{name}")
        shutil.rmtree(name, dir_fd=place.descriptor)


def _refuse_mounts(path: str) -> None:
    mounted = next((mount for mount in mounts(MOUNTS.read_text(encoding="utf-8")) if is_within(mount, path)), None)
    if mounted:
        raise UnsafePathError(f"{path}: is not removed, a file system is mounted at {mounted}; unmount it first")


def mounts(text: str) -> Iterator[str]:
    """Yield the mount points in the text of /proc/self/mountinfo."""
    for line in text.splitlines():
        yield line.split(" ")[4].encode().decode("unicode_escape").encode("latin-1").decode(errors="surrogateescape")


def is_within(path: str, directory_path: str) -> bool:
    """Whether a path is a directory, or lies in it."""
    return PurePosixPath(path).is_relative_to(directory_path)
