# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How voters let go of a former primary and say so, and how a candidate waits for them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from patroni_start.processes import runs, wait_for_end
from patroni_start.quorum import POSITION, Election, detach, parse_answer, voting
from patroni_start.upstreams import address_of, detaching, upstream_of, upstreams

FORMER, WINNER = "10.0.0.1:5432", "10.0.0.2:5432"
CONNINFO = "dbname=postgres user=replicator passfile=/pgpass host={} port=5432 sslmode=verify-full application_name=db3"
RECEIVING = "postgres: main: walreceiver streaming 0/D0002B0"
POSTMASTER = """
import subprocess, sys
known_as = ["bash", "-c", 'exec -a "$0" "$@"']
children = [subprocess.Popen([*known_as, title, "sleep", "600"]) for title in sys.argv[1:]]
print(*(child.pid for child in children), flush=True)
for child in children:
    child.wait()
"""


@pytest.fixture
def postmaster(tmp_path: Path) -> Iterator[Callable[..., list[int]]]:
    """Starts a postmaster with children of the given titles and returns their process ids."""
    started: list[subprocess.Popen[str]] = []

    def start(*titles: str) -> list[int]:
        argv = [sys.executable, "-c", POSTMASTER, *titles]
        one = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(one)
        assert one.stdout is not None
        (tmp_path / "postmaster.pid").write_text(f"{one.pid}\n")
        children = [int(pid) for pid in one.stdout.readline().split()]
        for pid, title in zip(children, titles, strict=True):
            while not Path(f"/proc/{pid}/cmdline").read_text().startswith(title):
                pass
        return children

    yield start
    for one in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)
        one.communicate()


def member(address: str, name: str = "db1"):
    host, _, port = address.rpartition(":")
    return SimpleNamespace(name=name, api_url=f"https://{host}:8008", conn_kwargs=lambda: {"host": host, "port": port})


# A voter


@pytest.mark.parametrize(
    ("conninfo", "expected"),
    [
        (CONNINFO.format("10.0.0.1"), FORMER),
        ("user=replicator password=******** hostaddr=10.0.0.9 host='db1.example' port='6432'", "db1.example:6432"),
        ("host=fd00::1 port=5432", "fd00::1:5432"),
        ("host=db1", "db1:5432"),
        ("user=replicator", ""),
        ("", ""),
    ],
)
def test_the_upstream_in_a_connection_string(conninfo, expected):
    assert upstream_of(conninfo) == expected


@pytest.mark.parametrize(
    ("titles", "configured", "streaming", "expected"),
    [
        ([RECEIVING], "10.0.0.1", "10.0.0.1", [FORMER]),
        ([RECEIVING], "10.0.0.2", "10.0.0.1", [FORMER, WINNER]),
        ([RECEIVING], "", "10.0.0.1", [FORMER]),
        (["postgres: main: walreceiver"], "", None, ["?"]),
        ([], "10.0.0.1", None, [FORMER]),
        ([], "", None, []),
        (["postgres: walreceiver: checkpointer"], "", None, []),
    ],
    ids=["as configured", "not yet the new one", "not yet ended", "it connects", "between two", "none", "another"],
)
def test_upstreams_are_those_configured_and_those_in_use(request, titles, configured, streaming, expected):
    request.getfixturevalue("postmaster")(*titles)
    row = tuple(value and CONNINFO.format(value) for value in (configured, streaming))
    assert upstreams(lambda _statement: [row], request.getfixturevalue("tmp_path")) == expected


class Standby:
    """Patroni's Postgresql of a standby as far as it matters here; its walreceiver goes on, whatever is configured."""

    def __init__(self, data_directory, configured="10.0.0.1"):
        self.data_dir = str(data_directory)
        self.name = "db2"
        self.configured = configured
        self.position = 700
        self.changes = (True, False)
        self.config = SimpleNamespace(check_recovery_conf=lambda _member: self.changes)
        self.follow = lambda member, **options: detaching(Standby.follow_plainly)(self, member, **options)

    def query(self, statement):
        if statement == POSITION:
            return [(self.position,)]
        return [(CONNINFO.format(self.configured) if self.configured else "", None)]

    def follow_plainly(self, member, role="replica", timeout=None, do_reload=False):
        self.configured = address_of(member).rpartition(":")[0]
        return do_reload


