# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quotes text for systemd's unit files, so that every character is literal: see systemd.syntax(7)."""

from __future__ import annotations

import re
from typing import Any

ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "%": "%%"})


def word(text: Any) -> str:
    """Return a text as one quoted word of a setting such as ReadWritePaths=; ValueError for control characters."""
    plain = str(text)
    if re.search(r"[\x00-\x1f\x7f]", plain):
        raise ValueError(f"{plain!r} has a character that no unit file can hold; leave it out")
    return f'"{plain.translate(ESCAPES)}"'


def argument(text: Any) -> str:
    """Return a text as one argument of a command, as in ExecStart=, where $ is special too."""
    return word(text).replace("$", "$$")
