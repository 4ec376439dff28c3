# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run checks with each ansible-core that the collection supports: python -m scripts.matrix [2.19 …] [sanity|unit …].

Each ansible-core has a virtualenv in .cache/matrix, with the Python named here if the machine has it. A check's output
goes to a file beside it.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.progress import say, step
from scripts.interpreters import VERSIONS, best_interpreter

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache/matrix"
REQUIREMENTS = ("requirements.txt", "requirements-drill.txt", "requirements-dev.txt")
PYTHONS = {"2.19": "3.11", "2.20": "3.12", "2.21": "3.13"}
CHECKS = ("sanity", "unit")


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one check with one ansible-core."""

    core: str
    python: str
    check: str
    passed: bool
    seconds: float
    log: Path


def virtualenv(core: str) -> Path:
    """Return the Python of an ansible-core's virtualenv, which is created or updated first."""
    folder = FOLDER / core
    python, stamp = folder / "bin/python", folder / "holdfast-requirements"
    digest = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in REQUIREMENTS)).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return python
    if not python.exists():
        subprocess.run([best_interpreter((PYTHONS[core], *VERSIONS)), "-m", "venv", folder], check=True)
    with step(f"installing ansible-core {core} and the tools into {folder.relative_to(ROOT)}"):
        pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", f"ansible-core=={core}.*")
        done = subprocess.run((*pip, "-r", ROOT / "requirements-dev.txt"), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: pip could not install ansible-core {core}:\n{done.stderr[-2000:]}")
    stamp.write_text(digest)
    return python


def run(core: str, checks: list[str]) -> Iterator[Result]:
    """Run checks with one ansible-core."""
    python = virtualenv(core)
    said = "import platform, ansible.release; print(platform.python_version(), ansible.release.__version__)"
    version, release = subprocess.run([python, "-c", said], check=True, capture_output=True, text=True).stdout.split()
    for check in checks:
        log = FOLDER / f"{core}-{check}.log"
        begun = time.monotonic()
        with log.open("wb") as output, step(f"{check} with ansible-core {release} and Python {version}"):
            command = (python, "-m", "scripts.check", check)
            code = subprocess.run(command, cwd=ROOT, stdout=output, stderr=output, check=False).returncode
        yield Result(release, version, check, code == 0, time.monotonic() - begun, log)


def table(results: list[Result]) -> str:
    """Return the results as text."""
    rows = [("ansible-core", "Python", "check", "result", "seconds", "")]
    rows += [
        (
            result.core,
            result.python,
            result.check,
            "ok" if result.passed else "FAILED",
            f"{result.seconds:.0f}",
            "" if result.passed else str(result.log.relative_to(ROOT)),
        )
        for result in results
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(map(str.rstrip, lines))


def main(arguments: list[str]) -> int:
    """Run all checks, or the named ones; return 0 when all passed."""
    unknown = sorted(set(arguments) - {*PYTHONS, *CHECKS})
    if unknown:
        say(f"error: {', '.join(unknown)}: give {', '.join(PYTHONS)} or {', '.join(CHECKS)}")
        return 2
    cores = [core for core in PYTHONS if core in arguments] or list(PYTHONS)
    checks = [check for check in CHECKS if check in arguments] or list(CHECKS)
    results = [result for core in cores for result in run(core, checks)]
    print(table(results))
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
