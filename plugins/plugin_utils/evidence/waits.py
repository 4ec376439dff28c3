# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long each client waited: from the begin of its first attempt to the attempt that succeeded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Outcome, Read, Write


@dataclass(frozen=True, slots=True)
class Attempt:
    """One statement of a client, with the connection that it needed."""

    client: str
    begun: float
    ended: float
    succeeded: bool
    unknown: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """A client's wait in seconds on the client's clock; answered: whether it ended within the record."""

    client: str
    begun: float
    ended: float
    answered: bool = True

    @property
    def seconds(self) -> float:
        """The length of the wait."""
        return self.ended - self.begun


def of_write(write: Write) -> Attempt:
    """Return a write as an attempt: only an acknowledgement without a warning is a success."""
    succeeded, unknown = write.outcome is Outcome.ACKNOWLEDGED, write.outcome is Outcome.UNKNOWN
    return Attempt(write.writer, write.begun, write.ended, succeeded, unknown, write.error)


def of_read(read: Read) -> Attempt:
    """Return a read as an attempt."""
    return Attempt(read.reader, read.begun, read.ended, read.ok, error=read.error)


def waits(attempts: Iterable[Attempt], until: float) -> Iterator[Wait]:
    """Yield every client's waits; one without success lasts until the record's end."""
    first: dict[str, float] = {}
    for attempt in attempts:
        if attempt.begun > until:
            continue
        first.setdefault(attempt.client, attempt.begun)
        if attempt.succeeded and attempt.ended <= until:
            yield Wait(attempt.client, first.pop(attempt.client), attempt.ended)
    for client, begun in first.items():
        yield Wait(client, begun, until, answered=False)


def longest(found: Iterable[Wait], begin: float, end: float) -> Wait | None:
    """Return the longest of the waits that overlap begin … end, None without any."""
    within = (wait for wait in found if wait.begun < end and wait.ended > begin)
    return max(within, key=lambda wait: wait.seconds, default=None)
