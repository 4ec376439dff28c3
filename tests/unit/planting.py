# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host where a service user plants links for root to follow: real users, real files."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

USER = "nobody"
AS_USER = pwd.getpwnam(USER)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be tricked into changing what is root's")


@dataclass(frozen=True)
class Host:
    """A directory of root's with ``service``, a directory of the service user's, and ``precious``, root's own."""

    root: Path

    @property
    def service(self) -> Path:
        return self.root / "service"

    @property
    def precious(self) -> Path:
        return self.root / "precious"

    @property
    def secret(self) -> Path:
        return self.precious / "shadow"

    def plant(self, path: Path, target: Path) -> None:
        """Have the service user make a link."""
        self.as_user("ln", "-sfn", str(target), str(path))

    def as_user(self, *argv: str) -> None:
        subprocess.run(argv, user=AS_USER.pw_uid, group=AS_USER.pw_gid, extra_groups=[], check=True)

    def untouched(self) -> str:
        """Return everything about what is root's own."""
        found = {
            str(path): (path.lstat().st_uid, path.lstat().st_gid, oct(path.lstat().st_mode), path.lstat().st_nlink)
            for path in [self.precious, *sorted(self.precious.rglob("*"))]
        }
        return json.dumps([found, self.secret.read_text() if self.secret.exists() else None])


def make_host() -> Iterator[Host]:
    """Yield a host below a directory that only root may write to; /tmp is none."""
    root = Path(tempfile.mkdtemp(prefix="holdfast-test-", dir="/var/lib"))
    root.chmod(0o755)
    host = Host(root)
    for path in (host.service, host.precious):
        path.mkdir()
    host.secret.write_text("root's own")
    host.secret.chmod(0o600)
    os.chown(host.service, AS_USER.pw_uid, AS_USER.pw_gid)
    yield host
    shutil.rmtree(root)
