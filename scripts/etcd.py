# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Provide an etcd for the tests: the machine's own, or Debian's package unpacked below .cache, without a service."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from lab.progress import say, step

UNPACKED = Path(__file__).resolve().parent.parent / ".cache" / "etcd"


def find_etcd() -> str | None:
    """Return the etcd program for the tests, preferably HOLDFAST_ETCD; None when there is none."""
    folders = os.pathsep.join([str(UNPACKED / "usr" / "bin"), os.environ.get("PATH", os.defpath)])
    return os.environ.get("HOLDFAST_ETCD") or shutil.which("etcd", path=folders)


def unpack() -> str:
    """Download and unpack etcd-server; return why that failed, "" when it didn't."""
    UNPACKED.mkdir(parents=True, exist_ok=True)
    for prepare in ([], ["apt-get", "-q", "update"]):
        if prepare:
            subprocess.run(prepare, capture_output=True, check=False)
        done = subprocess.run(
            ["apt-get", "-q", "download", "etcd-server"], cwd=UNPACKED, capture_output=True, text=True, check=False
        )
        packages = sorted(UNPACKED.glob("etcd-server_*.deb"))
        if packages:
            subprocess.run(["dpkg-deb", "--extract", packages[-1], UNPACKED], check=True)
            return ""
    return done.stderr.strip()[-300:]


def main() -> int:
    """Ensure that there is an etcd, unless the tests should run without; return 1 when there is none."""
    if find_etcd() or os.environ.get("HOLDFAST_WITHOUT_ETCD"):
        return 0
    if not shutil.which("apt-get"):
        say("please install etcd (3.4 or later), or name it in HOLDFAST_ETCD")
        return 1
    with step("fetching an etcd for the tests"):
        reason = unpack()
    if reason:
        say(f"error: apt-get download etcd-server failed: {reason}")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
