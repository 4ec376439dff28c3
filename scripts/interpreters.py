# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Pythons of this machine that can make a virtualenv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSIONS = ("3.13", "3.12", "3.11")


def interpreters(versions: tuple[str, ...] = VERSIONS) -> list[str]:
    """Candidates for a virtualenv's Python, best first."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [
        candidate
        for version in versions
        for candidate in [f"python{version}", *sorted(map(str, pyenv.glob(f"{version}.*/bin/python3")), reverse=True)]
    ]


def best_interpreter(versions: tuple[str, ...] = VERSIONS) -> str:
    """The first candidate that really runs and can make a virtualenv."""
    for candidate in interpreters(versions):
        if shutil.which(candidate) and _works(candidate):
            return candidate
    sys.exit("error: no Python 3.11 or newer with the venv module was found; install python3 and python3-venv")


def _works(python: str) -> bool:
    probe = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode == 0
