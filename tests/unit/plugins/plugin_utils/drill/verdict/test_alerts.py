# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alerts of an injection at 10 s, healed at 20 s, well again at 22 s, recorded until 30 s."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import alerts as sut
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.alerts import Alerts, Due
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.analysis import judge
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Alert, Ledger

from tests.unit.plugins.plugin_utils.drill.ledgers import BUDGET, Span, ledger, monitored

WANTED = Alerts((Due(("HostDown",), 5.0),), frozenset({"NoSpare"}), settled=5.0)
DOWN = Alert("HostDown", "page", "db1")


@pytest.mark.parametrize(
    ("record", "broken"),
    [
        pytest.param(monitored((DOWN, 13, 24)), [], id="in time"),
        pytest.param(monitored((DOWN, 13, 24), (Alert("NoSpare", "warning"), 12, 26)), [], id="a consequence"),
        pytest.param(
            monitored(), [("alert_missing", "HostDown did not fire in 5 s after the injection")], id="it does not fire"
        ),
        pytest.param(
            monitored((DOWN, 16, 24)),
            [("alert_missing", "HostDown fired 6.0 s after the injection, the limit is 5 s")],
            id="too late",
        ),
        pytest.param(
            monitored((DOWN, 7, 24)),
            [("alert_missing", "HostDown fired already before the injection")],
            id="it fired before",
        ),
        pytest.param(
            monitored((DOWN, 13, 24), (Alert("DiskFull", "warning", "db2"), 15, 18)),
            [("alert_unexpected", "DiskFull on db2 fired 5.0 s after the injection")],
            id="another one",
        ),
        pytest.param(
            monitored((DOWN, 13, 24), (Alert("DiskFull", "warning", "db2"), 0, 40)), [], id="another one from before"
        ),
        pytest.param(
            monitored((DOWN, 13, 24), (Alert("DiskFull", "page", "db2", quiet=True), 15, 40)), [], id="kept quiet"
        ),
        pytest.param(
            monitored((DOWN, 13, 28)),
            [("alert_unresolved", "HostDown on db1 ended 6.0 s after the recovery, the limit is 5 s")],
            id="it resolves late",
        ),
        pytest.param(
            monitored((DOWN, 13, 40)),
            [("alert_unresolved", "HostDown on db1 still fires 8.0 s after the recovery")],
            id="it does not resolve",
        ),
        pytest.param(monitored((DOWN, 13, 24), silent=(15, 17)), [], id="a short silence"),
        pytest.param(
            monitored(dark={"db1": ((10, 20),), "backup1": ((10, 20),)}, silent=(10, 25)), [], id="the monitoring host"
        ),
        pytest.param(
            monitored((Alert("DiskFull", "page"), 24, 26), dark={"db1": ((10, 20),), "backup1": ((10, 20),)}),
            [],
            id="the monitoring host comes back",
        ),
        pytest.param(ledger(), [], id="no monitoring"),
    ],
)
def test_what_must_and_must_not_fire(record: Ledger, broken: list[tuple[str, str]]) -> None:
    verdict = judge(record, BUDGET, WANTED)
    assert [(breach.rule, breach.text) for breach in verdict.breaches] == broken


def test_a_long_silence_of_alertmanager(monkeypatch) -> None:
    monkeypatch.setattr(sut, "UNSEEN_SECONDS", 5.0)
    verdict = judge(monitored((DOWN, 13, 17), silent=(17, 25)), BUDGET, WANTED)
    assert [breach.text for breach in verdict.breaches] == ["Alertmanager on backup1 did not answer for 9.0 s"]


def test_a_record_without_any_answer_proves_nothing(monkeypatch) -> None:
    monkeypatch.setattr(sut, "UNSEEN_SECONDS", 5.0)
    verdict = judge(monitored(alerts=()), BUDGET, Alerts())
    assert [breach.rule for breach in verdict.breaches] == ["alerts_unseen"]


def test_nothing_is_judged_unless_asked() -> None:
    assert judge(monitored(), BUDGET).breaches == ()


def test_what_was_heard() -> None:
    loud = (DOWN, 13, 24)
    heard = sut.heard(monitored((Alert("HostDown", "page", "db1", quiet=True), 12, 13), loud), WANTED)
    assert [(one.fired, one.settled, one.due, one.quiet) for one in heard] == [(2.0, 2.0, 5.0, False)]
    assert [(one.name, one.fired, one.due) for one in sut.heard(monitored(), WANTED)] == [("HostDown", None, 5.0)]


def test_what_lingers_may_fire_before_and_go_on() -> None:
    wanted = Alerts((Due(("PrimaryChanged",), 5.0),), lingering=frozenset({"PrimaryChanged", "JobFailed"}))
    changed, failed = Alert("PrimaryChanged", "ticket"), Alert("JobFailed", "ticket", "db2")
    for record in (monitored((changed, 13, 40)), monitored((changed, 0, 40)), monitored((changed, 0, 18))):
        assert judge(record, BUDGET, wanted).breaches == ()
    assert judge(monitored((changed, 13, 40), (failed, 12, 40)), BUDGET, wanted).breaches == ()
    assert [breach.rule for breach in judge(monitored(), BUDGET, wanted).breaches] == ["alert_missing"]
    assert wanted.ending == frozenset()


def test_times_follow_from_the_scrapes() -> None:
    slow = WANTED.scraped(30.0, 2.0)
    assert (slow.must, slow.settled, slow.latest) == ((Due(("HostDown",), 67.0),), 67.0, 67.0)


def test_of_a_fault_that_does_not_last_nothing_must_fire() -> None:
    assert WANTED.permitted() == Alerts(may=frozenset({"HostDown", "NoSpare"}), settled=5.0)


@pytest.mark.parametrize(
    ("spans", "names"),
    [
        ([(DOWN, 13, 24)], ["HostDown"]),
        ([(DOWN, 13, 40)], ["HostDown"]),
        ([(DOWN, 0, 24)], []),
        ([(Alert("NoSpare", "warning"), 13, 24)], []),
        ([(Alert("HostDown", "page", quiet=True), 13, 24)], []),
    ],
    ids=["a page", "still", "from before", "no page", "kept quiet"],
)
def test_pages(spans: list[Span], names: list[str]) -> None:
    assert [one.alert.name for one in sut.pages(monitored(*spans))] == names