@pytest.mark.parametrize("to", [member(WINNER), None], ids=["another primary", "none"])
def test_a_walreceiver_of_the_former_primary_is_ended(tmp_path, postmaster, to):
    """PostgreSQL that replays, or may not, does not come to it."""
    receiver, other = postmaster(RECEIVING, "postgres: main: checkpointer")
    assert Standby(tmp_path).follow(to, do_reload=True)
    assert wait_for_end(receiver, 30)
    assert runs(other)


def test_a_walreceiver_that_keeps_its_upstream_goes_on(tmp_path, postmaster, monkeypatch):
    told = []
    monkeypatch.setattr("patroni_start.upstreams.end_walreceiver", told.append)
    postmaster(RECEIVING)
    standby = Standby(tmp_path)
    standby.query = lambda _statement: [(CONNINFO.format("10.0.0.1"), CONNINFO.format("10.0.0.1"))]
    assert standby.follow(member(FORMER), do_reload=True)
    assert not told


def test_a_restart_ends_its_walreceiver_itself(tmp_path, postmaster, monkeypatch):
    told = []
    monkeypatch.setattr("patroni_start.upstreams.end_walreceiver", told.append)
    postmaster(RECEIVING)
    Standby(tmp_path).follow(member(WINNER))
    assert not told


def test_an_upstream_that_can_t_be_told_is_ended(tmp_path, postmaster):
    (receiver,) = postmaster(RECEIVING)
    standby = Standby(tmp_path)

    def refuse(_statement):
        raise RuntimeError("no connection")

    standby.query = refuse
    standby.follow(member(FORMER), do_reload=True)
    assert wait_for_end(receiver, 30)


@pytest.mark.parametrize("changes", [(False, False), (True, True)], ids=["already", "by a restart only"])
def test_who_can_t_detach_stays(tmp_path, changes):
    standby = Standby(tmp_path)
    standby.changes = changes
    detach(standby)
    assert standby.configured == "10.0.0.1"


class Handler:
    """Patroni's RestApiHandler as far as it matters here."""

    def __init__(self, standby):
        self.server = SimpleNamespace(patroni=SimpleNamespace(postgresql=standby))
        self.query = standby.query
        self.written = None

    def get_postgresql_status(self, _retry):
        return {"state": "running", "xlog": {"received_location": 700, "replayed_location": 600}}

    def _write_status_response(self, status, response):
        self.written = (status, json.loads(json.dumps(response)))


def test_a_voter_tells_its_position_and_its_upstreams(tmp_path):
    handler = Handler(Standby(tmp_path))
    voting(handler)
    status, response = handler.written
    assert (status, response["xlog"]["received_location"], response["upstreams"]) == (200, 700, [FORMER])


def test_a_voter_that_can_t_tell_its_upstreams_is_not_bound(tmp_path):
    handler = Handler(Standby(tmp_path))

    def refuse(_statement):
        raise RuntimeError("no connection")

    handler.query = refuse
    voting(handler)
    assert not parse_answer(handler.written[1]).is_bound(WINNER)


@pytest.mark.parametrize(
    ("status", "position", "named"),
    [
        ({"xlog": {"received_location": 7, "replayed_location": 9}, "upstreams": []}, 9, frozenset()),
        ({"wal": {"received_location": 7, "replayed_location": None}, "upstreams": [FORMER]}, 7, {FORMER}),
        ({"xlog": {"location": 9}, "upstreams": []}, 0, frozenset()),
        ({"state": "starting", "upstreams": []}, 0, frozenset()),
        ({"xlog": {"received_location": 7}}, 7, None),
    ],
    ids=["Patroni 4.0", "Patroni 4.1", "a primary", "a PostgreSQL that starts", "not amended"],
)
def test_an_answer_is_read(status, position, named):
    answer = parse_answer(status)
    assert (answer.position, answer.upstreams) == (position, named)


# A candidate


class Sync:
    """Patroni's SyncState: db1 led, db2 and db3 were its quorum's standbys."""

    leader, voters, quorum, version = "db1", ("db2", "db3"), 1, "7"

    @property
    def sync_standby(self):
        return ",".join(self.voters)

    def matches(self, name, check_leader=False):
        return name in self.voters or (check_leader and name == self.leader)

    def leader_matches(self, name):
        return name == self.leader


