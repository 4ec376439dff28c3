# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions shared by the kinds of backup jobs."""

# A program that runs without Ansible.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, cast

SHOWN = 2000  # characters of a command's error output


class JobError(Exception):
    """The job has failed; the message says why, without secrets."""


@dataclass(frozen=True)
class Runner:
    """Runs commands without a shell; its exceptions never show secrets."""

    environment: Mapping[str, str]
    secrets: tuple[str, ...] = ()

    def output(self, argv: Sequence[str]) -> str:
        """Return what a command printed; raise JobError when it fails."""
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, errors="replace", check=False, env=self.environment
            )
        except OSError as error:
            raise JobError(f"{argv[0]}: {error.strerror}") from error
        if done.returncode:
            # Hide secrets first: one that is cut in two would not be found.
            told = self.hide(done.stderr.strip() or done.stdout.strip())[-SHOWN:] or "it said nothing"
            raise JobError(f"{shown(argv)} exited with {done.returncode}: {told}")
        return done.stdout

    def lines(self, argv: Sequence[str]) -> Iterator[str]:
        """Yield a command's lines as they arrive; raise JobError if it fails."""
        with subprocess.Popen(
            argv, stdout=subprocess.PIPE, text=True, errors="replace", env=self.environment
        ) as process:
            yield from cast(IO[str], process.stdout)
        if process.returncode:
            raise JobError(f"{shown(argv)} exited with {process.returncode}")

    def hide(self, text: str) -> str:
        """Return a text without the secrets."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def shown(argv: Sequence[str]) -> str:
    """Return the program and its first argument, which identify the step."""
    return " ".join(argv[:2])


def plain_environment(*dropped: str) -> dict[str, str]:
    """Return the process' environment without variables that have one of these prefixes."""
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
