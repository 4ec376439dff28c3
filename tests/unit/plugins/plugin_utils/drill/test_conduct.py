# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of an injection, on a cluster that answers from a script."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill import alerting
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE, Fault, seconds
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.clock import Offset
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import GateError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.alerts import Alerts, Due
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Alert

from tests.unit.plugins.plugin_utils.drill.cluster import MONITORED
from tests.unit.plugins.plugin_utils.drill.scripted import NEW, OLD, Parts


def test_after_a_harm_the_archive_is_tried_anew(cluster) -> None:
    action = Mock(inject=Mock(side_effect=NotProvenError("it survived")))
    made = Parts(cluster)
    fault = replace(CATALOGUE["postmaster_killed"], action=action)
    made.recorder.flow = lambda: (10.0, "db1")  # type: ignore[method-assign]
    with pytest.raises(NotProvenError):
        made.conductor.conduct(fault, 1)
    cluster.archiving, cluster.archived = False, OLD
    with pytest.raises(GateError, match=f"{NEW} is not archived yet"):
        made.gatekeeper.wait("after")
    assert cluster.switched == 2


def test_the_gate_holds_right_before_the_fault(cluster, monkeypatch) -> None:
    """Something breaks while the first rows are written: the fault is not injected into that."""
    action = Mock()
    made = Parts(cluster)

    def steady() -> tuple[float, str]:
        cluster.broken = {"db3_etcd": {"healthy": False}}
        return 10.0, "db1"

    monkeypatch.setattr(made.recorder, "flow", steady)
    with pytest.raises(GateError, match="etcd on db3 is not healthy"):
        made.conductor.conduct(replace(CATALOGUE["postmaster_killed"], action=action), 1)
    action.inject.assert_not_called()


def steady(made: Parts) -> Parts:
    """Rows flow without a break, and Patroni says at once who is primary."""
    made.recorder.flow = lambda: (10.0, "db2")  # type: ignore[method-assign]
    made.recorder.claimed = lambda _leader: made.recorder.now()  # type: ignore[method-assign]
    return made


def test_an_injection_gives_a_ledger_of_all_that_was_seen(cluster) -> None:
    made = steady(Parts(cluster))
    rows = [["writer-1", number, 0.0, 1.0, "acknowledged", "192.0.2.12", ""] for number in (1, 2, 3)]
    action = Mock(
        inject=Mock(
            side_effect=lambda *_rest: made.recorder.take("client1", "writes", rows, Offset(0.0, 0.0)) or "hit"
        ),
        still=Mock(return_value="still hit"),
        darkens=Mock(return_value=True),
    )
    lasting = seconds(0)
    ledger = made.conductor.conduct(replace(CATALOGUE["standby_lost"], action=action, lasting=lasting), 2)

    assert (ledger.fault, ledger.repetition, ledger.proof) == ("standby_lost", 2, "hit; still hit")
    assert [call.args[1] for call in action.inject.mock_calls] == [("db3",)]
    assert (ledger.primary_before, ledger.primary_after) == ("db1", "db1")
    assert ledger.begun <= ledger.injected <= ledger.healed <= ledger.ended
    assert list(ledger.dark) == ["db3"]
    assert [event.kind for event in ledger.events] == ["injected", "healed"]
    assert [len(found.counts) for found in ledger.presence] == [3, 3, 3]
    assert len(ledger.writes) == 3
    assert list(ledger.phases) == ["gate before", "load", "fault", "healing", "gate after", "rows"]


def test_hosts_are_rebooted_one_by_one_each_after_the_gate(cluster) -> None:
    made, gates = steady(Parts(cluster)), []
    action = Mock(
        inject=Mock(side_effect=lambda _tools, targets, _view: f"{targets[0]} booted"), darkens=lambda _: False
    )
    wait = made.gatekeeper.wait
    made.gatekeeper.wait = lambda when, **more: gates.append(when) or wait(when, **more)  # type: ignore[method-assign]
    ledger = made.conductor.conduct(replace(CATALOGUE["rolling_reboot"], action=action), 1)

    hosts = ["db2", "db3", "lb1", "lb2", "backup1", "db1"]
    assert [call.args[1] for call in action.inject.mock_calls] == [[host] for host in hosts]
    assert gates == ["before", "before", *(f"after {host}" for host in hosts), "after"]
    assert ledger.proof == "; ".join(f"{host} booted" for host in hosts)
    assert list(ledger.dark) == hosts
    action.still.assert_not_called()


