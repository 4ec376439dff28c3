# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set up the virtualenv .venv and the collections, which every other command needs; a later run completes the setup."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from lab.progress import step
from scripts.interpreters import best_interpreter

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
COLLECTIONS = ROOT / "collections/ansible_collections"
LOCK = ROOT / "requirements-dev.lock.txt"
LOOSE = ROOT / "requirements-dev.txt"
REQUIREMENTS = (ROOT / "requirements.yml", ROOT / "requirements-dev.yml")
WANTED_COLLECTIONS = ("ansible/posix", "community/general", "community/postgresql")
# The distribution of collections on PyPI, used when Galaxy does not answer.
BUNDLE = "ansible==14.5.0"


def _locked(python: str) -> bool:
    probe = "import sys; sys.exit(sys.version_info < (3, 12))"
    return subprocess.run([python, "-c", probe], check=False).returncode == 0


def ensure_virtualenv() -> None:
    stamp = VENV / "holdfast-requirements"
    digest = hashlib.sha256(LOCK.read_bytes() + LOOSE.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    python = VENV / "bin/python"
    if not python.exists():
        subprocess.run([best_interpreter(), "-m", "venv", VENV], check=True)
    wanted = LOCK if _locked(str(python)) else LOOSE
    with step("installing the Python tools into .venv"):
        command: list[str | Path] = [
            python,
            "-m",
            "pip",
            "--quiet",
            "--disable-pip-version-check",
            "install",
            "--requirement",
            wanted,
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"error: pip install -r {wanted.name} failed:\n{result.stderr[-2000:]}")
    stamp.write_text(digest)


def ensure_collections() -> None:
    link = COLLECTIONS / "holdfast/ha"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to("../../..")
    if all((COLLECTIONS / name).is_dir() for name in WANTED_COLLECTIONS):
        return
    with step("fetching the collections"):
        if not _from_galaxy():
            _from_bundle()


def _from_galaxy() -> bool:
    command: list[str | Path] = [VENV / "bin/ansible-galaxy", "collection", "install", "--timeout=15"]
    command += ["--collections-path", COLLECTIONS.parent, "--requirements-file"]
    return all(
        subprocess.run([*command, file], capture_output=True, check=False, timeout=300).returncode == 0
        for file in REQUIREMENTS
    )


def _from_bundle() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        command: list[str | Path] = [
            VENV / "bin/python",
            "-m",
            "pip",
            "--quiet",
            "download",
            "--no-deps",
            f"--dest={scratch}",
            BUNDLE,
        ]
        subprocess.run(command, check=True, capture_output=True)
        wheel = next(Path(scratch).glob("ansible-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            prefixes = tuple(f"ansible_collections/{name}/" for name in WANTED_COLLECTIONS)
            archive.extractall(COLLECTIONS.parent, [name for name in archive.namelist() if name.startswith(prefixes)])


def main() -> None:
    ensure_virtualenv()
    ensure_collections()


if __name__ == "__main__":
    main()
