# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's major version: which one a host runs, and the packages of it. Nothing here does I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

PLACEHOLDER = "%v"
"""What stands for the major version in a package's name, as in Debian's pg_buildext."""
SERVER = f"postgresql-{PLACEHOLDER}"


def chosen(declared: str, data: Iterable[str], distribution: str) -> str:
    """Return the version to run: the declared one, else that of existing data, else the distribution's.

    :arg data: versions of the cluster's data directories, C("") for one that is not there.
    """
    return declared or next((version for version in data if version), "") or distribution


def of_version(packages: Iterable[str], version: str) -> list[str]:
    """Return the names of packages for a version; with C("") they stay as they are."""
    return [name.replace(PLACEHOLDER, version or PLACEHOLDER) for name in packages]


def of_installed(packages: Iterable[str], installed: Collection[str]) -> list[str]:
    """Return the names of packages, one with the placeholder for each version of which it is installed."""
    found: list[str] = []
    for name in packages:
        pattern = re.escape(name).replace(re.escape(PLACEHOLDER), "[0-9]+")
        found += sorted(filter(re.compile(pattern).fullmatch, installed)) if PLACEHOLDER in name else [name]
    return found


def servers(packages: Iterable[str]) -> list[int]:
    """Return the versions whose server is among packages, the oldest first."""
    found = (re.fullmatch(SERVER.replace(PLACEHOLDER, "([1-9][0-9])"), name) for name in packages)
    return sorted({int(match[1]) for match in found if match})


def server(version: str) -> str:
    """Return the name of the server's package."""
    return of_version([SERVER], version)[0]
