# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How pgbench is kept busy and ended; the client is a script of what each run of pgbench gives."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak import pgbench
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.judge import Load
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.pgbench import Pgbench

from tests.unit.plugins.plugin_utils.soak.test_plan import plan


@pytest.fixture
def load(monkeypatch) -> Pgbench:
    monkeypatch.setattr(pgbench, "RETRY_SECONDS", 0.01)
    return Pgbench(plan(), Mock(), Mock(), Mock())


def test_pgbench_runs_again_after_each_break_for_what_is_left(load, monkeypatch) -> None:
    clock, asked = [0.0], []
    runs = iter([(50.0, ("gone",)), (0.0, ("refused",)), (69.5, ())])

    def run(arguments):
        took, breaks = next(runs)
        asked.append(arguments[-1])
        clock[0] += took
        return Load(transactions=int(took * 10), breaks=breaks)

    monkeypatch.setattr(load, "run", run)
    monkeypatch.setattr(pgbench.time, "monotonic", lambda: clock[0])
    done = load.keep_busy()
    assert asked == ["120", "70", "70"]
    assert (done.transactions, done.breaks) == (500 + 695, ("gone", "refused"))


def test_pgbench_is_ended_even_when_it_was_about_to_begin(load, monkeypatch) -> None:
    begun, ended = threading.Event(), threading.Event()

    def run(_arguments):
        time.sleep(0.05)  # the first order to end comes too early
        begun.set()
        assert ended.wait(10)
        return Load(transactions=1, breaks=("exit code 15",))

    def clear(*_units):
        if begun.is_set():
            ended.set()

    monkeypatch.setattr(load, "run", run)
    monkeypatch.setattr(load, "_clear", clear)
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(load.keep_busy)
        load.end(done)
    assert done.result().breaks == ()
    assert done.result().transactions == 1
