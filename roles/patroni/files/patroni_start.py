# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts Patroni with the amendments of the table AMENDMENTS. Why, and what upstream could take: docs/failover.md.

All of them are applied, or none: each names what it changes, and all of that is looked up before anything is changed.

It repeats a request that etcd could not serve for the moment. Until 4.1.1 Patroni knows errors of etcd's HTTP gateway
only as the gateway's first version writes them. The second, which the etcd of Debian 13 has, writes them otherwise:
Patroni then takes "leader changed" in the answer to a keepalive for a refusal, and demotes a healthy primary at once.
So it does until 4.1.3 when an etcd that is about to lose its leadership answers with an error that has no code ("not a
primary lessor").

It promotes with quorum commit only when enough voters no longer receive WAL from the former primary and have no more
of it. Patroni asks voters how far they are while they go on receiving: what they acknowledge after their answer is lost
when the former primary's Patroni hangs and its PostgreSQL does not.

It begins a cluster that etcd does not know only with a permit: without data a new one, where the run found no member
with data, and with data the one that it has, where it is named. Otherwise, when etcd has lost its data, an empty
cluster refuses those that have the data, or whoever starts first leads, whatever the others have more.

It removes a data directory that pg_rewind could not repair only while replication is synchronous.

It begins its next cycle when the postmaster has died, not up to loop_wait later.

It hands over as soon as a standby has the last record of an orderly stop, not up to two seconds later, and once.

It tells PostgreSQL to promote until it does. One that is told while it looks for a primary that is gone rests
first, for what is left of wal_retrieve_retry_interval.

It sends what it has to say at once. Otherwise the kernel keeps the second half of each request to etcd, and of each
answer of the REST interface, until the other side has acknowledged the first, after 40 ms (Nagle's algorithm). Answers
are sent whole: HAProxy, which wants no more than the status, hangs up on the second half, and Patroni logs a traceback.

It does not take the leader key from a successor. Before 3.0.3 a leader whose lease is gone when it renews it writes the
key anew, whoever has it by then: one that was frozen comes back, and what its successor acknowledged is lost.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import logging
import os
import re
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

LOG = logging.getLogger(__name__)
UNAVAILABLE = 14  # gRPC's code for what is worth another try
WITHOUT_CODE = frozenset({"not a primary lessor"})
REAPED_SECONDS = 1.0  # a dead process counts as running until its parent has asked for its status
STOP_POLLING_SECONDS = 0.05
ASKED_AGAIN_LATER = 1.5  # the factor by which the time between two questions to the standbys grows
SHUT_DOWN = {1, 2}  # PostgreSQL's DBState: shut down, shut down in recovery
DB_STATE = struct.Struct("=QIIi")  # pg_control begins with two versions between the system's identifier and the state
TELLING_SECONDS, LAST_TOLD_SECONDS = 0.05, 60.0
STARTUP = re.compile(r"postgres: (?:[^:]*: )?startup(?: (?:recovering|waiting for) [0-9A-F]{24})?(?: waiting)?[\s\0]*")
CATCHING_UP_SECONDS = 1.0  # Patroni's own patience with standbys that lack the last record
WALRECEIVER = re.compile(r"postgres: (?:[^:]*: )?walreceiver(?:[\s\0].*)?", re.DOTALL)
DETACHING_SECONDS = 0.05  # after which a walreceiver that PostgreSQL itself did not end is told to
UNKNOWN_UPSTREAM = "?"
VOTE = "vote"
VOTE_POLLING_SECONDS, VOTE_TIMEOUT, VOTE_PATIENCE = 0.02, 1.0, 1.0
UPSTREAMS = """SELECT pg_catalog.current_setting('primary_conninfo'),
 (SELECT conninfo FROM pg_catalog.pg_stat_get_wal_receiver())"""
POSITION = """SELECT GREATEST(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(), '0/0'),
 pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_replay_lsn(), '0/0'))::bigint"""
PERMIT = "holdfast_permit"  # a key below the cluster's prefix, as patroni_config writes it
NOT_PERMITTED = (
    "waiting for site.yml to permit a new cluster: etcd knows none, and another member could have data "
    "(etcd_lost.yml lets a cluster go on with its own)"
)
NOT_NAMED = (
    "waiting for etcd_lost.yml to name the member that goes on with its data: etcd knows no cluster, and another "
    "could have more of it"
)
NEW_CLUSTER = ""  # a permit's value; otherwise it is a member's name
EMPTY = "empty"
REWIND_FAILURE = "remove_data_directory_on_rewind_failure"


def as_patroni_knows(data: Any) -> Any:
    """Return etcd's answer to a failed request in the form of the gateway's first version.

    Args:
        data: the decoded JSON, such as {"error": {"code": 14, "message": "etcdserver: leader changed"}} of a stream or
            {"code": 14, "message": "etcdserver: leader changed"}; anything else is returned as it is.
    """
    if not isinstance(data, Mapping):
        return data
    error = data.get("error")
    if isinstance(error, Mapping):
        code = _code(error.get("grpc_code", error.get("code")), error)
        return {**data, "error": {**error, "code": code, "grpc_code": code}}
    if "code" in data and "message" in data:
        return {**data, "error": error or data["message"], "code": _code(data["code"], data)}
    return data


def _code(code: Any, error: Mapping[str, Any]) -> Any:
    return UNAVAILABLE if error.get("message") in WITHOUT_CODE else code


def tolerant(handle: Callable[..., Any]) -> Callable[..., Any]:
    """Return Patroni's handler of etcd's errors, which is given each as it knows it."""

    def handle_known(data: Any, *args: Any, **kwargs: Any) -> Any:
        return handle(as_patroni_knows(data), *args, **kwargs)

    return handle_known


def attentive(watch: Callable[..., Any]) -> Callable[..., Any]:
    """Return Patroni's wait for its next cycle (Ha.watch), which also ends when the postmaster does."""
    guarded: set[int] = set()

    def guard(pid: int, ha: Any) -> None:
        try:
            wait_for_end(pid)
        except OSError:
            LOG.exception("Nobody waits for the postmaster's end")
            return
        if not is_expected(ha):
            ha.wakeup()
        guarded.discard(pid)

    def watch_attentively(ha: Any, timeout: float) -> Any:
        try:
            pid = postmaster_of(Path(ha.state_handler.data_dir))
            if runs(pid) and pid not in guarded:
                guarded.add(pid)
                threading.Thread(target=guard, args=(pid, ha), daemon=True).start()
        except Exception:  # beyond this wait Patroni would take it for its own end
            LOG.exception("Nobody waits for the postmaster's end")
        return watch(ha, timeout)

    return watch_attentively


def is_expected(ha: Any) -> bool:
    """Whether somebody else sees to the postmaster: an operator in a pause, or what Patroni is doing, say a switchover.

    That would have to wait until a cycle that is of no use lets it go on.
    """
    return ha.is_paused() or ha._async_executor.busy


def postmaster_of(data_directory: Path) -> int:
    """Return the process id in a data directory's postmaster.pid, 0 without one."""
    try:
        return int((data_directory / "postmaster.pid").read_text(encoding="ascii").split("\n")[0])
    except (OSError, ValueError):
        return 0


def runs(pid: int) -> bool:
    """Whether there is such a process."""
    return pid > 0 and Path(f"/proc/{pid}").exists()


def wait_for_end(pid: int, seconds: float | None = None) -> bool:
    """Wait until a process has ended and was reaped, for so many seconds at most; return whether it has.

    Raises OSError where processes can't be waited for.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        if not ended.poll(None if seconds is None else seconds * 1000):
            return False
    finally:
        os.close(descriptor)
    deadline = time.monotonic() + REAPED_SECONDS
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return True


class Clock:
    """The module ``time``, as Patroni has it, in which a thread may sleep otherwise."""

    def __init__(self) -> None:
        self._thread = threading.local()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        """Sleep, as this thread does at the moment."""
        getattr(self._thread, "sleep", time.sleep)(seconds)

    @contextlib.contextmanager
    def sleeping(self, sleep: Callable[[float], Any]) -> Iterator[None]:
        """Let this thread do something else instead of sleeping."""
        former = getattr(self._thread, "sleep", time.sleep)
        self._thread.sleep = sleep
        try:
            yield
        finally:
            self._thread.sleep = former


class Handover:
    """Whether this thread has given the leader key away since it began to try."""

    def __init__(self) -> None:
        self._thread = threading.local()

    @property
    def done(self) -> bool:
        """Whether it has."""
        return getattr(self._thread, "done", False)

    def begin(self) -> None:
        """Begin to try."""
        self._thread.done = False

    def noting(self, delete_leader: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's removal of the leader key (AbstractDCS.delete_leader), of which note is taken."""

        def delete_and_note(dcs: Any, *args: Any, **kwargs: Any) -> Any:
            deleted = delete_leader(dcs, *args, **kwargs)
            self._thread.done = self.done or bool(deleted)
            return deleted

        return delete_and_note


def prompt(stop: Callable[..., Any], clock: Clock, handover: Handover) -> Callable[..., Any]:
    """Return Patroni's stop of PostgreSQL (Postgresql.stop) that calls on_shutdown at once, and until the key is gone.

    Patroni looks once a second whether the last record is written, and calls that when it is but the postmaster still
    archives. It waits for a second in it, and then gives the leader key away if a standby has the record; most have it
    after some milliseconds. Patroni 3.0, which passes one location, doesn't wait.
    """

    def stop_promptly(postgresql: Any, *args: Any, on_shutdown: Callable[..., Any] | None = None, **kwargs: Any) -> Any:
        data_directory = Path(postgresql.data_dir)

        def shut_down(*locations: Any) -> None:
            if on_shutdown is None:
                return
            handover.begin()
            deadline, pause = time.monotonic() + CATCHING_UP_SECONDS, STOP_POLLING_SECONDS
            with clock.sleeping(lambda _seconds: None):
                on_shutdown(*locations)
                while len(locations) > 1 and not handover.done and time.monotonic() < deadline:
                    if has_ended(data_directory, pause):
                        return
                    pause *= ASKED_AGAIN_LATER
                    on_shutdown(*locations)

        with clock.sleeping(lambda seconds: wait_for_shutdown(data_directory, seconds)):
            return stop(postgresql, *args, on_shutdown=shut_down if on_shutdown else None, **kwargs)

    return stop_promptly


def briefly(wait: Callable[..., Any], clock: Clock) -> Callable[..., Any]:
    """Return Patroni's wait for its connection's end (Postgresql._wait_for_connection_close), looking more often."""

    def wait_briefly(*args: Any, **kwargs: Any) -> Any:
        with clock.sleeping(lambda _seconds: time.sleep(STOP_POLLING_SECONDS)):
            return wait(*args, **kwargs)

    return wait_briefly


def wait_for_shutdown(data_directory: Path, seconds: float) -> None:
    """Wait until PostgreSQL has shut down, for so many seconds at most.

    It is Patroni's pause between two looks. Patroni counts each as a whole second of primary_stop_timeout, so that only
    the last may be shorter.
    """
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if has_ended(data_directory, min(STOP_POLLING_SECONDS, left)) or is_shut_down(data_directory):
            return


def is_shut_down(data_directory: Path) -> bool:
    """Whether PostgreSQL has written its last record."""
    try:
        with (data_directory / "global" / "pg_control").open("rb") as control:
            return DB_STATE.unpack(control.read(DB_STATE.size))[-1] in SHUT_DOWN
    except (OSError, struct.error):
        return False


def has_ended(data_directory: Path, seconds: float) -> bool:
    """Wait for the end of a postmaster, for so many seconds at most; return whether it came."""
    pid = postmaster_of(data_directory)
    try:
        return not runs(pid) or wait_for_end(pid, seconds)
    except OSError:
        time.sleep(seconds)
        return False


def insistent(wait_promote: Callable[..., Any]) -> Callable[..., Any]:
    """Return Patroni's wait for a promotion (Postgresql._wait_promote), during which PostgreSQL is told again."""

    def wait_insistently(postgresql: Any, seconds: float) -> Any:
        try:
            threading.Thread(target=tell_to_promote, args=(Path(postgresql.data_dir),), daemon=True).start()
        except Exception:  # the promotion goes on without it
            LOG.exception("PostgreSQL is told to promote only once")
        return wait_promote(postgresql, seconds)

    return wait_insistently


def tell_to_promote(data_directory: Path, seconds: float = LAST_TOLD_SECONDS) -> None:
    """Send PostgreSQL's startup process the signal for a promotion until it has ended, for so long at most."""
    try:
        descriptor = os.pidfd_open(startup_process_of(postmaster_of(data_directory)))
    except (OSError, ValueError):  # it is already over, or processes can't be waited for
        return
    ended = select.poll()
    ended.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline and not ended.poll(TELLING_SECONDS * 1000):
            signal.pidfd_send_signal(descriptor, signal.SIGUSR2)
    except OSError:
        LOG.debug("PostgreSQL is not told to promote any more", exc_info=True)
    finally:
        os.close(descriptor)


def startup_process_of(postmaster: int) -> int:
    """Return the process id of a postmaster's startup process, which replays WAL; 0 without one."""
    return next(children_of(postmaster, STARTUP), 0)


def children_of(postmaster: int, title: re.Pattern[str]) -> Iterator[int]:
    """Yield the process ids of a postmaster's children with such a title."""
    try:
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text(encoding="ascii").split()
    except OSError:
        return
    yield from (int(child) for child in children if title.fullmatch(title_of(child)))


def title_of(process: str) -> str:
    """Return what a process calls itself, "" when it is gone."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def undelayed(set_options: Callable[..., Any]) -> Callable[..., Any]:
    """Return Patroni's setting of a connection's options (Etcd3.set_socket_options) with TCP_NODELAY besides."""

    def set_options_and_no_delay(etcd: Any, sock: socket.socket, *args: Any) -> Any:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return set_options(etcd, sock, *args)

    return set_options_and_no_delay


def considerate(
    put: Callable[..., Any], update_leader: Callable[..., Any], encode: Callable[[str], str]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return Patroni's Etcd3Client.put and Etcd3._update_leader, which leave the leader key to whoever else has it.

    Args:
        encode: text as etcd's gateway takes it, in base 64.
    """
    thread = threading.local()

    def put_unless_taken(client: Any, key: str, value: str, *args: Any, **kwargs: Any) -> Any:
        lease = args[0] if args else kwargs.get("lease")
        is_compared = len(args) > 1 or "create_revision" in kwargs or "mod_revision" in kwargs
        if is_compared or not lease or not key.endswith("/leader"):
            return put(client, key, value, *args, **kwargs)
        retry = kwargs.get("retry")
        fields = {"key": encode(key), "value": encode(value), "lease": lease}
        is_own = {"key": fields["key"], "target": "VALUE", "value": fields["value"]}
        written = client.txn(is_own, {"request_put": fields}, retry)
        thread.taken = not (written or put(client, key, value, lease, create_revision=0, retry=retry))
        return not thread.taken

    def update_unless_taken(etcd: Any, *args: Any) -> bool:
        thread.taken = False
        return bool(update_leader(etcd, *args)) and not thread.taken

    return put_unless_taken, update_unless_taken


def upstream_of(conninfo: str) -> str:
    """Return host:port of a connection string as Patroni or a walreceiver writes it, "" without a host."""
    host, port = (re.search(rf"(?:^|\s){name}='?([^\s']+)", conninfo) for name in ("host", "port"))
    return f"{host[1]}:{port[1] if port else 5432}" if host else ""


def upstreams(query: Callable[..., Any], data_directory: Path) -> list[str]:
    """Return from whom (host:port) a standby receives WAL, or may the next moment; UNKNOWN_UPSTREAM: can't be told.

    A walreceiver that still connects is a process, but not in PostgreSQL's view.
    """
    running = any(children_of(postmaster_of(data_directory), WALRECEIVER))
    configured, streaming = query(UPSTREAMS)[0]
    found = {upstream_of(configured or "")}
    if running or streaming:
        found.add(upstream_of(streaming or "") or UNKNOWN_UPSTREAM)
    return sorted(found - {""})


def detaching(follow: Callable[..., Any]) -> Callable[..., Any]:
    """Return Patroni's change of the upstream (Postgresql.follow), after which WAL of the former one comes no more.

    PostgreSQL ends the walreceiver itself when it waits for WAL. While it replays what it has, or a query keeps it from
    that (max_standby_streaming_delay, a paused replay), the walreceiver goes on acknowledging.
    """

    def follow_and_detach(postgresql: Any, member: Any, *args: Any, do_reload: bool = False, **kwargs: Any) -> Any:
        data_directory = Path(postgresql.data_dir)
        receiving = list(children_of(postmaster_of(data_directory), WALRECEIVER)) if do_reload else []
        former = former_upstreams(postgresql, data_directory) if receiving else []
        done = follow(postgresql, member, *args, do_reload=do_reload, **kwargs)
        if former != [address_of(member)]:
            for pid in receiving:
                end_process(pid)
        return done

    return follow_and_detach


def former_upstreams(postgresql: Any, data_directory: Path) -> list[str]:
    """Return a standby's upstreams before a change of them."""
    try:
        return upstreams(postgresql.query, data_directory)
    except Exception:  # what is unknown has to be ended
        LOG.warning("The walreceiver's upstream can't be told", exc_info=True)
        return [UNKNOWN_UPSTREAM]


def address_of(member: Any) -> str:
    """Return a member's PostgreSQL as host:port, "" without one."""
    connection = member.conn_kwargs() if member else {}
    return f"{connection['host']}:{connection.get('port') or 5432}" if connection.get("host") else ""


def end_process(pid: int) -> None:
    """Have a process ended: it is asked to when it hasn't by itself after a moment."""
    try:
        if wait_for_end(pid, DETACHING_SECONDS):
            return
        descriptor = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        finally:
            os.close(descriptor)
        LOG.info("The walreceiver %s was told to end: PostgreSQL did not come to it", pid)
    except ProcessLookupError:
        return
    except OSError:
        LOG.exception("The walreceiver %s could not be told to end", pid)


@dataclass(frozen=True)
class Answer:
    """A voter's: bytes of WAL that it has, and from whom (host:port) it may get more; None: its Patroni doesn't say."""

    position: int
    upstreams: frozenset[str] | None

    def is_bound(self, candidate: str) -> bool:
        """Whether it receives WAL from nobody else than the candidate, so that it acknowledges nothing to others."""
        return self.position > 0 and (self.upstreams is None or self.upstreams <= {candidate})


class Verdict(Enum):
    """What the voters' answers mean for a candidate: a bound voter may have more WAL than it (BEHIND)."""

    PROMOTE = auto()
    BEHIND = auto()
    WAIT = auto()


def judge(answers: Iterable[Answer], candidate: str, position: int, needed: int) -> Verdict:
    """Return whether a candidate has everything that was acknowledged and that nothing more will be.

    Args:
        answers: the latest of each voter.
        candidate: host:port of the candidate.
        position: bytes of WAL that it has, found out after the answers.
        needed: voters without which no commit was acknowledged, in the worst case.
    """
    bound = [answer.position for answer in answers if answer.is_bound(candidate)]
    if sum(voter <= position for voter in bound) >= needed:
        return Verdict.PROMOTE
    return Verdict.BEHIND if any(voter > position for voter in bound) else Verdict.WAIT


def parse_answer(status: Mapping[str, Any]) -> Answer:
    """Return the answer in what a member says of its PostgreSQL: a primary, or one that is down, has no position."""
    wal = status.get("wal") or status.get("xlog") or {}
    named = status.get("upstreams")
    position = max(wal.get("received_location") or 0, wal.get("replayed_location") or 0)
    return Answer(position, None if named is None else frozenset(named))


def voting(handler: Any) -> None:
    """Answer GET /vote: the status, and the upstreams as they were before it was asked for its position."""
    postgresql = handler.server.patroni.postgresql
    try:
        named = upstreams(handler.query, Path(postgresql.data_dir))
    except Exception:
        LOG.warning("Voters' upstreams can't be told", exc_info=True)
        named = [UNKNOWN_UPSTREAM]
    handler._write_status_response(200, {**handler.get_postgresql_status(True), "upstreams": named})


class Election:
    """A quorum's election of a new primary, as one member takes part in it."""

    def __init__(self) -> None:
        self._named = False

    def joining(self, process: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's cycle without a leader (Ha.process_unhealthy_cluster), in which who rests detaches first.

        Who may not win lets two seconds pass before it looks for the winner, who waits for its vote.
        """

        def process_detached(ha: Any) -> Any:
            failover = ha.cluster.failover
            self._named = bool(failover) and failover.candidate == ha.state_handler.name
            rests = ha.patroni.nofailover or (failover and not self._named)
            if rests and takes_part(ha) and not ha.state_handler.is_primary():
                detach(ha.state_handler)
            return process(ha)

        return process_detached

    def confirming(self, prepare: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's last step before a promotion (Ha.process_sync_replication_prepromote), confirmed by votes.

        It comes after the leader key was taken: only now the voters' answers can't be out of date, for none of them
        follows anybody else any more. A member that an operator names is promoted in the end, as Patroni does.
        """

        def prepare_when_confirmed(ha: Any) -> Any:
            verdict = self._verdict(ha)
            if verdict is Verdict.PROMOTE or self._named:
                if verdict is not Verdict.PROMOTE:
                    LOG.warning("Promoted as it was named, though the voters did not confirm that it has every commit")
                return prepare(ha)
            if verdict is Verdict.BEHIND:
                LOG.warning("A voter has WAL that this member lacks: it leaves the leader key to others")
                ha.release_leader_key_voluntarily()
            else:
                LOG.warning("Not promoted yet: too few voters confirm that they receive no WAL from the former primary")
                ha.wakeup()
            return False

        return prepare_when_confirmed

    def _verdict(self, ha: Any) -> Verdict:
        sync, name = ha.cluster.sync, ha.state_handler.name
        needed = sync.quorum + (not sync.matches(name, True)) if takes_part(ha) else 0
        if needed < 1 or sync.leader_matches(name):
            return Verdict.PROMOTE
        voters = [
            one for one in ha.cluster.members if one.name != name and sync.matches(one.name, True) and one.api_url
        ]
        candidate = address_of(ha.cluster.get_member(name, fallback_to_leader=False))
        return poll(ha, voters, candidate, needed)


def takes_part(ha: Any) -> bool:
    """Whether a member votes: with quorum commit, while no operator has paused the cluster."""
    return ha.quorum_commit_mode_is_active() and not ha.is_paused() and not ha.is_standby_cluster()


def detach(postgresql: Any) -> None:
    """Have a standby receive WAL from nobody."""
    change, restart = postgresql.config.check_recovery_conf(None)
    if change and not restart:
        postgresql.follow(None, do_reload=True)


def poll(ha: Any, voters: Iterable[Any], candidate: str, needed: int) -> Verdict:
    """Ask voters, for so long at most, until enough confirm the candidate; return what they say in the end."""
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
    """Note a voter's latest answer until it is bound to the candidate, or time is up."""
    while time.monotonic() < deadline:
        try:
            response = ha.patroni.request(voter, endpoint=VOTE, timeout=VOTE_TIMEOUT, retries=0)
            answers[voter.name] = parse_answer(json.loads(response.data))
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no vote
            LOG.warning("%s gives no vote: %s", voter.name, error)
        else:
            if answers[voter.name].is_bound(candidate):
                return
        time.sleep(VOTE_POLLING_SECONDS)


class Removal:
    """Whether a data directory that pg_rewind failed on may be removed: while replication is synchronous.

    What only a former primary has was promised to nobody then. Patroni's setting stays as it was when an operator ends
    synchronous replication.
    """

    def __init__(self) -> None:
        self._synchronous = False

    def noting(self, handle: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's step before a rewind (Ha._handle_rewind_or_reinitialize), which notes the mode."""

        def note_and_handle(ha: Any) -> Any:
            self._synchronous = bool(ha.is_synchronous_mode())
            return handle(ha)

        return note_and_handle

    def limiting(self, get: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's look at its local settings (ConfigHandler.get), which says no when it has to."""

        def get_limited(config: Any, key: str, *args: Any) -> Any:
            value = get(config, key, *args)
            return value if key != REWIND_FAILURE or self._synchronous else False

        return get_limited


class Founding:
    """What is permitted where etcd knows no cluster, as etcd said when Patroni last read the cluster from it.

    The permit lies where the cluster's own keys lie: whatever loses these loses it too. It ends by itself.
    """

    def __init__(self) -> None:
        self._permit: str | None = None

    def noting(self, read: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's reading of etcd's keys (Etcd3._cluster_from_nodes), which notes the permit."""

        def note_and_read(etcd: Any, nodes: Mapping[str, Any]) -> Any:
            permit = nodes.get(PERMIT)
            self._permit = None if permit is None else permit.get("value") or NEW_CLUSTER
            return read(etcd, nodes)

        return note_and_read

    def limiting(self, bootstrap: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's way from an empty data directory (Ha.bootstrap), which waits for the permit."""

        def bootstrap_when_permitted(ha: Any) -> Any:
            if is_unknown(ha.cluster) and self._permit != NEW_CLUSTER:
                return NOT_PERMITTED
            return bootstrap(ha)

        return bootstrap_when_permitted

    def holding(self, handle: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's step before it looks at the data directory (Ha.handle_starting_instance).

        It ends the cycle of a member with data that is not named. A primary that runs needs no permit: it has whatever
        it acknowledges.
        """

        def handle_and_hold(ha: Any) -> Any:
            message = handle(ha)
            if message is not None or not is_unknown(ha.cluster) or self._permit == ha.state_handler.name:
                return message
            return NOT_NAMED if has_data_at_rest(ha) else None

        return handle_and_hold


def is_unknown(cluster: Any) -> bool:
    """Whether etcd has neither the leader nor the identifier of a cluster."""
    return cluster.is_unlocked() and cluster.initialize is None


def has_data_at_rest(ha: Any) -> bool:
    """Whether a member has data that no primary serves, nobody creates, and no operator's pause protects."""
    postgresql = ha.state_handler
    if ha.is_paused() or postgresql.bootstrapping:
        return False
    try:
        return not postgresql.data_directory_empty() and not runs_as_primary(postgresql)
    except OSError:  # Patroni says that it can't be read
        return False


def runs_as_primary(postgresql: Any) -> bool:
    """Whether PostgreSQL is a running primary; Patroni 3 asks for it by another name."""
    is_primary = getattr(postgresql, "is_primary", None) or postgresql.is_leader
    return bool(postgresql.is_running() and is_primary())


def telling_of_emptiness(status: Callable[..., Any]) -> Callable[..., Any]:
    """Return what the REST interface says (get_postgresql_status), with the word of a member that has no data."""

    def tell(handler: Any, *args: Any, **kwargs: Any) -> Any:
        said = status(handler, *args, **kwargs)
        if (said.get("state"), said.get("role")) == ("stopped", "uninitialized"):
            said[EMPTY] = is_empty(handler.server.patroni.postgresql)
        return said

    return tell


def is_empty(postgresql: Any) -> bool:
    """Whether there is no data; where the directory can't be read there may be."""
    try:
        return bool(postgresql.data_directory_empty())
    except OSError:
        return False


Replacements = Mapping[str, Any]


@dataclass(frozen=True)
class Amendment:
    """What is changed in Patroni, under a name that is logged.

    targets are what it changes or calls, as "module:attribute.attribute"; with "(a, b)" the function must take such
    parameters. replace is given what they stand for, and returns what to set, by the same words. It concerns versions
    from since on and before before.
    """

    name: str
    targets: tuple[str, ...]
    replace: Callable[..., Replacements]
    since: tuple[int, ...] = (0,)
    before: tuple[int, ...] = (9999,)

    def concerns(self, version: str) -> bool:
        """Whether it is meant for a version of Patroni."""
        return not is_before(version, self.since) and is_before(version, self.before)


class AmendmentError(Exception):
    """An amendment's target isn't there, or takes other parameters."""


def is_before(version: str, wanted: tuple[int, ...]) -> bool:
    """Whether a version such as 3.0.2 is an earlier one."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[: len(wanted)]) < wanted


def owner_of(target: str) -> tuple[Any, str]:
    """Return the object that a target is an attribute of, and the attribute's name."""
    module, _colon, path = target.partition("(")[0].partition(":")
    *way, name = path.split(".")
    owner = importlib.import_module(module)
    for step in way:
        owner = getattr(owner, step)
    return owner, name


def look_up(target: str) -> Any:
    """Return what a target stands for; raise AttributeError, ImportError or AmendmentError."""
    found = getattr(*owner_of(target))
    wanted = re.findall(r"\w+", target.partition("(")[2])
    missing = [name for name in wanted if name not in inspect.signature(found).parameters]
    if missing:
        raise AmendmentError(f"takes no {', '.join(missing)}")
    return found


def prepare(amendment: Amendment) -> dict[str, Any]:
    """Return what an amendment sets, by target; raise AmendmentError."""
    found = []
    for target in amendment.targets:
        try:
            found.append(look_up(target))
        except (AttributeError, ImportError, AmendmentError) as error:
            raise AmendmentError(f"{amendment.name}: {target}: {error}") from error
    return dict(amendment.replace(*found))


def leaving_the_key(put: Any, update_leader: Any, encode: Any) -> Replacements:
    """Return the replacements of considerate()."""
    put, update_leader = considerate(put, update_leader, encode)
    return {"patroni.dcs.etcd3:Etcd3Client.put": put, "patroni.dcs.etcd3:Etcd3._update_leader": update_leader}


def stopping(stop: Any, wait: Any, delete_leader: Any, *_modules: Any) -> Replacements:
    """Return the replacements of prompt()."""
    clock, handover = Clock(), Handover()
    return {
        "patroni.postgresql:Postgresql.stop": prompt(stop, clock, handover),
        "patroni.postgresql:Postgresql._wait_for_connection_close": briefly(wait, clock),
        "patroni.dcs:AbstractDCS.delete_leader": handover.noting(delete_leader),
        "patroni.postgresql:time": clock,
        "patroni.ha:time": clock,
    }


def electing(process: Any, prepare_promotion: Any, follow: Any, *_used: Any) -> Replacements:
    """Return the replacements that confirm a candidate of a quorum."""
    election = Election()
    return {
        "patroni.ha:Ha.process_unhealthy_cluster": election.joining(process),
        "patroni.ha:Ha.process_sync_replication_prepromote": election.confirming(prepare_promotion),
        "patroni.postgresql:Postgresql.follow": detaching(follow),
        f"patroni.api:RestApiHandler.do_GET_{VOTE}": voting,
    }


def founding(bootstrap: Any, handle: Any, read: Any, status: Any, *_used: Any) -> Replacements:
    """Return the replacements that keep a member from beginning a cluster beside those that have its data."""
    permit = Founding()
    return {
        "patroni.ha:Ha.bootstrap": permit.limiting(bootstrap),
        "patroni.ha:Ha.handle_starting_instance": permit.holding(handle),
        "patroni.dcs.etcd3:Etcd3._cluster_from_nodes": permit.noting(read),
        "patroni.api:RestApiHandler.get_postgresql_status": telling_of_emptiness(status),
    }


def removing(handle: Any, get: Any, _mode: Any) -> Replacements:
    """Return the replacements of Removal."""
    removal = Removal()
    return {
        "patroni.ha:Ha._handle_rewind_or_reinitialize": removal.noting(handle),
        "patroni.postgresql.config:ConfigHandler.get": removal.limiting(get),
    }


AMENDMENTS = (
    Amendment(
        "a leader that comes back leaves the key to its successor",
        (
            "patroni.dcs.etcd3:Etcd3Client.put",
            "patroni.dcs.etcd3:Etcd3._update_leader",
            "patroni.dcs.etcd3:base64_encode",
        ),
        leaving_the_key,
        before=(3, 0, 3),
    ),
    Amendment(
        "a quorum confirms its candidate",
        (
            "patroni.ha:Ha.process_unhealthy_cluster",
            "patroni.ha:Ha.process_sync_replication_prepromote",
            "patroni.postgresql:Postgresql.follow(member, do_reload)",
            "patroni.ha:Ha.quorum_commit_mode_is_active",
            "patroni.ha:Ha.release_leader_key_voluntarily",
            "patroni.postgresql.config:ConfigHandler.check_recovery_conf(member)",
            "patroni.api:RestApiHandler.get_postgresql_status(retry)",
            "patroni.api:RestApiHandler._write_status_response",
            "patroni.dcs:SyncState.matches(check_leader)",
            "patroni.dcs:SyncState.leader_matches",
        ),
        electing,
        since=(4, 0),
    ),
    Amendment(
        "a cluster that etcd does not know wants a permit",
        (
            "patroni.ha:Ha.bootstrap",
            "patroni.ha:Ha.handle_starting_instance",
            "patroni.dcs.etcd3:Etcd3._cluster_from_nodes(nodes)",
            "patroni.api:RestApiHandler.get_postgresql_status(retry)",
            "patroni.dcs:Cluster.is_unlocked",
            "patroni.ha:Ha.is_paused",
            "patroni.postgresql:Postgresql.data_directory_empty",
            "patroni.postgresql:Postgresql.is_running",
        ),
        founding,
    ),
    Amendment(
        "no data directory is removed without synchronous replication",
        (
            "patroni.ha:Ha._handle_rewind_or_reinitialize",
            "patroni.postgresql.config:ConfigHandler.get",
            "patroni.ha:Ha.is_synchronous_mode",
        ),
        removing,
    ),
    Amendment(
        "passing errors of etcd are tried again",
        ("patroni.dcs.etcd3:_raise_for_data",),
        lambda handle: {"patroni.dcs.etcd3:_raise_for_data": tolerant(handle)},
    ),
    Amendment(
        "a dead postmaster begins the next cycle",
        ("patroni.ha:Ha.watch", "patroni.ha:Ha.wakeup"),
        lambda watch, _wakeup: {"patroni.ha:Ha.watch": attentive(watch)},
    ),
    Amendment(
        "a stop hands over at once",
        (
            "patroni.postgresql:Postgresql.stop(on_shutdown)",
            "patroni.postgresql:Postgresql._wait_for_connection_close",
            "patroni.dcs:AbstractDCS.delete_leader",
            "patroni.postgresql:time",
            "patroni.ha:time",
        ),
        stopping,
    ),
    Amendment(
        "a promotion is told until it happens",
        ("patroni.postgresql:Postgresql._wait_promote",),
        lambda wait: {"patroni.postgresql:Postgresql._wait_promote": insistent(wait)},
    ),
    Amendment(
        "nothing waits for an acknowledgement of the kernel",
        (
            "patroni.dcs.etcd3:Etcd3.set_socket_options",
            "patroni.api:RestApiHandler.disable_nagle_algorithm",
            "patroni.api:RestApiHandler.wbufsize",
        ),
        lambda set_options, _nagle, _size: {
            "patroni.dcs.etcd3:Etcd3.set_socket_options": undelayed(set_options),
            "patroni.api:RestApiHandler.disable_nagle_algorithm": True,
            "patroni.api:RestApiHandler.wbufsize": -1,
        },
    ),
)


def amend(amendments: Iterable[Amendment] = AMENDMENTS) -> bool:
    """Apply those of the amendments that concern the installed Patroni, all or none of them; say which.

    Without them Patroni starts as it is: a database without an amendment is better than none.
    """
    try:
        importlib.import_module("patroni.api")  # Patroni's modules import each other, and this is where it begins
        version = importlib.import_module("patroni.version").__version__
        concerned = [amendment for amendment in amendments if amendment.concerns(version)]
        prepared = [(amendment, prepare(amendment)) for amendment in concerned]
        places = [(owner_of(target), value) for _one, values in prepared for target, value in values.items()]
    except Exception:
        LOG.exception("Patroni starts without any of Holdfast's amendments")
        return False
    for (owner, name), value in places:
        setattr(owner, name, value)
    for amendment, _values in prepared:
        print(f"Patroni {version}, amended: {amendment.name}", flush=True)
    return True


if __name__ == "__main__":
    amend()
    from patroni.__main__ import main

    main()
