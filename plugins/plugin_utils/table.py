# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Aligned text tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]], indent: int = 2) -> str:
    """Return rows as lines of left-aligned columns, two blanks apart; rows may differ in length."""
    count = max((len(row) for row in rows), default=0)
    widths = [max(len(row[column]) for row in rows if len(row) > column) for column in range(count)]
    return "\n".join(
        (" " * indent + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False))).rstrip()
        for row in rows
    )
