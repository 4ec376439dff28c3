# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A candidate is promoted only when it is sure to have every commit.

With quorum commit, Patroni asks voters for their position while they go on receiving WAL. What they acknowledge after
their answer is lost when the former primary's Patroni hangs and its PostgreSQL does not. So a candidate is promoted
only when enough voters no longer receive WAL from the former primary and have no more of it than the candidate. With
one synchronous standby, the candidate looks again whether it still is the one (candidacy.py).
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from patroni_start.candidacy import Candidacy, remains_synchronous
from patroni_start.upstreams import UNKNOWN_UPSTREAM, address_of, detaching, upstreams

LOG = logging.getLogger(__name__)
VOTE = "vote"
VOTE_POLLING_SECONDS, VOTE_TIMEOUT, VOTE_PATIENCE = 0.02, 1.0, 1.0
HOLDING_SECONDS = 20.0  # after which an unconfirmed candidate gives the leader key back, so that another may have it
POSITION = """SELECT GREATEST(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(), '0/0'),
 pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_replay_lsn(), '0/0'))::bigint"""


@dataclass(frozen=True)
class Answer:
    """A voter's bytes of WAL, and from whom (host:port) it may get more; None: its Patroni isn't amended."""

    position: int
    upstreams: frozenset[str] | None

    def is_bound(self, candidate: str) -> bool:
        """Whether it receives WAL only from the candidate, so it acknowledges nothing to others."""
        return self.position > 0 and (self.upstreams is None or self.upstreams <= {candidate})


class Verdict(Enum):
    """What a candidate knows of itself; BEHIND: a bound voter has more WAL, or others may have."""

    PROMOTE = auto()
    BEHIND = auto()
    WAIT = auto()


def judge(answers: Iterable[Answer], candidate: str, position: int, needed: int) -> Verdict:
    """Return whether a candidate has everything that was acknowledged and that nothing more will be.

    Args:
        answers: the latest of each voter.
        candidate: host:port of the candidate.
        position: bytes of WAL that it has, read after the answers.
        needed: voters without which no commit was acknowledged, in the worst case.
    """
    bound = [answer.position for answer in answers if answer.is_bound(candidate)]
    if sum(voter <= position for voter in bound) >= needed:
        return Verdict.PROMOTE
    return Verdict.BEHIND if any(voter > position for voter in bound) else Verdict.WAIT


def parse_answer(status: Mapping[str, Any]) -> Answer:
    """Return the answer in a member's status; a primary, or a PostgreSQL that is down, has no position."""
    wal = status.get("wal") or status.get("xlog") or {}
    named = status.get("upstreams")
    position = max(wal.get("received_location") or 0, wal.get("replayed_location") or 0)
    return Answer(position, None if named is None else frozenset(named))


def voting(handler: Any) -> None:
    """Answer GET /vote: the status, and the upstreams as they were before its position was read."""
    postgresql = handler.server.patroni.postgresql
    try:
        named = upstreams(handler.query, Path(postgresql.data_dir))
    except Exception:
        LOG.warning("This voter's upstreams are unknown", exc_info=True)
        named = [UNKNOWN_UPSTREAM]
    handler._write_status_response(200, {**handler.get_postgresql_status(True), "upstreams": named})


