# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pgbench, kept busy on the client's host until the end of the soak."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from functools import partial

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.clients import SCHEMA, Clients
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.crew import Crew
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import GateError
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak import commands
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.judge import Load, merged
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.plan import SoakPlan

RETRY_SECONDS = 1.0
END_SECONDS = 0.25
GRACE_SECONDS = 60.0
"""Seconds after the soak's end at which systemd ends a remaining unit."""


class Pgbench:
    """One load; clear: stops a unit on all hosts."""

    def __init__(self, plan: SoakPlan, crew: Crew, clients: Clients, clear: Callable[[str], None]) -> None:
        self._plan = plan
        self._crew = crew
        self._clients = clients
        self._clear = clear
        self._idle = threading.Event()  # pgbench should end

    def prepare(self) -> None:
        """Create pgbench's tables; raises GateError."""
        filled = self.run(["-i", "-q", "-s", str(self._plan.scale)])
        if filled.breaks:
            raise GateError(f"{self._plan.drill.client}: pgbench can't make its tables: {filled.breaks[0]}")

    def keep_busy(self) -> Load:
        """Run pgbench to the end of the soak; restart it whenever its connections broke."""
        begun, runs = time.monotonic(), []
        many = ["-c", str(self._plan.clients), "-j", "2"]
        while not self._idle.is_set() and (left := begun + self._plan.seconds - time.monotonic()) >= 1:
            runs.append(self.run([*many, "-n", "-T", f"{left:.0f}"]))
            if runs[-1].breaks:
                self._idle.wait(RETRY_SECONDS)
        if self._idle.is_set() and runs:
            runs[-1] = replace(runs[-1], breaks=())  # it was stopped
        return merged(runs, time.monotonic() - begun)

    def end(self, load: Future[Load]) -> None:
        """End keep_busy() in another thread."""
        self._idle.set()
        while not load.done():  # it may be about to restart
            self._clear(commands.LOAD)
            wait([load], END_SECONDS)

    def run(self, arguments: Sequence[str]) -> Load:
        """Run pgbench once; a timer on the host ends it in any case."""
        settings = self._clients.settings(self._plan.drill.pool("primary"))
        environment = {
            "PGHOST": str(settings["host"]),
            "PGPORT": str(settings["port"]),
            "PGUSER": str(settings["user"]),
            "PGDATABASE": str(settings["dbname"]),
            "PGSSLMODE": "require",
            "PGOPTIONS": f"-csearch_path={SCHEMA}",
        }
        longest = self._plan.seconds + GRACE_SECONDS
        client = partial(self._crew.call, self._plan.drill.client)
        client("arm", name="load", seconds=longest, undo=["systemctl", "stop", f"{commands.LOAD}.service"])
        argv = commands.pgbench(longest, environment, arguments)
        password = f"{settings['password']}\n"
        done = client("run", longest + GRACE_SECONDS, argv=argv, seconds=longest + GRACE_SECONDS / 2, text=password)
        client("undo", name="load")
        return commands.read_load(done["out"], done["err"], done["code"])
