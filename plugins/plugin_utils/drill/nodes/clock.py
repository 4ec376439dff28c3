# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The offset of a node's monotonic clock from the controller's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Offset:
    """The seconds by which the node's clock is ahead, plus or minus the uncertainty."""

    seconds: float
    uncertainty: float

    def here(self, at: float) -> float:
        """Return a node's time on the controller's clock."""
        return at - self.seconds

    def there(self, at: float) -> float:
        """Return the controller's time on the node's clock."""
        return at + self.seconds


def estimate(exchanges: Iterable[tuple[float, float, float]]) -> Offset:
    """Return the offset of the quickest of some exchanges (asked, node's answer, answered).

    The node read its clock at some time between request and answer: in the middle, plus or minus half the round trip.
    """
    asked, told, answered = min(exchanges, key=lambda exchange: exchange[2] - exchange[0])
    return Offset(told - (asked + answered) / 2, (answered - asked) / 2)
