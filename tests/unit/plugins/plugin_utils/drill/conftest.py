# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill import gatekeeper, patience
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import COURSES
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.files import Run
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.alerts import Alerts, Due
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.analysis import judge
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Alert, Ledger
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.run import Host, Unjudged
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.outlook import outlook

from tests.unit.plugins.plugin_utils.drill.ledgers import BUDGET, ledger, monitored
from tests.unit.plugins.plugin_utils.drill.scripted import Cluster
from tests.unit.plugins.plugin_utils.rto import cluster as timed


def heard() -> Ledger:
    """The faultless record with its alerts, one of them quiet and one from before."""
    return monitored(
        (Alert("HostDown", "page", "db1"), 13, 24),
        (Alert("EtcdNoSpare", "page"), 15, 22),
        (Alert("MemberDown", "ticket", "db1", quiet=True), 14, 24),
        (Alert("Watchdog", "info"), 0, 40),
    )


@pytest.fixture(scope="session")
def run() -> Run:
    """Two repetitions of a fault that passes, one that breaks three rules, one that is only reported."""
    calm, slow = ledger(), replace(BUDGET, writes=3.0, reads=0.1)
    absent = {key: count for key, count in calm.presence[1].counts.items() if not ("w1", 1) <= key <= ("w1", 4)}
    presence = (calm.presence[0], replace(calm.presence[1], counts=absent), calm.presence[2])
    judged = [
        (heard(), replace(BUDGET, predicted=4.5)),
        (ledger(repetition=2), replace(BUDGET, predicted=4.5)),
        (ledger(fault="primary_cut_from_peers", presence=presence, proof="<nft> & 12 packets dropped"), slow),
        (ledger(fault="etcd_quorum_lost"), replace(BUDGET, writes=None, reads=None)),
    ]
    wanted = Alerts((Due(("HostDown",), 5.0),), frozenset({"EtcdNoSpare"}))
    return Run(
        cluster="lab",
        begun=datetime(2026, 11, 23, 15, 0, tzinfo=UTC),
        results=tuple((record, judge(record, budget, wanted), budget) for record, budget in judged),
        settings={"ttl": 20, "synchronous_mode": "quorum", "postgresql": {"use_slots": True}},
        versions={"PostgreSQL": "17.6"},
        load={"processors": 2, "load 1 min": 1.2345},
        skipped={"wal_disk_full": "no volume of its own"},
        command="ansible-playbook playbooks/drill.yml -e drill_confirm=lab",
        seconds=754.2,
        unjudged=(Unjudged("standby_lost", 2, "not proven: still runs"),),
        profile="default",
        hosts=(Host("db1", "192.0.2.11", ("etcd", "postgresql")), Host("client1", "192.0.2.41")),
        containers=True,
        outlook=outlook(timed.HA, timed.reports(4), timed.CONFIGURATION, COURSES),
    )


@pytest.fixture
def cluster(monkeypatch) -> Cluster:
    """A well cluster whose gate loses its patience soon."""
    monkeypatch.setattr(patience, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(gatekeeper, "GATE_SECONDS", 0.5)
    return Cluster()
