# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page says, without a browser."""

from __future__ import annotations

import re
from html import unescape

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.observe import observe
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.page.document import figures, percent, watch_figures
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.page.picture import Tier, picture
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.page.watch import Watch

from tests.unit.plugins.plugin_utils import test_status as status
from tests.unit.plugins.plugin_utils.status_page import labs


def text(page: str) -> str:
    """The page's own words."""
    words = re.sub(r"<(style|head)>.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", words)).split())


def tiers(reports: labs.Reports) -> list[Tier]:
    (judged,) = labs.judged(reports)
    return picture(judged.cluster, judged.problems)


def ways(reports: labs.Reports) -> list[list[str]]:
    return [[way.text for way in tier.ways] for tier in tiers(reports)]


def cards(reports: labs.Reports) -> dict[str, tuple[str, str, bool]]:
    return {card.name: (card.kind, card.badge, card.wrong) for tier in tiers(reports) for card in tier.cards}


def test_a_healthy_lab() -> None:
    said = text(labs.page(labs.healthy()))
    for words in (
        "lab healthy",
        "leader db1",
        "synchronous standbys 2",
        "greatest lag 15.8 MiB",
        "since the newest backup 3 min",
        "RPO measured by it 41 s",
        "of the last day with a primary 100 %",
        "None fires.",
        "pooled:6432 on lb2 up db1, db2, db3",
        "backup1 host.crt: ends in 83 d",
    ):
        assert words in said
    assert "Fix:" not in said


def test_a_lab_in_trouble() -> None:
    said = text(labs.page(labs.troubled()))
    for words in (
        "10 problems",
        "db2 : unreachable: Failed to connect to the host via ssh: No route to host Fix: start the host",
        "of the last day with a primary 98.859 %",
        "without one for about 15 min",
        "alerts firing 3",
        "page HostDown db2 db2 answers no scrape what to do 58 min",
        "inhibited ExporterDown db2",
        "primary_power_loss WITHOUT END etcd has no member to spare",
        "updates : 1 package of the stack waits on backup1",
    ):
        assert words in said


def test_the_same_state_gives_the_same_page() -> None:
    assert labs.page(labs.troubled()) == labs.page(labs.troubled())


def test_nothing_from_elsewhere_and_nothing_active() -> None:
    assert not re.search(
        r"<script|<link (?!rel=\"icon\" href=\"data:,\")|src=|url\(|@import", labs.page(labs.troubled())
    )


def test_an_alert_leads_to_its_runbook_only_by_https() -> None:
    reports = labs.troubled()
    alerts = reports["backup1"]["probes"]["prometheus"]["alerts"]
    assert '<a href="https://docs.example/alerts.md#hostdown">' in labs.page(reports)
    for alert in alerts:
        alert["annotations"]["runbook_url"] = "javascript:x()"
    assert "javascript" not in labs.page(reports)


def test_names_are_escaped() -> None:
    reports = labs.troubled()
    reports["db2"]["unreachable"] = "<b onload=x>&"
    reports["backup1"]["probes"]["prometheus"]["alerts"][0]["annotations"]["summary"] = "<img src=x>"
    page = labs.page(reports)
    assert "<b onload" not in page
    assert "<img" not in page
    assert "&lt;b onload=x&gt;&amp;" in page


def test_the_picture_of_a_healthy_lab() -> None:
    assert [tier.title for tier in tiers(labs.healthy())] == ["Virtual IPs", "Balancers", "Databases", "Backups"]
    assert cards(labs.healthy()) == {
        "198.51.100.100": ("vip", "on lb1", False),
        "lb1": ("vip", "holds the VIP", False),
        "lb2": ("idle", "ready", False),
        "db1": ("primary", "leader", False),
        "db2": ("standby", "synchronous standby", False),
        "db3": ("standby", "synchronous standby", False),
        "backup1": ("idle", "", False),
    }
    assert ways(labs.healthy()) == [
        [],
        ["lb1 holds 198.51.100.100"],
        [
            "lb1 to db2: reads only",
            "lb1 to db3: reads only",
            "lb2 to db2: reads only",
            "lb2 to db3: reads only",
            "lb1 to db1: writes",
            "lb2 to db1: writes",
        ],
        ["db1 archives WAL"],
    ]


def test_the_picture_of_a_lost_host() -> None:
    reports = labs.troubled()
    seen = cards(reports)
    assert seen["db2"] == ("off", "unreachable", True)
    assert seen["backup1"] == ("idle", "", True)
    assert not seen["lb1"][2]
    assert "lb1 to db2: down" in ways(reports)[2]


def test_a_host_in_maintenance_is_no_problem() -> None:
    reports = labs.troubled()
    mark = {"host": "db2", "since": "2026-11-30 11:00 UTC", "reason": "new disk", "by": "ann"}
    for report in reports.values():
        if report["probes"]:
            report["probes"]["maintenance"] = {"marks": [mark]}
    assert cards(reports)["db2"] == ("off", "maintenance", False)
    assert "why new disk" in text(labs.page(reports))


def test_no_balancer_has_the_address() -> None:
    reports = labs.healthy()
    reports["lb1"]["probes"]["vrrp"]["held"] = []
    assert cards(reports)["198.51.100.100"] == ("off", "on no host", True)
    assert ways(reports)[1] == []


def test_a_tier_of_many_hosts_has_no_ways() -> None:
    assert [bool(tier.ways) for tier in tiers(labs.many())] == [False, False, False, True]


def test_nothing_answers() -> None:
    reports = labs.healthy()
    for report in reports.values():
        report |= {"unreachable": "timed out", "probes": None}
    said = text(labs.page(reports))
    assert "leader none" in said
    assert "The host of Prometheus, backup1, gave no answer." in said
    assert {kind for kind, _badge, _wrong in cards(reports).values()} == {"off"}


def test_clusters_stand_below_each_other() -> None:
    reports = labs.healthy()
    other = {f"other-{name}": report for name, report in labs.troubled().items()}
    for name, report in other.items():
        report["ha"] |= {"cluster": "other", "name": name}
    page = labs.page(reports | other)
    assert page.count("<article") == 2
    assert '<a href="#other">' in page
    assert "<title>lab: healthy, other: " in page


def test_no_host_at_all() -> None:
    assert "no cluster" in labs.page({})


@pytest.mark.parametrize(
    ("share", "shown"), [(1.0, "100 %"), (0.9999999, "99.999 %"), (0.98859, "98.859 %"), (0.5, "50 %"), (0.0, "0 %")]
)
def test_only_all_of_it_is_all(share: float, shown: str) -> None:
    assert percent(share) == shown


def test_figures_without_backup_and_watch() -> None:
    reports = {name: report for name, report in status.lab().items() if name != "backup1"}
    (cluster,) = observe(reports)
    assert [figure.name for figure in figures(cluster)][:3] == ["leader", "synchronous standbys", "greatest lag"]
    assert not any("backup" in figure.name for figure in figures(cluster))
    assert list(watch_figures(Watch(), None)) == []