class Candidate:
    """Patroni's Ha on db2, which has just taken the leader key; answers: what db3 says, one after the other."""

    def __init__(self, data_directory, *answers):
        self.state_handler = Standby(data_directory)
        self.state_handler.is_primary = lambda: False
        self.state_handler.role = "replica"
        members = [member(FORMER, "db1"), member(WINNER, "db2"), member("10.0.0.3:5432", "db3")]
        by_name = {one.name: one for one in members}
        self.cluster = SimpleNamespace(
            sync=Sync(),
            members=members,
            failover=None,
            get_member=lambda name, fallback_to_leader: by_name[name],
        )
        self.patroni = SimpleNamespace(nofailover=False, request=self._request)
        self.answers = list(answers)
        self.done = []
        self.dcs = SimpleNamespace(write_sync_state=self._write_sync_state)
        self.revision, self.fences = "7", 0
        self.is_synchronous_mode = self.is_quorum_commit_mode = self.quorum_commit_mode_is_active = lambda: True
        self.is_paused = self.is_standby_cluster = lambda: False

    def _request(self, voter, endpoint, **_options):
        assert endpoint == "vote"
        if voter.name != "db3" or not self.answers:
            raise TimeoutError
        position, *named = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        status = {"xlog": {"received_location": position}, "upstreams": named}
        return SimpleNamespace(data=json.dumps(status))

    def _write_sync_state(self, leader, sync_standby, quorum, version=None):
        sync = self.cluster.sync
        assert (leader, tuple(sync_standby), quorum) == (sync.leader, sync.voters, sync.quorum)
        if version != self.revision:
            return None
        self.fences += 1
        return sync

    def prepare(self):
        self.done.append("promoted")
        return True

    def release_leader_key_voluntarily(self):
        self.done.append("released")

    def wakeup(self):
        self.done.append("woken")


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    monkeypatch.setattr("patroni_start.quorum.VOTE_PATIENCE", 0.5)


def test_a_candidate_is_promoted_when_a_voter_has_let_go(tmp_path):
    ha = Candidate(tmp_path, (600, FORMER), (700, FORMER), (700, WINNER))
    assert Election().confirming(Candidate.prepare)(ha) is True
    assert ha.done == ["promoted"]


def test_a_candidate_waits_for_a_voter_that_still_receives(tmp_path):
    ha = Candidate(tmp_path, (600, FORMER))
    assert Election().confirming(Candidate.prepare)(ha) is False
    assert ha.done == ["woken"]


def test_a_candidate_without_an_answer_is_not_promoted(tmp_path):
    ha = Candidate(tmp_path)
    assert Election().confirming(Candidate.prepare)(ha) is False
    assert ha.done == ["woken"]


def test_a_candidate_leaves_the_key_to_a_voter_that_has_more(tmp_path):
    ha = Candidate(tmp_path, (701,))
    assert Election().confirming(Candidate.prepare)(ha) is False
    assert ha.done == ["released"]


def test_a_candidate_that_still_receives_may_catch_up(tmp_path):
    ha = Candidate(tmp_path, (701,))
    threading.Timer(0.1, lambda: setattr(ha.state_handler, "position", 701)).start()
    assert Election().confirming(Candidate.prepare)(ha) is True
    assert ha.done == ["promoted"]


def test_a_candidate_whose_position_is_final_does_not_wait(tmp_path, monkeypatch):
    monkeypatch.setattr("patroni_start.quorum.VOTE_PATIENCE", 3600)
    ha = Candidate(tmp_path, (701,))
    ha.state_handler.configured = ""
    assert Election().confirming(Candidate.prepare)(ha) is False
    assert ha.done == ["released"]


@pytest.mark.parametrize("position", [600, 701], ids=["confirmed", "not confirmed"])
def test_a_candidate_writes_sync_as_it_is_before_it_asks(tmp_path, position):
    ha = Candidate(tmp_path, (position,))
    Election().confirming(Candidate.prepare)(ha)
    assert ha.fences == 1


def test_a_candidate_whose_knowledge_of_sync_is_old_reads_it_again(tmp_path):
    """The former primary has changed it meanwhile: to its own name, for instance, which asks for its vote."""
    ha = Candidate(tmp_path, (600,))
    ha.revision = "8"
    assert Election().confirming(Candidate.prepare)(ha) is False
    assert (ha.done, ha.fences) == (["woken"], 0)


