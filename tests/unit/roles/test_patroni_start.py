# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is amended in Patroni: what it is given of etcd's errors, and when its next cycle begins."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from patroni_start import (
    Clock,
    Handover,
    as_patroni_knows,
    attentive,
    briefly,
    considerate,
    insistent,
    is_before,
    is_shut_down,
    postmaster_of,
    prompt,
    runs,
    startup_process_of,
    tell_to_promote,
    tolerant,
    undelayed,
    wait_for_end,
    wait_for_shutdown,
)

GONE = 2**22 + 1  # above the greatest process id that Linux allows


def stream(code, message):
    return {"error": {"code": code, "message": message}}


@pytest.mark.parametrize("data", [b"no JSON", None, {"header": {}}, {"code": 14}, {"error": "text", "code": 3}])
def test_anything_else_stays_as_it_is(data):
    assert as_patroni_knows(data) == data


def test_the_first_version_of_the_gateway_is_known():
    error = {"grpc_code": 14, "http_code": 503, "message": "etcdserver: leader changed"}
    assert as_patroni_knows({"error": error}) == {"error": {**error, "code": 14}}


def test_an_error_in_a_stream_has_its_code():
    assert as_patroni_knows(stream(14, "etcdserver: leader changed"))["error"]["grpc_code"] == 14


def test_a_refusal_stays_a_refusal():
    assert as_patroni_knows(stream(7, "etcdserver: permission denied"))["error"]["grpc_code"] == 7
    assert as_patroni_knows(stream(2, "something else"))["error"]["grpc_code"] == 2


def test_a_leader_that_is_about_to_lose_its_leadership_is_asked_again():
    assert as_patroni_knows(stream(2, "not a primary lessor"))["error"]["grpc_code"] == 14
    assert as_patroni_knows({"code": 2, "message": "not a primary lessor", "details": []})["code"] == 14


def test_an_error_outside_a_stream_has_its_words():
    data = {"code": 3, "message": "etcdserver: revision of auth store is old", "details": []}
    known = as_patroni_knows(data)
    assert (known["code"], known["error"]) == (3, "etcdserver: revision of auth store is old")


def test_patroni_s_handler_is_given_the_rest_unchanged():
    def handle(data, status_code=None):
        return data["error"]["grpc_code"], status_code

    assert tolerant(handle)(stream(14, "etcdserver: no leader"), 503) == (14, 503)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for a postmaster; another thread reaps it, as init does."""
    started = subprocess.Popen(["sleep", "60"])
    reaper = threading.Thread(target=started.wait)
    reaper.start()
    yield started
    started.kill()
    reaper.join()


class Cycle:
    """Patroni's Ha as far as it matters here."""

    def __init__(self, data_directory):
        self.state_handler = SimpleNamespace(data_dir=str(data_directory))
        self.woken = threading.Event()
        self.wakeup = self.woken.set
        self.is_paused = lambda: False
        self._async_executor = SimpleNamespace(busy=False)


def wait(cycle, timeout):
    return cycle.woken.wait(timeout)


def test_the_cycle_begins_when_the_postmaster_dies(tmp_path, process):
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n{tmp_path}\n")
    cycle, watch = Cycle(tmp_path), attentive(wait)
    assert not watch(cycle, 0.05)
    process.kill()
    assert watch(cycle, 30)
    assert not Path(f"/proc/{process.pid}").exists()


@pytest.mark.parametrize("content", [None, "", f"{GONE}\n"], ids=["no file", "empty", "of a dead process"])
def test_without_a_postmaster_the_wait_is_patroni_s_own(tmp_path, content):
    if content is not None:
        (tmp_path / "postmaster.pid").write_text(content)
    assert not attentive(wait)(Cycle(tmp_path), 0.05)


def test_a_postmaster_is_guarded_once(tmp_path, process, monkeypatch):
    opened = []

    def refuse(pid):
        opened.append(pid)
        raise PermissionError

    monkeypatch.setattr("os.pidfd_open", refuse)
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n")
    cycle, watch = Cycle(tmp_path), attentive(wait)
    for _cycle in range(3):
        watch(cycle, 0.05)
    assert opened == [process.pid]


def test_where_processes_can_t_be_waited_for_the_wait_is_patroni_s_own(tmp_path, process, monkeypatch):
    def refuse(_pid):
        raise PermissionError

    monkeypatch.setattr("os.pidfd_open", refuse)
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n")
    cycle, watch = Cycle(tmp_path), attentive(wait)
    assert not any(watch(cycle, 0.05) for _cycle in range(3))


