# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether other upgrades leave a host's packages and services alone."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

Run = Callable[[Sequence[str]], tuple[int, str, str]]

POLICY = Path("/usr/sbin/policy-rc.d")
"""The program that maintainer scripts ask before they act on a service; at most one exists."""

MARK = "Managed by Ansible (holdfast.ha.packages)"
"""What the role's own policy-rc.d says of itself."""

UNATTENDED = Path("/usr/bin/unattended-upgrade")
NEEDRESTART = Path("/usr/sbin/needrestart")
EXCEPTIONS = Path("/etc/needrestart/conf.d/holdfast.conf")
ASK = ("timeout", "10", "sh", "-c", '"$0" "$1" "$2"')
ABSENT, OWN, FOREIGN = "absent", "own", "foreign"
FORBIDDEN = 101
ACTIONS = ("stop", "start", "restart", "try-restart")
"""What an upgrade does to services, besides reloading them."""

_BLACKLIST = re.compile(r'^Unattended-Upgrade::Package-Blacklist::[^ ]* "(.*)";$', re.MULTILINE)
_REBOOT = re.compile(r'^Unattended-Upgrade::Automatic-Reboot "(.*)";$', re.MULTILINE)
_TRUE = frozenset({"1", "yes", "true", "with", "on", "enable"})


@dataclass(frozen=True)
class Found:
    """Whose policy-rc.d a host has, the units on which upgrades may act, the packages that unattended-upgrades may
    replace, whether needrestart may restart units, and whether unattended-upgrades reboots the host."""

    policy: str
    unprotected: list[str]
    upgradable: list[str]
    restarts: bool
    reboots: bool

    @property
    def is_complete(self) -> bool:
        """Whether upgrades by others leave everything alone."""
        return not (self.unprotected or self.upgradable or self.restarts or self.reboots)


def look(packages: Sequence[str], units: Sequence[str], run: Run) -> Found:
    """Ask a host about its stack; raises OSError."""

    def ask(unit: str, action: str) -> int:
        return run([*ASK, str(POLICY), unit, action])[0]

    there = UNATTENDED.exists()
    configuration = run(["apt-config", "dump", "Unattended-Upgrade"]) if there else (0, "", "")
    if configuration[0]:
        raise OSError(f"apt-config exited with {configuration[0]}: {configuration[2].strip()}")
    return Found(
        policy=policy(),
        unprotected=unprotected(units, ask) if os.access(POLICY, os.X_OK) else list(units),
        upgradable=upgradable(packages, configuration[1]) if there else [],
        restarts=NEEDRESTART.exists() and not EXCEPTIONS.exists(),
        reboots=reboots(configuration[1]),
    )


def policy(path: Path = POLICY) -> str:
    """Return whose policy-rc.d a host has: V(absent), V(own) or V(foreign)."""
    try:
        is_file = stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return ABSENT
    return OWN if is_file and MARK in path.read_text(encoding="utf-8", errors="replace") else FOREIGN


def unprotected(units: Iterable[str], ask: Callable[[str, str], int]) -> list[str]:
    """Return the units on which an upgrade may act; ask(unit, action) is policy-rc.d's exit code."""
    return [unit for unit in units if any(ask(unit, action) != FORBIDDEN for action in ACTIONS)]


def upgradable(names: Iterable[str], configuration: str) -> list[str]:
    """Return the packages that apt's configuration, as `apt-config dump` shows it, leaves to unattended-upgrades."""
    patterns = _BLACKLIST.findall(configuration)
    return [name for name in names if not any(_matches(pattern, name) for pattern in patterns)]


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.match(pattern, name) is not None
    except re.error:
        return False


def reboots(configuration: str) -> bool:
    """Say whether unattended-upgrades reboots the host by itself."""
    found = _REBOOT.findall(configuration)
    return bool(found) and found[-1].lower() in _TRUE