def test_a_candidate_writes_sync_although_it_needs_no_votes(tmp_path):
    """The former primary, in a cycle that outlasts its lease, would go on alone."""
    ha = Candidate(tmp_path)
    ha.cluster.sync.voters, ha.cluster.sync.quorum = ("db2",), 0
    ha.revision = "8"
    assert Election().confirming(Candidate.prepare)(ha) is False
    ha.revision = "7"
    assert Election().confirming(Candidate.prepare)(ha) is True


def test_a_candidate_that_stays_unconfirmed_gives_the_key_back(tmp_path, monkeypatch):
    """It is alone: no voter answers. In the race that follows, Patroni's own rules hold."""
    monkeypatch.setattr("patroni_start.quorum.VOTE_PATIENCE", 0)
    monkeypatch.setattr("patroni_start.quorum.HOLDING_SECONDS", 0)
    ha, election = Candidate(tmp_path), Election()
    confirm = election.confirming(Candidate.prepare)
    assert (confirm(ha), confirm(ha), confirm(ha)) == (False, False, False)
    assert ha.done == ["woken", "released", "woken"]
    election.joining(lambda _ha: None)(ha)
    assert confirm(ha) is False
    assert ha.done[-1] == "woken"


@pytest.mark.parametrize(("voters", "done"), [(("db2",), "promoted"), (("db3",), "released"), ((), "released")])
def test_a_synchronous_standby_looks_again_whether_it_is_one(tmp_path, voters, done):
    ha = Candidate(tmp_path)
    ha.is_quorum_commit_mode = ha.quorum_commit_mode_is_active = lambda: False
    ha.cluster.sync.voters = voters
    Election().confirming(Candidate.prepare)(ha)
    assert ha.done == [done]


def of_a_former_standby_cluster(ha):
    ha.state_handler.role = "standby_leader"
    ha.cluster.sync.voters = ("gone1", "gone2")


def of_another_mode(ha):
    ha.is_synchronous_mode = ha.is_quorum_commit_mode = ha.quorum_commit_mode_is_active = lambda: False


def of_a_new_cluster(ha):
    ha.quorum_commit_mode_is_active = lambda: False


def paused(ha):
    ha.is_paused = lambda: True


def of_two_members(ha):
    ha.cluster.sync.voters, ha.cluster.sync.quorum = ("db2",), 0


def its_own_successor(ha):
    ha.cluster.sync.leader, ha.cluster.sync.voters = "db2", ("db1", "db3")


@pytest.mark.parametrize(
    "change",
    [of_another_mode, of_a_new_cluster, of_a_former_standby_cluster, paused, of_two_members, its_own_successor],
)
def test_where_nobody_else_acknowledges_nobody_is_asked(tmp_path, change):
    ha = Candidate(tmp_path)
    change(ha)
    assert Election().confirming(Candidate.prepare)(ha) is True


def test_who_was_no_voter_needs_one_vote_more(tmp_path):
    ha = Candidate(tmp_path, (600,))
    ha.cluster.sync.voters = ("db3", "db4")
    assert Election().confirming(Candidate.prepare)(ha) is False


@pytest.mark.parametrize("answers", [(), ((701,),)], ids=["without a vote", "behind"])
def test_whom_an_operator_names_is_promoted_in_the_end(tmp_path, answers):
    ha, election = Candidate(tmp_path, *answers), Election()
    ha.cluster.failover = SimpleNamespace(leader=None, candidate="db2")
    election.joining(lambda _ha: None)(ha)
    ha.cluster.failover = None
    assert election.confirming(Candidate.prepare)(ha) is True


def named_another(ha):
    ha.cluster.failover = SimpleNamespace(leader="db1", candidate="db3")


def named(ha):
    ha.cluster.failover = SimpleNamespace(leader="db1", candidate="db2")


def not_allowed(ha):
    ha.patroni.nofailover = True


def not_allowed_and_paused(ha):
    not_allowed(ha)
    paused(ha)


def a_primary(ha):
    not_allowed(ha)
    ha.state_handler.is_primary = lambda: True


@pytest.mark.parametrize(
    ("change", "detached"),
    [
        (named_another, True),
        (not_allowed, True),
        (named, False),
        (lambda _ha: None, False),
        (not_allowed_and_paused, False),
        (a_primary, False),
    ],
)
def test_who_rests_before_it_follows_lets_go_first(tmp_path, change, detached):
    ha = Candidate(tmp_path)
    change(ha)
    assert Election().joining(lambda one: one.state_handler.configured)(ha) == ("" if detached else "10.0.0.1")
