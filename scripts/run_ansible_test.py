# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-test on a copy of the collection: python -m scripts.run_ansible_test [sanity|units [arguments]].

ansible-test requires a real directory .../ansible_collections/holdfast/ha outside any other git work tree, so the files
that git tracks or would add are copied to a temporary folder first.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
# Stands in for pip's bootstrap script where it can't be downloaded, with the pip that Python includes. It runs pip in a
# separate process, because ensurepip disables pip's configuration, and with it the certificates that pip trusts.
GET_PIP = """\
import subprocess, sys
subprocess.run([sys.executable, "-m", "ensurepip"], check=True)
wanted = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", *wanted]).returncode)
"""
NOT_SHIPPED = (
    ".ci/",
    "lab/",
    "molecule/",
    "scripts/",
    "tests/acceptance/",
    "tests/unit/docs/",
    "tests/unit/lab/",
    "tests/unit/molecule/",
    "tests/unit/playbooks/",
    "tests/unit/roles/",
    "tests/unit/scripts/",
)


# Tests of the code for hosts, which ansible-test keeps from importing the controller's code; pytest runs the others.
ON_HOSTS = ("tests/unit/plugins/modules/", "tests/unit/plugins/module_utils/")


def shipped_files() -> list[str]:
    """Return the collection's files: tracked and untracked ones, without ignored files and development files."""
    listed = subprocess.run(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    names = sorted(set(listed.stdout.split("\0")) - {""})
    return [name for name in names if not name.startswith(NOT_SHIPPED) and (ROOT / name).is_file()]


def copy(names: list[str], target: Path) -> None:
    """Copy the named files below target, folders included."""
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)


def provide_get_pip() -> None:
    """Put the bootstrap script where ansible-test would cache the downloaded one, unless that exists."""
    package = importlib.util.find_spec("ansible_test")
    if package is None or package.origin is None:
        return
    source = Path(package.origin).parent / "_internal" / "python_requirements.py"
    found = re.search(r"pip='([0-9.]+)'", source.read_text(encoding="utf-8"))
    if found:
        script = Path.home() / ".ansible" / "test" / "cache" / f"get_pip_{found[1].replace('.', '_')}.py"
        script.parent.mkdir(parents=True, exist_ok=True)
        if not script.exists() or not script.read_bytes().startswith(b"#!"):
            script.write_text(GET_PIP, encoding="utf-8")


def run(target: Path, command: str, arguments: list[str]) -> int:
    """Run one ansible-test command in the copy and report its time; return its exit code."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    environment.pop("ANSIBLE_CONFIG", None)
    started = time.monotonic()
    argv = [str(BIN / "ansible-test"), command, "--python", python, "--color", "no", *arguments]
    code = subprocess.run(argv, cwd=target, env=environment, check=False).returncode
    print(f"ansible-test {command}: {'ok' if code == 0 else 'FAILED'}, {time.monotonic() - started:.0f} s", flush=True)
    return code


def main(arguments: list[str]) -> int:
    """Run sanity and the units of the code for hosts, or the named tests; return the worst exit code."""
    provide_get_pip()
    commands = {arguments[0]: arguments[1:]} if arguments else {"sanity": [], "units": [*ON_HOSTS]}
    with tempfile.TemporaryDirectory(prefix="holdfast-ansible-test-") as folder:
        Path(folder).chmod(0o755)
        collections = Path(folder) / "ansible_collections"
        target = collections / "holdfast" / "ha"
        copy(shipped_files(), target)
        for needed in ("ansible", "community"):
            source = ROOT / "collections" / "ansible_collections" / needed
            if source.is_dir():
                (collections / needed).symlink_to(source)
        return max(run(target, command, options) for command, options in commands.items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
