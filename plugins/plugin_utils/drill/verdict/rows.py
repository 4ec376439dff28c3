# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outcome of the rows: acknowledged, found, lost, stored twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Ledger, Outcome, Presence, Write

Key = tuple[str, int]


def every_write(ledger: Ledger) -> Iterator[Write]:
    """Yield the writes of all clients, including those made on the nodes themselves."""
    yield from ledger.writes
    yield from ledger.naive
    yield from ledger.pooled
    yield from ledger.local_writes


def acknowledgements(writes: Iterable[Write]) -> list[float]:
    """Return when rows were acknowledged."""
    return [write.ended for write in writes if write.outcome is Outcome.ACKNOWLEDGED]


def key_of(write: Write) -> Key:
    """Return the unique key of a write's row."""
    return write.writer, write.sequence


def keys(ledger: Ledger, outcome: Outcome) -> set[Key]:
    """Return the rows with at least one attempt of this outcome."""
    return {key_of(write) for write in every_write(ledger) if write.outcome is outcome}


def acknowledged_keys(ledger: Ledger) -> set[Key]:
    """Return the rows that were acknowledged without a warning."""
    return keys(ledger, Outcome.ACKNOWLEDGED)


def refused_keys(ledger: Ledger) -> set[Key]:
    """Return the rows whose every attempt was refused."""
    return keys(ledger, Outcome.REFUSED).difference(*(keys(ledger, other) for other in Outcome if other != "refused"))


def leader_presence(ledger: Ledger) -> Presence | None:
    """Return the rows found on the leader after healing, None when they were not looked up."""
    return next((found for found in ledger.presence if found.member == ledger.primary_after), None)


def absent(ledger: Ledger, found: Presence) -> set[Key]:
    """Return the acknowledged rows that are not on a member."""
    return {key for key in acknowledged_keys(ledger) if not found.counts.get(key)}


def lost_keys(ledger: Ledger) -> set[Key]:
    """Return the acknowledged rows that the leader does not have."""
    found = leader_presence(ledger)
    return set() if found is None else absent(ledger, found)


def missing_keys(ledger: Ledger) -> dict[str, set[Key]]:
    """Return the acknowledged rows that a standby does not have, by member."""
    others = (found for found in ledger.presence if found.member != ledger.primary_after)
    return {found.member: rows for found in others if (rows := absent(ledger, found))}


def duplicated_keys(ledger: Ledger) -> set[Key]:
    """Return the rows stored more than once on any member."""
    return {key for found in ledger.presence for key, count in found.counts.items() if count > 1}


def refused_but_present(ledger: Ledger) -> set[Key]:
    """Return the refused rows that are stored anyway."""
    refused = refused_keys(ledger)
    return {key for found in ledger.presence for key, count in found.counts.items() if count and key in refused}
