# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installed Debian packages, as reported by dpkg."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

INSTALLED = "installed"
AT_REST = frozenset({INSTALLED, "not-installed", "config-files"})
QUERY = ("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status} ${Version}\\n")


@dataclass(frozen=True)
class Packages:
    """Wanted packages: those not completely installed, and the upstream versions of the others.

    broken: any packages of the host that an interrupted run left half-way.
    """

    missing: list[str]
    broken: list[str]
    versions: dict[str, str]


def judge(listing: str, wanted: Sequence[str]) -> Packages:
    """Judge dpkg's lines of `name status version`; the missing ones stay in the order in which they are wanted."""
    known = {name: (state, version) for name, state, version in (line.split(" ") for line in listing.splitlines())}
    installed = {name: version for name, (state, version) in known.items() if state == INSTALLED}
    return Packages(
        missing=[name for name in wanted if name not in installed],
        broken=sorted(name for name, (state, _version) in known.items() if state not in AT_REST),
        versions={name: upstream(installed[name]) for name in wanted if name in installed},
    )


def upstream(version: str) -> str:
    """Return the upstream part of a Debian version: 1:2.55.1-1+b2 is 2.55.1."""
    return version.rpartition(":")[2].partition("-")[0]