def test_where_no_thread_can_be_had_the_wait_is_patroni_s_own(tmp_path, process, monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n")
    assert not attentive(wait)(Cycle(tmp_path), 0.05)


def test_in_a_pause_nobody_is_woken(tmp_path, process):
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n")
    cycle, watch = Cycle(tmp_path), attentive(wait)
    cycle.is_paused = lambda: True
    watch(cycle, 0.05)
    process.kill()
    assert not watch(cycle, 0.3)


def test_who_stops_the_postmaster_is_not_held_up_by_a_cycle(tmp_path, process):
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n")
    cycle, watch = Cycle(tmp_path), attentive(wait)
    cycle._async_executor.busy = True
    watch(cycle, 0.05)
    process.kill()
    assert not watch(cycle, 0.3)


def test_nobody_waits_for_a_process_that_is_gone():
    assert not runs(GONE)
    assert wait_for_end(GONE)


def test_a_process_that_goes_on_is_not_waited_for_any_longer(process):
    assert not wait_for_end(process.pid, 0.05)


class Stopping:
    """Patroni's Postgresql as far as it matters here; a standby has the last record when it was asked for so often."""

    def __init__(self, data_directory, asked_before=1):
        self.data_dir = str(data_directory)
        self.told = []
        self.clock, self.handover = Clock(), Handover()
        self._asked_before = asked_before
        self._delete_leader = self.handover.noting(lambda _dcs, leader: bool(leader))

    def on_shutdown(self, *locations):
        self.clock.sleep(30)
        self.told.append(locations)
        if len(self.told) >= self._asked_before:
            self._delete_leader(None, "db1")

    def stop(self, stop, *args, **kwargs):
        return prompt(stop, self.clock, self.handover)(self, *args, **kwargs)


def stop(postgresql, mode, *, on_shutdown, stop_timeout):
    if on_shutdown:
        on_shutdown(7, 6)
    return mode, stop_timeout


@pytest.mark.parametrize("asked_before", [1, 3])
def test_the_leader_key_is_given_away_once_when_a_standby_has_the_last_record(tmp_path, process, asked_before):
    """Whoever deletes it: a switchover (Ha.demote) and Patroni's own end (Ha.shutdown) do so in different ways."""
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n")
    postgresql = Stopping(tmp_path, asked_before)
    assert postgresql.stop(stop, "fast", on_shutdown=postgresql.on_shutdown, stop_timeout=9) == ("fast", 9)
    assert postgresql.told == [(7, 6)] * asked_before
    assert runs(process.pid)


def test_nobody_waits_for_standbys_when_postgresql_has_stopped(tmp_path, process):
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n")
    postgresql = Stopping(tmp_path, asked_before=10**9)
    process.kill()
    postgresql.stop(stop, "fast", on_shutdown=postgresql.on_shutdown, stop_timeout=None)
    assert postgresql.told == [(7, 6)]


def test_patroni_goes_on_when_no_standby_has_the_last_record(tmp_path, process):
    """Each question costs every standby an answer, and etcd a write: they become fewer."""
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n")
    postgresql = Stopping(tmp_path, asked_before=10**9)
    postgresql.stop(stop, "fast", on_shutdown=postgresql.on_shutdown, stop_timeout=None)
    assert 1 < len(postgresql.told) < 10


def test_patroni_3_0_is_asked_once(tmp_path, process):
    def stop_of_3_0(postgresql, on_shutdown):
        on_shutdown(7)

    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n")
    postgresql = Stopping(tmp_path, asked_before=10**9)
    postgresql.stop(stop_of_3_0, on_shutdown=postgresql.on_shutdown)
    assert postgresql.told == [(7,)]


def test_a_stop_that_hands_nothing_over_stays_as_it_is(tmp_path):
    assert Stopping(tmp_path).stop(stop, "immediate", on_shutdown=None, stop_timeout=None) == ("immediate", None)


def test_a_key_that_is_gone_already_is_not_given_away():
    handover = Handover()
    assert handover.noting(lambda _dcs, leader: leader)(None, None) is None
    assert not handover.done


IN_PRODUCTION, SHUTTING_DOWN, SHUT_DOWN, SHUT_DOWN_IN_RECOVERY = 6, 3, 1, 2


def write_control(data_directory, state):
    """As pg_controldata reads it: the system's identifier, two versions, the state, and what does not matter here."""
    (data_directory / "global").mkdir(exist_ok=True)
    content = struct.pack("=QIIi", 7713625672321863243, 1700, 202406281, state)
    (data_directory / "global" / "pg_control").write_bytes(content.ljust(8192, b"\0"))


def rounds_of(data_directory, process, stop_timeout):
    """Stop as Patroni does; return how many seconds it counted until PostgreSQL had shut down or time was up."""

    def stop_of_patroni(postgresql, on_shutdown, stop_timeout):
        counted = 0
        while not is_shut_down(data_directory) and counted < stop_timeout:
            postgresql.clock.sleep(1)
            counted += 1
        return counted

    (data_directory / "postmaster.pid").write_text(f"{process.pid}\n")
    return Stopping(data_directory).stop(stop_of_patroni, stop_timeout=stop_timeout)


def test_a_stop_takes_no_more_than_its_timeout(tmp_path, process):
    """Patroni counts the pauses, not the time between its looks: shorter ones would stretch primary_stop_timeout."""
    write_control(tmp_path, SHUTTING_DOWN)
    begun = time.monotonic()
    assert rounds_of(tmp_path, process, stop_timeout=2) == 2
    assert time.monotonic() - begun >= 2


@pytest.mark.parametrize("state", [SHUT_DOWN, SHUT_DOWN_IN_RECOVERY])
def test_a_pause_in_a_stop_ends_with_the_last_record(tmp_path, process, state):
    write_control(tmp_path, IN_PRODUCTION)
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n")
    waiting = threading.Thread(target=wait_for_shutdown, args=(tmp_path, 3600), daemon=True)
    waiting.start()
    write_control(tmp_path, state)
    waiting.join(30)
    assert not waiting.is_alive()


@pytest.mark.parametrize("content", [None, b"", b"short"])
def test_without_a_control_file_a_pause_lasts_its_time(tmp_path, process, content):
    (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n")
    if content is not None:
        write_control(tmp_path, SHUT_DOWN)
        (tmp_path / "global" / "pg_control").write_bytes(content)
    begun = time.monotonic()
    wait_for_shutdown(tmp_path, 0.1)
    assert time.monotonic() - begun >= 0.1


def test_the_end_of_a_connection_is_looked_for_more_often():
    clock, slept = Clock(), []
    with clock.sleeping(slept.append):
        assert briefly(lambda: clock.sleep(3600) or "closed", clock)() == "closed"
    assert not slept


def test_other_sleeps_take_their_time():
    clock = Clock()
    with clock.sleeping(lambda _seconds: None):
        other = threading.Thread(target=clock.sleep, args=(0.05,))
        begun = time.monotonic()
        other.start()
        other.join()
        assert time.monotonic() - begun >= 0.05
    clock.sleep(0.05)
    assert time.monotonic() - begun >= 0.1
    assert clock.monotonic() >= begun


RECOVERING = "postgres: lab: startup recovering 000000010000000000000007"
POSTMASTER = """
import subprocess, sys
program, *titles = sys.argv[1:]
known_as = ["bash", "-c", 'exec -a "$0" "$1"']
children = [subprocess.Popen([*known_as, title, sys.executable], stdin=subprocess.PIPE, text=True) for title in titles]
for child in children:
    child.stdin.write(program)
    child.stdin.close()
for child in children:
    child.wait()
"""
CHILD = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
os.write(1, b"ready\\n")
signal.sigwait({signal.SIGUSR2})
signal.sigwait({signal.SIGUSR2})
"""


@pytest.fixture
def postmaster(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a postmaster with children of the given titles; each ends when it was told to promote twice."""
    started: list[subprocess.Popen[str]] = []

    def start(*titles: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-c", POSTMASTER, CHILD, *titles]
        one = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(one)
        assert one.stdout is not None
        assert [one.stdout.readline() for _title in titles] == ["ready\n"] * len(titles)
        (tmp_path / "postmaster.pid").write_text(f"{one.pid}\n")
        return one

    yield start
    for one in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)
        one.communicate()


def test_postgresql_is_told_until_it_promotes(tmp_path, postmaster):
    started = postmaster(RECOVERING)
    wait_promote = insistent(lambda _postgresql, seconds: started.wait(seconds))
    assert wait_promote(SimpleNamespace(data_dir=str(tmp_path)), 30) == 0


def test_nobody_else_is_told(tmp_path, postmaster):
    started = postmaster(
        "postgres: lab: checkpointer", "postgres: startup: checkpointer", "postgres: a: startup b: checkpointer"
    )
    assert startup_process_of(started.pid) == 0


def test_it_is_told_for_so_long_at_most(tmp_path, postmaster, monkeypatch):
    told = []
    monkeypatch.setattr("signal.pidfd_send_signal", lambda *args: told.append(args))
    started = postmaster(RECOVERING)
    tell_to_promote(tmp_path, 0.3)
    assert told
    assert started.poll() is None


@pytest.mark.parametrize(
    "title",
    [
        "postgres: startup",
        "postgres: lab: startup ",
        RECOVERING,
        f"{RECOVERING} waiting",
        "postgres: lab: startup waiting for 00000002000000040000001F",
    ],
)
def test_the_startup_process_is_known_by_its_title(postmaster, title):
    started = postmaster("postgres: lab: checkpointer", title)
    found = startup_process_of(started.pid)
    assert title in Path(f"/proc/{found}/cmdline").read_text()


@pytest.mark.parametrize("content", ["", f"{GONE}\n"], ids=["empty", "of a dead process"])
def test_without_postgresql_nobody_is_told(tmp_path, monkeypatch, content):
    told = []
    monkeypatch.setattr("signal.pidfd_send_signal", lambda *args: told.append(args))
    (tmp_path / "postmaster.pid").write_text(content)
    tell_to_promote(tmp_path, 0.3)
    assert not told


def test_where_no_thread_can_be_had_a_promotion_is_patroni_s_own(tmp_path, monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    assert insistent(lambda _postgresql, seconds: seconds)(SimpleNamespace(data_dir=str(tmp_path)), 7) == 7


def test_the_pid_file_is_read_as_postgresql_writes_it(tmp_path):
    (tmp_path / "postmaster.pid").write_text("4711\n/data\n1767582000\n5432\n")
    assert postmaster_of(tmp_path) == 4711
    assert postmaster_of(tmp_path / "elsewhere") == 0


def test_what_is_said_to_etcd_is_sent_at_once():
    def set_options(_etcd, sock, options):
        for option in options:
            sock.setsockopt(*option)

    with socket.socket() as sock:
        undelayed(set_options)(None, sock, [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)])
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


class Store:
    """Patroni's Etcd3Client as far as it matters here, with the value of the leader key."""

    def __init__(self, leader):
        self.leader = leader
        self.written = []

    def put(self, key, value, lease=None, *, create_revision=None, retry=None):
        if create_revision == 0 and self.leader is not None:
            return False
        self.written.append((key, value, lease))
        return True

    def txn(self, compare, success, retry=None):
        fields = success["request_put"]
        if (compare["target"], compare["value"]) != ("VALUE", self.leader):
            return False
        self.written.append((fields["key"], fields["value"], fields["lease"]))
        return True


LEADER = "/service/main/leader"


def update_leader_of_3_0_2(store):
    store.put(LEADER, "db1", "lease", retry=None)
    return True


@pytest.mark.parametrize(("leader", "leads"), [("db1", True), (None, True), ("db2", False)])
def test_a_leader_that_comes_back_leaves_the_key_to_its_successor(monkeypatch, leader, leads):
    store = Store(leader)
    put, update_leader = considerate(Store.put, update_leader_of_3_0_2, str)
    monkeypatch.setattr(Store, "put", put)
    assert update_leader(store) is leads
    assert store.written == ([(LEADER, "db1", "lease")] if leads else [])


def test_a_refusal_is_that_of_one_renewal(monkeypatch):
    store = Store("db2")
    put, update_leader = considerate(Store.put, update_leader_of_3_0_2, str)
    monkeypatch.setattr(Store, "put", put)
    assert not update_leader(store)
    store.leader = "db1"
    assert update_leader(store)


@pytest.mark.parametrize(
    ("key", "lease", "compared"),
    [("/service/main/members/db1", "lease", {}), (LEADER, "lease", {"create_revision": 0}), (LEADER, None, {})],
)
def test_other_keys_and_comparisons_stay_as_they_are(monkeypatch, key, lease, compared):
    store = Store(None)
    put, _update_leader = considerate(Store.put, update_leader_of_3_0_2, str)
    assert put(store, key, "db1", lease, **compared)
    assert store.written == [(key, "db1", lease)]


@pytest.mark.parametrize(
    ("version", "before"), [("3.0.2", True), ("2.1.4", True), ("3.0.3", False), ("4.1.0rc1", False)]
)
def test_an_old_patroni_is_known_by_its_version(version, before):
    assert is_before(version, (3, 0, 3)) is before
