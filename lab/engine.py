# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container engine's command line: found, or installed and started on Debian and Ubuntu as root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.progress import step

_ENGINES = ("docker", "podman")


class LabError(Exception):
    """An error for the user; shown without a traceback."""


@dataclass(frozen=True)
class Engine:
    """One container engine, driven through its command line."""

    program: str

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a subcommand and return its standard output; LabError carries its standard error."""
        result = subprocess.run([self.program, *arguments], input=stdin, capture_output=True, text=True, check=False)
        if result.returncode:
            raise LabError(f"{self.program} {' '.join(arguments[:4])} … failed: {result.stderr.strip()}")
        return result.stdout

    def succeeds(self, *arguments: str) -> bool:
        """Return whether a subcommand exits with 0."""
        return (
            subprocess.run(
                [self.program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
            ).returncode
            == 0
        )

    def containers(self, *, running_only: bool = False, label: str = "", network: str = "") -> list[str]:
        """Names of the containers, optionally only those that carry the label or are in the network."""
        arguments = ["ps", "--format", "{{.Names}}"]
        arguments += [] if running_only else ["--all"]
        arguments += ["--filter", f"label={label}"] if label else []
        arguments += ["--filter", f"network={network}"] if network else []
        return self.run(*arguments).split()

    def inspect(self, kind: str, name: str) -> dict[str, Any] | None:
        """The engine's data of an object (container, network, image, volume); None if it does not exist."""
        result = subprocess.run([self.program, kind, "inspect", name], capture_output=True, text=True, check=False)
        return json.loads(result.stdout)[0] if result.returncode == 0 else None


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Poll until the condition holds; LabError names a condition that did not hold in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.1)


def ready_engine(environment: Mapping[str, str] = os.environ) -> Engine:
    """The engine: $LAB_ENGINE, or the first that answers, or Debian's docker.io, which is installed and started."""
    wanted = environment.get("LAB_ENGINE")
    for program in [wanted] if wanted else _ENGINES:
        engine = Engine(program)
        if shutil.which(program) and engine.succeeds("info"):
            return engine
    if wanted not in (None, "docker"):
        raise LabError(f"LAB_ENGINE={wanted} does not answer '{wanted} info'; start it, or unset LAB_ENGINE")
    return _start_dockerd()


def _start_dockerd() -> Engine:
    if os.geteuid() != 0:
        raise LabError(
            "no container engine answers, and only root can start one: start docker or podman, or run as root"
        )
    if not shutil.which("dockerd"):
        install_debian_packages("docker.io")
    engine = Engine("docker")
    with step("starting the container engine"):
        log = Path("/var/log/holdfast-dockerd.log").open("ab")  # noqa: SIM115 - the daemon keeps it
        subprocess.Popen(["dockerd"], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        wait_until(lambda: engine.succeeds("info"), seconds=60, what="an answer of dockerd (see holdfast-dockerd.log)")
    return engine


def install_debian_packages(*packages: str) -> None:
    """Install packages of the machine's distribution; LabError unless it is Debian-like and the user is root."""
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise LabError(f"please install {' '.join(packages)}: the lab can install it only on Debian or Ubuntu, as root")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing {' '.join(packages)} on this machine"):
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
            result = subprocess.run(
                ["apt-get", "-q", *arguments], env=environment, capture_output=True, text=True, check=False
            )
            if result.returncode and arguments[0] == "install":
                raise LabError(f"apt-get install {' '.join(packages)} failed: {result.stderr.strip()[-600:]}")
