# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait at the gate until every part is healthy and a new WAL segment is in the archive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils import journal
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import (
    Expected,
    View,
    balancer_doubts,
    database_doubts,
    doubts,
    etcd_doubts,
    silent,
    view,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.crew import Crew
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.session import AgentError, SessionLostError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import GateError, Patience

GATE_SECONDS = 300.0
# A segment without a record would not be switched.
ANY_WAL = "SELECT pg_logical_emit_message(false, 'holdfast_drill', 'gate')"
SWITCH_WAL = "SELECT pg_walfile_name(pg_switch_wal())"


class Gatekeeper:
    """Asks all hosts until all parts are healthy; now: the clock of the returned times."""

    def __init__(
        self, *, expected: Expected, archiving: bool, crew: Crew, patience: Patience, now: Callable[[], float]
    ) -> None:
        self._expected = expected
        self._archiving = archiving
        self._crew = crew
        self._patience = patience
        self._now = now
        self._archived = ""  # the segment that the archive has received since the last harm
        self.last_view: View | None = None

    def probe(self) -> dict[str, Any]:
        """Return the state of each host that has a session, as the host reports it."""
        hosts = {*self._expected.etcd, *self._expected.databases, *self._expected.balancers}
        return self._crew.call_all(sorted(host for host in hosts if self._crew.on(host)), "probe", 20.0)

    def look(self) -> View:
        """Return the present roles."""
        return view(self._expected, self.probe())

    def distrust_archive(self) -> None:
        """Require a new segment in the archive at the next gate, as a fault begins now."""
        self._archived = ""

    def wait(self, when: str, since: float | None = None) -> tuple[View, dict[str, float | None]]:
        """Wait until the gate is open; return the roles, and after how many seconds each part was healthy.

        Every call asks all hosts again. It tests the archive only once between two faults on the same timeline.
        """
        begun = time.monotonic()
        origin = since if since is not None else self._now()
        well: dict[str, float | None] = {}
        segment = self._archived
        while True:
            probes = self.probe()
            seen = view(self._expected, probes)
            self.last_view = seen
            open_questions = doubts(self._expected, probes)
            self._note_well(well, probes, seen, self._now() - origin)
            if not open_questions and not self._archiving:
                return seen, well
            if not open_questions:
                if not segment or segment[:8] != f"{seen.timeline:08X}":
                    segment = self._switch_wal(seen.leader)
                elif seen.archived >= segment and seen.archived[:8] == segment[:8]:
                    well["archive"] = round(self._now() - origin, 3)
                    self._archived = segment
                    return seen, well
                open_questions = [f"{segment} is not archived yet"]
            if time.monotonic() - begun > GATE_SECONDS:
                raise GateError(
                    f"the gate {when} the fault did not open in {GATE_SECONDS:g} s: "
                    f"{'; '.join([*open_questions, *self._causes(open_questions)])}"
                )
            self._patience.progress(f"gate {when}: {open_questions[0]}")
            self._patience.pause()

    def _causes(self, open_questions: Sequence[str]) -> Iterator[str]:
        """Yield the causes from the journals of the affected members."""
        asked = [host for host in self._expected.databases if any(host in text.split() for text in open_questions)]
        argv = journal.command("patroni.service", time.time() - GATE_SECONDS)
        for host, answer in self._crew.call_all(asked, "run", argv=argv).items():
            if told := journal.cause(answer["out"].splitlines()):
                yield f"{host}'s log says: {told}"

    def _note_well(self, well: dict[str, float | None], probes: Mapping[str, Any], seen: View, after: float) -> None:
        parts = {
            "etcd": [*etcd_doubts(self._expected, probes, seen)],
            "postgresql": [*database_doubts(self._expected, probes, seen), *silent(self._expected, probes)],
            "balancers": [*balancer_doubts(self._expected, probes, seen)],
        }
        for name, open_questions in parts.items():
            if open_questions:
                well[name] = None
            elif well.get(name) is None:
                well[name] = round(after, 3)

    def _switch_wal(self, leader: str) -> str:
        try:
            self._crew.sql(leader, ANY_WAL, patience=20.0, seconds=15.0)
            return str(self._crew.sql(leader, SWITCH_WAL)[0][0])
        except (SessionLostError, AgentError):
            return ""
