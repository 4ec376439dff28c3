# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Separate volumes for nodes: ext4 in sparse files, mounted on this machine, which requires root."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from lab.engine import LabError

_FOLDER = Path("/var/lib/holdfast-lab")


def create(name: str, mib: int) -> Path:
    """Return the mount point of a new volume; the rest of a former one is removed."""
    remove(name)
    folder = _FOLDER / name
    folder.mkdir(parents=True)
    with _image(name).open("wb") as image:
        image.truncate(mib * 1024 * 1024)
    _run("mkfs.ext4", "-q", str(_image(name)))
    attach(name)
    shutil.rmtree(folder / "lost+found")
    return folder


def attach(name: str) -> None:
    """Mount an existing volume that is not mounted, such as after a boot of this machine."""
    if _image(name).exists() and not (_FOLDER / name).is_mount():
        _run("mount", "-o", "loop", str(_image(name)), str(_FOLDER / name))


def remove(name: str) -> None:
    """Unmount and delete a volume, if there is one."""
    folder = _FOLDER / name
    if folder.is_mount():
        _run("umount", str(folder))
    if folder.exists():
        folder.rmdir()
    _image(name).unlink(missing_ok=True)


def _image(name: str) -> Path:
    return _FOLDER / f"{name}.img"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command)} failed: {done.stderr.strip()}")
