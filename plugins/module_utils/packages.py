# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Debian packages are installed, asked of dpkg."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

INSTALLED = "installed"
AT_REST = frozenset({INSTALLED, "not-installed", "config-files"})
QUERY = ("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n")


@dataclass(frozen=True)
class Packages:
    """Wanted packages that are not completely installed, and packages that an interrupted run left half-way."""

    missing: list[str]
    broken: list[str]


def judge(listing: str, wanted: Sequence[str]) -> Packages:
    """Judge dpkg's lines of `name status`; the missing ones stay in the order in which they are wanted."""
    status = dict(line.split(" ", 1) for line in listing.splitlines())
    return Packages(
        missing=[name for name in wanted if status.get(name) != INSTALLED],
        broken=sorted(name for name, state in status.items() if state not in AT_REST),
    )
