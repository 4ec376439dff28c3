# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on the controller, replaced atomically."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path


def replace(path: Path, content: bytes, *, mode: int, keep_mode: bool) -> None:
    """Replace a file, or the target of a link, atomically; its folder is created if needed. Raises OSError.

    The file keeps its owner and group.

    :arg mode: of a new file, less the umask.
    :arg keep_mode: whether a file that exists keeps its mode, too.
    """
    path = path.resolve()
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a directory, no file")
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(FileNotFoundError):
            keep_attributes(path.stat(), staged, keep_mode)
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


def keep_attributes(found: os.stat_result, staged: Path, mode: bool) -> None:
    """Give a file another's owner and group, and its mode if asked for."""
    if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(staged, found.st_uid, found.st_gid)
    if mode:
        staged.chmod(stat.S_IMODE(found.st_mode))
