# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of the service holdfast-metrics, and what its two programs share."""

# A program that runs without Ansible.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.safe_path import UnsafePathError

ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, UnsafePathError, subprocess.SubprocessError)
"""What fails a reading, but not the service."""
LOCALE = {"LC_ALL": "C", "LANGUAGE": "C"}
SECONDS = 300
"""How long a command may take."""


@dataclass(frozen=True)
class Settings:
    """What to read on a host, and where to write it.

    ``directory`` takes holdfast.prom, every ``interval`` seconds. ``host``: its name in the inventory. ``units``: the
    services that must run. ``addresses``: virtual ones that it may hold. ``packages``: the stack's. ``protected``: the
    units that upgrades must leave alone. ``data_directory`` and ``data_user``: of a server that archives, "" for none.
    ``jobs``: the declared ones. ``verification``: the record of the last one, "" for none. ``profile``: seconds by
    name.
    """

    directory: str
    interval: float
    host: str
    units: tuple[str, ...]
    addresses: tuple[str, ...]
    packages: tuple[str, ...]
    protected: tuple[str, ...]
    tls_directory: str
    data_directory: str
    data_user: str
    jobs: tuple[str, ...]
    verification: str
    profile: Mapping[str, float]


def parse(document: Mapping[str, Any]) -> Settings:
    """Return the settings of a document; raises KeyError for one that is missing."""
    values = ((item.name, document[item.name]) for item in fields(Settings))
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values}
    return Settings(**given)


def load(path: str) -> Settings:
    """Read the settings; raises OSError, ValueError, KeyError."""
    return parse(json.loads(Path(path).read_text(encoding="utf-8")))


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run a command; return its exit code, output and errors. Raises OSError, SubprocessError."""
    done = subprocess.run(
        list(command),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **LOCALE, **(environment or {})},
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def output(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Return a command's output; raises OSError if it fails, SubprocessError."""
    code, printed, error = run(command, environment)
    if code:
        raise OSError(f"{command[0]} exited with {code}: {error.strip()}")
    return printed
