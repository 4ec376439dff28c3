# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stop hands over as soon as a standby has the last record."""

from __future__ import annotations

import struct
import threading
import time

import pytest
from patroni_start.handover import (
    Clock,
    Handover,
    is_shut_down,
    polling_connections,
    stopping_promptly,
    wait_for_shutdown,
)
from patroni_start.processes import runs


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
        return stopping_promptly(stop, self.clock, self.handover)(self, *args, **kwargs)


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
        assert polling_connections(lambda: clock.sleep(3600) or "closed", clock)() == "closed"
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
