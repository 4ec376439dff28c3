# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs for the tests: the machine's own, or Debian's package unpacked below .cache, without a service."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.progress import say, step

CACHE = Path(__file__).resolve().parent.parent / ".cache"


@dataclass(frozen=True)
class Program:
    """A program, the Debian package with it, and the oldest version that will do."""

    name: str
    package: str
    version: str

    @property
    def folder(self) -> Path:
        """The folder with the unpacked package."""
        return CACHE / self.name

    @property
    def variable(self) -> str:
        """The environment variable that names the program to use."""
        return f"HOLDFAST_{self.name.upper()}"

    @property
    def without(self) -> str:
        """The environment variable that makes the tests do without."""
        return f"HOLDFAST_WITHOUT_{self.name.upper()}"

    def find(self) -> str | None:
        """Return the program's path, preferably that in C(variable); None when there is none."""
        folders = os.pathsep.join([str(self.folder / "usr" / "bin"), os.environ.get("PATH", os.defpath)])
        return os.environ.get(self.variable) or shutil.which(self.name, path=folders)

    def ensure(self) -> int:
        """Ensure that there is the program, unless the tests should run without; return 1 when there is none."""
        if self.find() or os.environ.get(self.without):
            return 0
        if not shutil.which("apt-get"):
            say(f"please install {self.name} ({self.version} or later), or name it in {self.variable}")
            return 1
        with step(f"fetching {self.name} for the tests"):
            reason = self._unpack()
        if reason:
            say(f"error: apt-get download {self.package} failed: {reason}")
        return 1 if reason else 0

    def _unpack(self) -> str:
        """Download and unpack the package; return why that failed, "" when it didn't."""
        self.folder.mkdir(parents=True, exist_ok=True)
        download = ["apt-get", "-q", "download", self.package]
        for prepare in ([], ["apt-get", "-q", "update"]):
            if prepare:
                subprocess.run(prepare, capture_output=True, check=False)
            done = subprocess.run(download, cwd=self.folder, capture_output=True, text=True, check=False)
            packages = sorted(self.folder.glob(f"{self.package}_*.deb"))
            if packages:
                subprocess.run(["dpkg-deb", "--extract", packages[-1], self.folder], check=True)
                return ""
        return done.stderr.strip()[-300:]
