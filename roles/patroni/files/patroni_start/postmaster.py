# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patroni's next cycle begins when the postmaster has died, not up to loop_wait later."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from patroni_start.processes import postmaster_of, runs, wait_for_end

LOG = logging.getLogger(__name__)


def watching_postmaster(watch: Callable[..., Any]) -> Callable[..., Any]:
    """Return Patroni's wait for its next cycle (Ha.watch), which also ends when the postmaster does."""
    guarded: set[int] = set()

    def guard(pid: int, ha: Any) -> None:
        try:
            wait_for_end(pid)
        except OSError:
            LOG.exception("The postmaster's end is not watched")
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
        except Exception:  # an exception here would end Patroni
            LOG.exception("The postmaster's end is not watched")
        return watch(ha, timeout)

    return watch_attentively


def is_expected(ha: Any) -> bool:
    """Whether somebody else handles the postmaster: an operator during a pause, or a running task such as a switchover.

    Another cycle would only delay that task.
    """
    return ha.is_paused() or ha._async_executor.busy


def replacements(watch: Any, *_used: Any) -> Mapping[str, Any]:
    """Return the replacement of the wait."""
    return {"patroni.ha:Ha.watch": watching_postmaster(watch)}
