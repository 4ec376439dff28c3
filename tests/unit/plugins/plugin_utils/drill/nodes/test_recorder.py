# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.clock import Offset
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.recorder import Recorder
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Alert, AlertSample, Outcome


def row(sequence, begun, outcome="acknowledged", server="192.0.2.11"):
    return ["w1", sequence, begun, begun + 0.01, outcome, server, ""]


def recorder() -> Recorder:
    made = Recorder({"192.0.2.11": "db1", "192.0.2.12": "db2"})
    made.reset(Offset(100.0, 0.0))  # the client is 100 s ahead of the controller
    return made


def test_all_times_are_the_clients() -> None:
    made = recorder()
    made.take("db1", "members", [[1000.5, False, True, True, 4]], Offset(1000.0, 0.0))
    made.take("lb1", "balancers", [[2000.5, ["192.0.2.100"], None]], Offset(2000.0, 0.0))
    made.take("db1", "local", [["local-db1", 1, 1000.25, 1000.5, "unknown", "", "x"]], Offset(1000.0, 0.0))
    assert made.members[0].at == made.balancers[0].at == 100.5
    assert (made.local_writes[0].begun, made.local_writes[0].server) == (100.25, "db1")


def test_addresses_become_names_and_reads_become_reads() -> None:
    made = recorder()
    made.take("client1", "writes", [row(1, 1.0), row(2, 2.0, server="192.0.2.99")], Offset(0.0, 0.0))
    made.take("client1", "reads", [row(1, 1.0), row(2, 2.0, "refused")], Offset(0.0, 0.0))
    assert [write.server for write in made.writes] == ["db1", "192.0.2.99"]
    assert [read.ok for read in made.reads] == [True, False]


def test_the_flow_begins_anew_after_a_break() -> None:
    made = recorder()
    now = time.monotonic()
    client = Offset(100.0, 0.0)
    rows = [row(1, now - 9 + 100), *(row(at, now - 3 + at / 10 + 100, server="192.0.2.12") for at in range(29))]
    made.take("client1", "writes", rows, client)
    seconds, server = made.flow()
    assert 2.7 < seconds < 2.9
    assert server == "db2"
    assert made.silence() < 1.0


def test_what_was_not_acknowledged_is_no_flow() -> None:
    made = recorder()
    made.take("client1", "writes", [row(1, time.monotonic() + 100, "warned")], Offset(100.0, 0.0))
    assert made.flow() == (0.0, "")
    assert made.writes[0].outcome is Outcome.WARNED
    assert made.rate() == 0.0


def test_only_a_fresh_claim_counts() -> None:
    made = recorder()
    assert made.claimed("db1") is None
    made.take("db1", "members", [[1.0, False, True, False, 4], [2.0, False, True, False, 4]], Offset(0.0, 0.0))
    assert made.claimed("db1") == 102.0
    made.take("db1", "members", [[3.0, False, None, False, 4]], Offset(0.0, 0.0))
    assert made.claimed("db1") is None


def test_when_a_host_was_observed() -> None:
    made = recorder()
    made.take("db1", "members", [[1.0, False, True, True, 4], [2.0, None, None, False, None]], Offset(0.0, 0.0))
    made.take("lb1", "balancers", [[3.0, [], None]], Offset(0.0, 0.0))
    assert (made.seen("db1"), made.seen("lb1"), made.seen("backup1")) == ([101.0, 102.0], [103.0], [])


def test_the_alerts_that_fire_now() -> None:
    made, now = recorder(), time.monotonic()
    assert made.firing() is None
    made.take("backup1", "alerts", [[now, [["HostDown", "page", "db1", False]]]], Offset(0.0, 0.0))
    assert made.firing() == (Alert("HostDown", "page", "db1"),)
    made.take("backup1", "alerts", [[now, None]], Offset(0.0, 0.0))
    assert made.firing() is None
    made.take("backup1", "alerts", [[now - 6, []]], Offset(0.0, 0.0))
    assert made.firing() is None
    assert made.records(now + 100, now + 200)["alerts"] == (
        AlertSample(now + 100, (Alert("HostDown", "page", "db1"),)),
        AlertSample(now + 100, None),
    )
