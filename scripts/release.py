# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the collection as it is published, and try it as a new user: python -m scripts.release build|check [INVENTORY].

build  .cache/release/holdfast-ha-<version>.tar.gz, from the files that git tracks.
check  Build, check the contents, install into an empty folder beside the dependencies of galaxy.yml only, and run
       preflight and status from there, against the lab of the given inventory (inventory/lab).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

import yaml

from lab.progress import say, step
from scripts.run_ansible_test import copy

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
COLLECTIONS = ROOT / "collections/ansible_collections"
OUTPUT = ROOT / ".cache/release"
LAB = ROOT / "inventory/lab"
SECRETS = "group_vars/all/secrets.yml"
CONTENTS = frozenset(
    {
        "CHANGELOG.md",
        "CODE_OF_CONDUCT.md",
        "CONTRIBUTING.md",
        "FILES.json",
        "LICENSE",
        "MANIFEST.json",
        "README.md",
        "SECURITY.md",
        "bindep.txt",
        "changelogs",
        "docs",
        "inventory",
        "meta",
        "playbooks",
        "plugins",
        "requirements-drill.txt",
        "requirements.txt",
        "roles",
    }
)
"""The files and folders at the top of the artefact."""
PRIVATE = re.compile(r"(^|/)\.|\.(key|retry)$|/group_vars/.*secrets\.yml$")
"""Hidden files, and files of a user's clusters."""


class ReleaseError(Exception):
    """The release is unusable; shown without a traceback."""


def call(*command: str | Path, cwd: Path = ROOT, environment: dict[str, str] | None = None) -> str:
    """Run a command and return its standard output; ReleaseError has the end of its output."""
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"{' '.join(map(str, command))}:\n{(done.stdout + done.stderr)[-4000:].strip()}")
    return done.stdout


def build(folder: Path = OUTPUT) -> Path:
    """Build the artefact in a folder and return its path."""
    tracked = [name for name in call("git", "ls-files", "-z").split("\0") if (ROOT / name).is_file()]
    with tempfile.TemporaryDirectory(prefix="holdfast-release-") as scratch:
        source, built = Path(scratch, "source"), Path(scratch, "built")
        copy(tracked, source)
        call(BIN / "ansible-galaxy", "collection", "build", "--output-path", built, source)
        [artefact] = built.iterdir()
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(artefact, folder / artefact.name))


def contents(artefact: Path) -> list[str]:
    """Return the names of the files in an artefact."""
    with tarfile.open(artefact) as archive:
        return [member.name for member in archive.getmembers() if member.isfile()]


def unwanted(names: Iterable[str]) -> list[str]:
    """Return the files that do not belong in an artefact."""
    return [name for name in names if name.partition("/")[0] not in CONTENTS or PRIVATE.search(name)]


def missing(names: Iterable[str]) -> list[str]:
    """Return the required files that an artefact lacks."""
    return sorted(CONTENTS - {name.partition("/")[0] for name in names})


def dependencies() -> list[str]:
    """Return the names of the collections that the roles use."""
    return list(yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["dependencies"])


def install(artefact: Path, folder: Path) -> None:
    """Install an artefact below a folder, with its dependencies from .venv's collections."""
    folder.mkdir(parents=True, exist_ok=True)
    command = (BIN / "ansible-galaxy", "collection", "install", artefact, "--no-deps", "--collections-path", folder)
    call(*command, cwd=folder, environment=outside(folder))
    for name in dependencies():
        link = folder / "ansible_collections" / name.replace(".", "/")
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(COLLECTIONS / name.replace(".", "/"))


def outside(collections: Path) -> dict[str, str]:
    """Return the environment of a project with installed collections only."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return environment | {"ANSIBLE_COLLECTIONS_PATH": str(collections)}


def require_lab(inventory: Path) -> None:
    """Raise ReleaseError if a lab does not run, or was not deployed from its inventory."""
    command = (BIN / "python", "-m", "lab.nodes", "status", inventory / "hosts.yml")
    if subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode:
        raise ReleaseError(f"the lab of {inventory} does not run, but the check needs it: make lab")
    if not (inventory / SECRETS).exists():
        raise ReleaseError(
            f"{inventory / SECRETS} is missing: give the inventory that the lab was deployed from, LAB=PATH"
        )


def check(inventory: Path) -> None:
    """Build, check the contents, install, and run preflight and status against the lab."""
    require_lab(inventory)
    artefact = build()
    names = contents(artefact)
    if unwanted(names) or missing(names):
        raise ReleaseError(f"{artefact.name}: should not have {unwanted(names)}, lacks {missing(names)}")
    say(f"{artefact}: {len(names)} files, {artefact.stat().st_size >> 10} KiB")
    with tempfile.TemporaryDirectory(prefix="holdfast-installed-") as scratch:
        collections, project = Path(scratch, "collections"), Path(scratch, "project")
        project.mkdir()
        install(artefact, collections)
        for playbook, *options in (("preflight",), ("status", "-e", "status_wait=60")):
            with step(f"holdfast.ha.{playbook} of the installed collection, on the lab"):
                command: tuple[str | Path, ...] = (
                    BIN / "ansible-playbook",
                    "-i",
                    inventory,
                    f"holdfast.ha.{playbook}",
                    *options,
                )
                print(call(*command, cwd=project, environment=outside(collections)), flush=True)


def main(arguments: list[str]) -> int:
    """Build or check; print the reason and return 1 when that fails."""
    try:
        match arguments:
            case ["build"]:
                print(build())
            case ["check", *paths] if len(paths) < 2:
                check(Path(*paths or (str(LAB),)).resolve())
            case _:
                raise ReleaseError("give build, or check and an inventory")
    except ReleaseError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
