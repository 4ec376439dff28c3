# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes and times as people read them."""

from __future__ import annotations

KIBI = 1024
STEPS = ((86400, "d"), (3600, "h"), (60, "min"))


def size(count: int | None) -> str:
    """Return bytes as 12 B, 3.4 KiB, ...; "?" for None."""
    if count is None:
        return "?"
    if count < KIBI:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= KIBI
        if value < KIBI:
            return f"{value:.1f} {unit}"
    return f"{value / KIBI:.1f} PiB"


def duration(seconds: int) -> str:
    """Return seconds in the largest unit that gives at least two: 90 s, 5 min, 3 h, 2 d."""
    for length, unit in STEPS:
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
