# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the phases of an injection took."""

from __future__ import annotations

import time
from collections.abc import Callable


class Stopwatch:
    """Phases one after the other: seconds by name, in their order."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._begun = now()
        self.phases: dict[str, float] = {}

    def end(self, phase: str) -> None:
        """End a phase; the next one begins."""
        now = self._now()
        self.phases[phase] = round(now - self._begun, 3)
        self._begun = now
