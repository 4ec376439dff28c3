# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers in words."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return 1 row, 2 rows."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
