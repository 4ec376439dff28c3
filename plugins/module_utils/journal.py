# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a unit's journal says of why it does not come up. Nothing here does I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence

FAILURE = re.compile(r"\b(?:FATAL|PANIC|ERROR|CRITICAL|Traceback|[Ff]ailed|[Cc]ould not|[Cc]annot|No space left)\b")
# These only tell of waiting.
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
    """Return the command that shows what a unit has said since a time in seconds since the epoch."""
    options = ["--no-pager", "--quiet", "--output=cat", "--lines=500"]
    return ["journalctl", *options, f"--unit={unit}", f"--since=@{since:.0f}"]


def cause(lines: Sequence[str]) -> str:
    """Return the last line that tells what failed, one that time does not mend before others; "" without one."""
    failures = [line.strip() for line in lines if FAILURE.search(line) and not ECHO.search(line)]
    told = [line for line in failures if HOPELESS.search(line)] or failures
    return told[-1][:LONGEST] if told else ""


def is_hopeless(line: str) -> bool:
    """Say whether waiting does not help against what a line tells."""
    return bool(HOPELESS.search(line))
