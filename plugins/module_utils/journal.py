# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a unit does not start, by its journal. Nothing here does I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence

FAILURE = re.compile(r"\b(?:FATAL|PANIC|ERROR|CRITICAL|Traceback|[Ff]ailed|[Cc]ould not|[Cc]annot|No space left)\b")
# These lines are about waiting only.
ECHO = re.compile(r"not yet accepting connections|is starting up|is shutting down")
# Nothing that the host does by itself ends these.
HOPELESS = re.compile(
    r"password authentication failed|no pg_hba\.conf entry|certificate verify failed|database system identifier differs"
    r"|belongs to a different cluster|system ID mismatch|CLUSTER ID MISMATCH|No space left on device"
    r"|unrecognized configuration parameter|invalid value for parameter|Permission denied"
    r"|incompatible with server|database files are incompatible"
)
LONGEST = 300


def command(unit: str, since: float) -> list[str]:
    """Return the command that shows a unit's journal since a time in seconds since the epoch."""
    options = ["--no-pager", "--quiet", "--output=cat", "--lines=500"]
    return ["journalctl", *options, f"--unit={unit}", f"--since=@{since:.0f}"]


def cause(lines: Sequence[str]) -> str:
    """Return the last line about a failure, preferably one that waiting does not fix; "" without one."""
    failures = [line.strip() for line in lines if FAILURE.search(line) and not ECHO.search(line)]
    told = [line for line in failures if HOPELESS.search(line)] or failures
    return told[-1][:LONGEST] if told else ""


def is_hopeless(line: str) -> bool:
    """Return whether waiting does not fix the failure in a line."""
    return bool(HOPELESS.search(line))
