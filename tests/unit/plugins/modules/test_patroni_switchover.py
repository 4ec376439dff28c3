# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal

import pytest
from ansible_collections.holdfast.ha.plugins.modules.patroni_switchover import (
    SIGNALS,
    InterruptedBySignalError,
    unwind_on_signals,
)


@pytest.fixture
def _own_handlers():
    before = {each: signal.getsignal(each) for each in SIGNALS}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.usefixtures("_own_handlers")
@pytest.mark.parametrize("first", SIGNALS)
def test_the_first_signal_unwinds_and_later_ones_do_not_disturb_that(first: signal.Signals) -> None:
    unwind_on_signals()
    done = []

    def work() -> None:
        try:
            os.kill(os.getpid(), first)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("resumed")

    with pytest.raises(InterruptedBySignalError, match=f"^interrupted by {first.name}$"):
        work()
    assert done == ["resumed"]
