# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An execution environment with the collection: python -m scripts.ee build|status [INVENTORY].

build   The image holdfast/ee, by ansible-builder from lab/execution-environment.yml on the lab's Debian image.
status  holdfast.ha.status in a container of that image, for the lab of the given inventory (inventory/lab).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from lab.engine import Engine, LabError, ready_engine
from lab.image import node_image
from lab.progress import say, step
from scripts import release

ROOT = release.ROOT
FOLDER = ROOT / ".cache/ee"
DEFINITION = ROOT / "lab/execution-environment.yml"
IMAGE = "holdfast/ee"
# The packages that ansible-builder installs besides the collection's own requirements.
BUILDERS_OWN = ("ansible-core", "ansible-runner", "bindep", "packaging", "PyYAML", "dumb-init==1.2.5")


def build(engine: Engine) -> None:
    """Build the image."""
    base = node_image(engine, "trixie")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    shutil.copy(DEFINITION, FOLDER / "execution-environment.yml")
    release.build(FOLDER).rename(FOLDER / "holdfast-ha.tar.gz")
    for name in release.dependencies():
        shutil.copytree(release.COLLECTIONS / name.replace(".", "/"), FOLDER / "dependencies" / name.replace(".", "/"))
    version = engine.run("run", "--rm", base, "python3", "-c", "import platform; print(platform.python_version())")
    with step("fetching the Python packages"):
        pip = (
            release.BIN / "python",
            "-m",
            "pip",
            "download",
            "--only-binary=:all:",
            f"--python-version={version.strip()}",
        )
        release.call(*pip, "--dest", FOLDER / "wheels", "-r", ROOT / "requirements.txt", *BUILDERS_OWN)
    with step(f"building the image {IMAGE}"):
        builder = (release.BIN / "ansible-builder", "create", "--file", "execution-environment.yml")
        release.call(*builder, "--output-filename", "Containerfile", cwd=FOLDER)
        context = str(FOLDER / "context")
        file = f"--file={context}/Containerfile"
        engine.run("build", f"--tag={IMAGE}", f"--build-arg=EE_BASE_IMAGE={base}", file, context)


def status(engine: Engine, inventory: Path) -> int:
    """Run holdfast.ha.status on a lab; return its exit code."""
    if engine.inspect("image", IMAGE) is None:
        raise LabError(f"there is no image {IMAGE}: make ee")
    release.require_lab(inventory)
    mounts = [f"--volume={path}:{path}:ro" for path in (inventory, inventory.parent.parent / ".lab")]
    playbook = ("ansible-playbook", "-i", str(inventory), "holdfast.ha.status", "-e", "status_wait=60")
    command = (engine.program, "run", "--rm", "--network=host", "--user=root", *mounts, IMAGE, *playbook)
    return subprocess.run(command, check=False).returncode


def main(arguments: list[str]) -> int:
    """Build the image or use it; 1 with the reason when that fails."""
    try:
        match arguments:
            case ["build"]:
                build(ready_engine())
            case ["status", *paths] if len(paths) < 2:
                return status(ready_engine(), Path(*paths or (str(release.LAB),)).resolve())
            case _:
                raise LabError("give build, or status and an inventory")
    except (LabError, release.ReleaseError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
