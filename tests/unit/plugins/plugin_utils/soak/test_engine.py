# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How pgbench is kept busy and ended; the client is a script of what each run of pgbench gives."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.engine import Speaker
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak import engine
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.engine import Soak
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.judge import Load

from tests.unit.plugins.plugin_utils.soak.test_plan import plan


@pytest.fixture
def soak(monkeypatch) -> Soak:
    monkeypatch.setattr(engine, "RETRY_SECONDS", 0.01)
    return Soak(plan(), threading.Event(), Speaker())


def test_pgbench_runs_again_after_each_break_for_what_is_left(soak, monkeypatch) -> None:
    clock, asked = [0.0], []
    runs = iter([(50.0, ("gone",)), (0.0, ("refused",)), (69.5, ())])

    def pgbench(arguments):
        took, breaks = next(runs)
        asked.append(arguments[-1])
        clock[0] += took
        return Load(transactions=int(took * 10), breaks=breaks)

    monkeypatch.setattr(soak, "_pgbench", pgbench)
    monkeypatch.setattr(engine.time, "monotonic", lambda: clock[0])
    load = soak._keep_busy()
    assert asked == ["120", "70", "70"]
    assert (load.transactions, load.breaks) == (500 + 695, ("gone", "refused"))


def test_pgbench_is_ended_even_when_it_was_about_to_begin(soak, monkeypatch) -> None:
    begun, ended = threading.Event(), threading.Event()

    def pgbench(_arguments):
        time.sleep(0.05)  # the first order to end comes too early
        begun.set()
        assert ended.wait(10)
        return Load(transactions=1, breaks=("exit code 15",))

    def clear(*_units):
        if begun.is_set():
            ended.set()

    monkeypatch.setattr(soak, "_pgbench", pgbench)
    monkeypatch.setattr(soak, "_clear", clear)
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(soak._keep_busy)
        soak._end_pgbench(load)
    assert load.result().breaks == ()
    assert load.result().transactions == 1
