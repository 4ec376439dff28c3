# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy-rc.d for one transaction of apt: its maintainer scripts start, stop and restart no service.

Debian knows one place for it, which the user or another program may have taken. Theirs stays valid for everybody else,
even if a killed run leaves ours there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.module_utils import safe_path

DIRECTORY = "usr/sbin"
"""Below the host's root."""
NAME = "policy-rc.d"
SAVED = f"{NAME}.holdfast-saved"
MARK = "# Of holdfast.ha.packages_upgrade, while it works."
VARIABLE = "HOLDFAST_WITHHELD"
"""Names the file of what was withheld; only apt's own maintainer scripts have it."""

TEXT = """\
#!/bin/sh
{mark} A run that was killed leaves this file, and the next one removes it.
if [ -n "${variable}" ]; then
    echo "$@" >> "${variable}"
    exit 101
fi
[ -x "{saved}" ] && exec "{saved}" "$@"
exit 0
"""
STARTING = ("start", "restart", "try-restart", "reload", "force-reload", "reload-or-restart")


def parse_withheld(text: str) -> list[str]:
    """The units to be started, from lines of arguments to policy-rc.d: options, a unit or init script, and actions."""
    found = set()
    for line in text.splitlines():
        name, *actions = [word for word in line.split() if not word.startswith("-")] or [""]
        if any(word.strip("()") in STARTING for word in actions):
            found.add(name if "." in name else f"{name}.service")
    return sorted(found)


def text(directory: Path) -> str:
    """The policy: forbidden to who has the variable, else what the user's own policy says."""
    return TEXT.format(mark=MARK, variable=VARIABLE, saved=directory / SAVED)


@contextmanager
def withholding(directory: Path, log: Path) -> Iterator[dict[str, str]]:
    """Put the policy in its place, and restore the former one at the end; yields the environment for apt.

    log: collects what is withheld, also by runs that are killed or fail.
    """
    mend(directory)
    try:
        _put(directory)
        yield {VARIABLE: str(log)}
    finally:
        mend(directory)


def collect(log: Path) -> list[str]:
    """Return the units that maintainer scripts wanted to start, restart or reload, and forget them."""
    if not log.exists():
        return []
    units = parse_withheld(log.read_text(encoding="utf-8"))
    log.unlink()
    return units


def _put(directory: Path) -> None:
    # Each step leaves a valid policy: until the rename the former one, then ours, which asks the former one.
    if os.path.lexists(directory / NAME):
        os.link(directory / NAME, directory / SAVED, follow_symlinks=False)
    safe_path.replace(directory / NAME, text(directory).encode(), safe_path.Access(os.geteuid(), os.getegid(), 0o755))


def mend(directory: Path) -> bool:
    """Restore the former policy where ours is left; return whether anything was."""
    policy, saved = directory / NAME, directory / SAVED
    if not is_ours(policy):
        # Ours never got there, or somebody replaced it: the present policy counts.
        left = os.path.lexists(saved)
        saved.unlink(missing_ok=True)
        return left
    if os.path.lexists(saved):
        saved.rename(policy)
    else:
        policy.unlink()
    return True


def is_ours(policy: Path) -> bool:
    """Whether a file is a policy of this module's."""
    if policy.is_symlink() or not policy.is_file():
        return False
    return any(line.startswith(MARK) for line in policy.read_text(encoding="utf-8", errors="replace").splitlines()[1:2])
