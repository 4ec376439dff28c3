# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The winner of the leader key looks again, with the key in hand, whether it may be promoted.

Patroni looks at /sync before the race. The former primary may have changed it since: while it still led, or led again,
or in a cycle that outlasts its lease. With one synchronous standby, who is no longer in /sync may lack commits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from patroni_start.permit import runs_as_primary

LOG = logging.getLogger(__name__)
PRIMARY_ROLES = {"master", "primary", "promoted"}
STANDBY_LEADER = "standby_leader"


class Candidacy:
    """How a member came to the leader key that it holds; named: an operator wants it to lead."""

    def __init__(self) -> None:
        self.named = False
        self._raced = False

    def begin(self, ha: Any) -> None:
        """Note what this member would race for."""
        failover = ha.cluster.failover
        self.named = bool(failover) and failover.candidate == ha.state_handler.name
        self._raced = not ha.is_standby_cluster()

    def is_exempt(self, ha: Any) -> bool:
        """Whether Patroni alone decides: in a pause, or where the leader of a standby cluster becomes a primary.

        Since the latter took the key, no member has acknowledged a commit. /sync is from an earlier time, and may name
        members that are gone.
        """
        return bool(ha.is_paused()) or (ha.state_handler.role == STANDBY_LEADER and not self._raced)


def is_synchronous(name: str, leader: str | None, standbys: str | None) -> bool:
    """Return whether a member has every acknowledged commit by the key /sync; everyone has if it names no leader.

    Args:
        name: of the member.
        leader: in /sync, "" or None for none.
        standbys: in /sync, with commas between them.
    """
    named = {one.strip().lower() for one in (standbys or "").split(",")}
    return not leader or name.lower() in named | {leader.lower()}


def remains_synchronous(ha: Any) -> bool:
    """Return whether a member is in /sync, as it was read after the leader key was taken."""
    sync = ha.cluster.sync
    return is_synchronous(ha.state_handler.name, sync.leader, sync.sync_standby)


class Election:
    """The race for the leader key before Patroni 4.0, as one member takes part in it."""

    def __init__(self) -> None:
        self._candidacy = Candidacy()

    def joining(self, process: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's cycle without a leader (Ha.process_unhealthy_cluster), with what it races for noted."""

        def note_and_process(ha: Any) -> Any:
            self._candidacy.begin(ha)
            return process(ha)

        return note_and_process

    def enforcing(self, enforce: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's promotion of who holds the leader key (Ha.enforce_primary_role), refused outside of /sync.

        Patroni's own write of /sync compares its revision, so that what is looked at here is the latest.
        """

        def enforce_if_synchronous(ha: Any, *messages: str) -> Any:
            if self._may_lead(ha):
                return enforce(ha, *messages)
            LOG.warning("Not in /sync any more, so others may have more commits: the leader key is released")
            ha.release_leader_key_voluntarily()
            return "not promoting because this member is no longer synchronous"

        return enforce_if_synchronous

    def _may_lead(self, ha: Any) -> bool:
        if not ha.is_synchronous_mode() or self._candidacy.named or self._candidacy.is_exempt(ha):
            return True
        postgresql = ha.state_handler
        return remains_synchronous(ha) or postgresql.role in PRIMARY_ROLES or runs_as_primary(postgresql)


def replacements(process: Any, enforce: Any, *_used: Any) -> Mapping[str, Any]:
    """Return the replacements that make the winner look again."""
    election = Election()
    return {
        "patroni.ha:Ha.process_unhealthy_cluster": election.joining(process),
        "patroni.ha:Ha.enforce_primary_role": election.enforcing(enforce),
    }