class Election:
    """The race for the leader key, as one member takes part in it."""

    def __init__(self) -> None:
        self._candidacy = Candidacy()
        self._deadline: float | None = None

    def joining(self, process: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's cycle without a leader (Ha.process_unhealthy_cluster); who can't win detaches first.

        Such a member waits two seconds before it looks for the winner, and the winner waits for its vote.
        """

        def process_detached(ha: Any) -> Any:
            self._candidacy.begin(ha)
            self._deadline = None
            can_t_win = ha.patroni.nofailover or (ha.cluster.failover and not self._candidacy.named)
            if can_t_win and takes_part(ha) and not ha.state_handler.is_primary():
                detach(ha.state_handler)
            return process(ha)

        return process_detached

    def confirming(self, prepare: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's last step before a promotion (Ha.process_sync_replication_prepromote), confirmed.

        It comes after the leader key was taken: only then the voters' answers can't be outdated, since none of them
        follows another member any more. A member that an operator names is promoted in the end, as Patroni does.
        """

        def prepare_when_confirmed(ha: Any) -> Any:
            verdict = self._verdict(ha)
            if verdict is Verdict.PROMOTE or self._candidacy.named:
                if verdict is not Verdict.PROMOTE:
                    LOG.warning("Promoted by name, although it is not confirmed that this member has every commit")
                return prepare(ha)
            if verdict is Verdict.BEHIND or self._has_waited():
                LOG.warning("The leader key is released: this member may lack commits")
                self._deadline = None
                ha.release_leader_key_voluntarily()
            else:
                LOG.warning("Not promoted yet: too few voters confirm that they receive no WAL from the former primary")
                ha.wakeup()
            return False

        return prepare_when_confirmed

    def _has_waited(self) -> bool:
        now = time.monotonic()
        self._deadline = self._deadline or now + HOLDING_SECONDS
        return now > self._deadline

    def _verdict(self, ha: Any) -> Verdict:
        if not ha.is_synchronous_mode() or self._candidacy.is_exempt(ha):
            return Verdict.PROMOTE
        if not ha.is_quorum_commit_mode():
            return Verdict.PROMOTE if remains_synchronous(ha) else Verdict.BEHIND
        return vote(ha) if takes_part(ha) else Verdict.PROMOTE


def vote(ha: Any) -> Verdict:
    """Return what the voters say of this member, once the former primary can't change them any more."""
    if not fence(ha):
        LOG.warning("/sync was written by another member, or is newer than it was read: it is read again")
        return Verdict.WAIT
    sync, name = ha.cluster.sync, ha.state_handler.name
    needed = sync.quorum + (not sync.matches(name, True))
    if needed < 1 or sync.leader_matches(name):
        return Verdict.PROMOTE
    voters = [one for one in ha.cluster.members if one.name != name and sync.matches(one.name, True) and one.api_url]
    candidate = address_of(ha.cluster.get_member(name, fallback_to_leader=False))
    return poll(ha, voters, candidate, needed)


def fence(ha: Any) -> bool:
    """Write /sync as it is, and return whether it is as it was read.

    A former primary in a cycle that outlasts its lease compares the revision that it has read, and fails from now on.
    """
    sync = ha.cluster.sync
    return bool(ha.dcs.write_sync_state(sync.leader, sync.voters, sync.quorum, version=sync.version))


def takes_part(ha: Any) -> bool:
    """Whether a member votes: with quorum commit, unless an operator has paused the cluster."""
    return ha.quorum_commit_mode_is_active() and not ha.is_paused() and not ha.is_standby_cluster()


def detach(postgresql: Any) -> None:
    """Stop a standby from receiving WAL."""
    change, restart = postgresql.config.check_recovery_conf(None)
    if change and not restart:
        postgresql.follow(None, do_reload=True)


def poll(ha: Any, voters: Iterable[Any], candidate: str, needed: int) -> Verdict:
    """Ask voters until enough confirm the candidate or VOTE_PATIENCE is over; return the last verdict."""
    deadline = time.monotonic() + VOTE_PATIENCE
    answers: dict[str, Answer] = {}
    for voter in voters:
        threading.Thread(target=ask, args=(ha, voter, candidate, deadline, answers), daemon=True).start()
    while True:
        given = list(answers.values())
        position = ha.state_handler.query(POSITION)[0][0] or 0
        verdict = judge(given, candidate, position, needed)
        is_final = verdict is Verdict.BEHIND and not upstreams(ha.state_handler.query, Path(ha.state_handler.data_dir))
        if verdict is Verdict.PROMOTE or is_final or time.monotonic() > deadline:
            return verdict
        time.sleep(VOTE_POLLING_SECONDS)


def ask(ha: Any, voter: Any, candidate: str, deadline: float, answers: dict[str, Answer]) -> None:
    """Keep a voter's latest answer until it is bound to the candidate or the deadline has passed."""
    while time.monotonic() < deadline:
        try:
            response = ha.patroni.request(voter, endpoint=VOTE, timeout=VOTE_TIMEOUT, retries=0)
            answers[voter.name] = parse_answer(json.loads(response.data))
        except Exception as error:  # noqa: BLE001 - any failure means no vote
            LOG.warning("%s gives no vote: %s", voter.name, error)
        else:
            if answers[voter.name].is_bound(candidate):
                return
        time.sleep(VOTE_POLLING_SECONDS)


def replacements(process: Any, prepare_promotion: Any, follow: Any, *_used: Any) -> Mapping[str, Any]:
    """Return the replacements that confirm a candidate of a quorum."""
    election = Election()
    return {
        "patroni.ha:Ha.process_unhealthy_cluster": election.joining(process),
        "patroni.ha:Ha.process_sync_replication_prepromote": election.confirming(prepare_promotion),
        "patroni.postgresql:Postgresql.follow": detaching(follow),
        f"patroni.api:RestApiHandler.do_GET_{VOTE}": voting,
    }