def test_the_record_ends_with_a_claim_that_is_not_older_than_the_healing(cluster, monkeypatch) -> None:
    made = Parts(cluster)
    claims = iter([99.9, None, 100.2])
    monkeypatch.setattr(made.recorder, "claimed", lambda _leader: next(claims))
    assert made.conductor._last_claim("db1", 100.0) == 100.2


WANTED = Alerts((Due(("HostDown",), 0.0),), settled=0.0)


def with_alerts(cluster, action: Mock, *answers: list[str]) -> tuple[Parts, Fault]:
    """A monitored cluster whose alerts change at every look, the last of them stay; a fault that wants one."""
    made = steady(Parts(cluster, hosts=MONITORED, slack=5.0))
    looks = list(answers)

    def firing() -> tuple[Alert, ...]:
        return tuple(Alert(name, "page") for name in (looks.pop(0) if len(looks) > 1 else looks[0]))

    made.recorder.firing = firing  # type: ignore[method-assign]
    fault = replace(CATALOGUE["standby_lost"], action=action, lasting=seconds(0), alerts=WANTED)
    return made, fault


def standing_action(made: list[str]) -> Mock:
    return Mock(
        inject=Mock(side_effect=lambda *_rest: made.append("injected") or "hit"),
        still=Mock(return_value=""),
        darkens=Mock(return_value=False),
    )


def test_a_fault_waits_for_calm_then_for_its_alert_then_for_its_end(cluster, monkeypatch) -> None:
    told: list[str] = []
    made, fault = with_alerts(cluster, standing_action(told), ["HostDown"], [], [], ["HostDown"], ["HostDown"], [])
    heal = made.tools.heal
    monkeypatch.setattr(made.tools, "heal", lambda: told.append("healed") or heal())
    progress = made.patience.progress
    monkeypatch.setattr(made.patience, "progress", lambda text: told.append(text) or progress(text))
    ledger = made.conductor.conduct(fault, 1)

    waits = [text for text in told if "alert" in text or text in {"injected", "healed"}]
    assert waits == [
        "waiting for alerts to end, and Alertmanager to answer",
        "injected",
        "waiting for the alert HostDown",
        "healed",
        "waiting for the alerts to end",
    ]
    assert ledger.monitor == "backup1"


def test_the_record_holds_the_sample_in_which_the_alerts_had_ended(cluster, monkeypatch) -> None:
    """The newest claim may be older than the newest sample of the alerts."""
    made, fault = with_alerts(cluster, standing_action([]), [], ["HostDown"], [])
    settled: list[float] = []
    claims: list[float] = []
    wait = made.alerting.await_settled

    def await_settled(*told) -> None:
        claims.append(made.recorder.now())
        wait(*told)
        settled.append(made.recorder.now())

    monkeypatch.setattr(made.alerting, "await_settled", await_settled)
    monkeypatch.setattr(made.recorder, "claimed", lambda _leader: claims.pop() if claims else made.recorder.now())
    assert made.conductor.conduct(fault, 1).ended >= settled[0]


def test_an_alert_that_never_fires_ends_the_wait(cluster) -> None:
    made, fault = with_alerts(cluster, standing_action([]), [])
    made.alerting.wanted = lambda _fault: WANTED  # type: ignore[method-assign]
    assert made.conductor.conduct(fault, 1).proof == "hit"


def test_a_page_before_the_fault_keeps_the_gate_closed(cluster, monkeypatch) -> None:
    monkeypatch.setattr(alerting, "CALM_SECONDS", 0.05)
    made, fault = with_alerts(cluster, action := standing_action([]), ["DiskNearlyFull"])
    with pytest.raises(GateError, match="alerts to end"):
        made.conductor.conduct(fault, 1)
    action.inject.assert_not_called()


def test_without_monitoring_nothing_is_waited_for(cluster) -> None:
    made = steady(Parts(cluster))
    fault = replace(CATALOGUE["standby_lost"], action=standing_action([]), lasting=seconds(0))
    assert made.alerting.wanted(fault) is None
    ledger = made.conductor.conduct(fault, 1)
    assert (ledger.monitor, ledger.alerts) == ("", ())
