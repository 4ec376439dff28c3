# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an etcd refuses requests of an older Patroni: nothing here does I/O.

The releases that fix CVE-2026-33413 answer a lease's keepalive and questions about the members only after a login.
Patroni logs in for them since 4.0.8 and 4.1.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

CVE = "CVE-2026-33413"
# The first release of each branch; it wants root for the list of members, which Patroni's user is not.
GUARDED = {(3, 4): 42, (3, 5): 28, (3, 6): 9}
AUTHENTICATES = {(4, 0): 8, (4, 1): 1}
LOGS_IN = re.compile(r"@_handle_auth_errors\s+def lease_keepalive\b")


@dataclass(frozen=True)
class Etcd:
    """An etcd that is installed or would be: its version, and whether the questions are refused without a login."""

    version: str
    guarded: bool
    root_only: bool

    @classmethod
    def of(cls, version: str, changelog: str = "") -> Etcd:
        """Judge an upstream version, and the distribution's changelog, which names what it mended without a new one."""
        minor, patch = _numbers(version)
        first = GUARDED.get(minor, 0 if minor > max(GUARDED) else None)
        by_version = first is not None and patch >= first
        return cls(version, by_version or CVE in changelog, by_version and first != 0 and patch == first)


@dataclass(frozen=True)
class Patroni:
    """A Patroni that is installed or would be: its version, and whether it logs in for everything."""

    version: str
    authenticates: bool

    @classmethod
    def of(cls, version: str, source: str = "") -> Patroni:
        """Judge an upstream version, and the text of its dcs/etcd3.py, which a distribution may have mended."""
        minor, patch = _numbers(version)
        first = AUTHENTICATES.get(minor, 0 if minor > max(AUTHENTICATES) else None)
        return cls(version, (first is not None and patch >= first) or bool(LOGS_IN.search(source)))


def refusal(patroni: Patroni, etcds: Mapping[str, Etcd], beside_etcd: bool) -> tuple[str, str] | None:
    """Return why a Patroni can't work with the etcd of these hosts, and what helps; None when it can.

    A Patroni beside an etcd member uses that one only, and never asks for the others.
    """
    guarded = sorted(host for host, etcd in etcds.items() if etcd.guarded)
    if guarded and not patroni.authenticates:
        asked_by = f"etcd {etcds[guarded[0]].version} on {', '.join(guarded)}"
        return (
            f"Patroni {patroni.version} does not log in everywhere that {asked_by} asks it to",
            "install Patroni 4.0.8, 4.1.1 or later before that etcd (apt-mark hold etcd-server meanwhile)",
        )
    root_only = sorted(host for host, etcd in etcds.items() if etcd.root_only)
    if root_only and not beside_etcd:
        asked = f"etcd {etcds[root_only[0]].version} on {', '.join(root_only)}"
        return (
            f"{asked} returns its members to root only, not to Patroni",
            "install the next release of that etcd",
        )
    return None


def parse_candidate(policy: str) -> str:
    """Return the version that `apt-cache policy PACKAGE` would install, "" when there is none."""
    found = re.search(r"^\s*Candidate: (\S+)$", policy, re.MULTILINE)
    return "" if found is None or found[1] == "(none)" else found[1]


def _numbers(version: str) -> tuple[tuple[int, int], int]:
    numbers = [int(number) for number in re.findall(r"\d+", re.match(r"[\d.]*", version)[0])]  # type: ignore[index]
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return (major, minor), patch
