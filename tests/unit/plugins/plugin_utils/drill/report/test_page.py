# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page as a headless Chromium shows it, on a laptop and in a narrow window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import BUDGETS
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report import files as report
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.files import Run
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.alerts import Alerts, Due
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.analysis import judge
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.budgets import Timings, default_budget
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Alert, Budget
from playwright.sync_api import Browser, Page

from tests.unit.plugins.plugin_utils.browsing import (
    KINDS,
    NARROW,
    NEEDS_CHROMIUM,
    OVERLAPPING_TEXTS,
    TEXTS_OF_LOW_CONTRAST,
    opened,
)
from tests.unit.plugins.plugin_utils.drill.ledgers import monitored, recorded

pytestmark = NEEDS_CHROMIUM

ANY = Budget(writes=None)


@pytest.fixture(scope="module")
def address(run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("page")
    real, budget = recorded("switchover-1"), default_budget(BUDGETS["switchover"], Timings())
    wrong = monitored((Alert("ReplicationLag", "ticket", "db3"), 26, 40), fault="etcd_quorum_lost")
    last = (wrong, judge(wrong, ANY, Alerts((Due(("EtcdNoQuorum",), 80.0),))), ANY)
    results = (*run.results[:-1], last, (real, judge(real, budget), budget))
    report.write(replace(run, results=results), directory)
    return (directory / "report.html").as_uri()


@pytest.fixture(params=KINDS)
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    with opened(browser, address, request.param) as page:
        yield page


@pytest.fixture
def unfolded(page: Page) -> Page:
    """The page with every injection open: what a folded one measures, Chromium may not have laid out."""
    for details in page.locator("details").all():
        details.evaluate("element => element.open = true")
    return page


def test_nothing_to_complain_of(page: Page, address: str) -> None:
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith("data:")] == [address]


def test_it_fits_the_window(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    wide = "[...document.querySelectorAll('.wide, pre, figure')].some(box => box.scrollWidth > box.clientWidth)"
    assert not page.evaluate(wide)


def test_one_repetition_of_each_fault_is_open(page: Page) -> None:
    opened = page.locator("section.fault").evaluate_all("list => list.map(s => s.querySelectorAll('[open]').length)")
    assert opened == [1, 1, 1, 1]


def test_every_injection_has_its_plot(unfolded: Page) -> None:
    plots = unfolded.locator("figure svg")
    assert plots.count() == 5
    for plot in plots.all():
        box = plot.bounding_box()
        assert box is not None
        assert box["width"] > 0.8 * (page_width := unfolded.evaluate("window.innerWidth"))
        assert page_width >= box["width"]
        assert box["height"] > 300
        shown = plot.locator("text").all_text_contents()
        assert "seconds since the injection" in shown
        assert {"injected", "promoted", "healed", "rejoined"} <= set(shown)
        assert any(text.startswith("VIP on ") for text in shown)
        assert any("without an" in text for text in shown)


def test_the_verdict_is_in_sight_at_once(page: Page) -> None:
    for part in (page.locator("h1 .chip"), page.locator(".lead"), page.locator(".summary .chip").first):
        box = part.bounding_box()
        assert box is not None
        assert 0 <= box["y"] < NARROW["height"] - box["height"]
        assert 0 <= box["x"] < page.evaluate("window.innerWidth") - box["width"]
    assert page.locator(".lead").inner_text().startswith("4 acknowledged rows lost; ")
    assert "; 1 injection not judged." in page.locator(".lead").inner_text()


def test_no_column_is_empty(page: Page) -> None:
    empty = page.evaluate("""() => {
      const rows = [...document.querySelectorAll('.summary tbody tr')].filter(row => !row.querySelector('[colspan]'));
      const filled = cell => cell.querySelector('svg') || !['', '–'].includes(cell.textContent.trim());
      return [...document.querySelectorAll('.summary thead th')].filter((_, at) =>
        !rows.some(row => filled(row.cells[at]))).map(head => head.textContent);
    }""")
    assert empty == []
    heads = page.locator(".summary thead th").all_text_contents()
    assert "Via PgBouncermedian" not in heads
    assert heads[:2] == ["Fault", "Verdict"]


def test_the_alerts_have_a_table_and_lanes(unfolded: Page) -> None:
    rows = unfolded.locator(".heard tbody tr").evaluate_all(
        "list => list.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert rows == [
        ["Primary power loss", "HostDown", "db1", "3.00 s", "5.00 s", "2.00 s"],
        ["Primary power loss", "EtcdNoSpare", "the cluster", "5.00 s", "–", "0.00 s"],
        ["Primary power loss", "MemberDownkept quiet by another or a silence", "db1", "4.00 s", "–", "2.00 s"],
        ["etcd quorum lost", "EtcdNoQuorum", "the cluster", "–", "80.0 s", "–"],
        ["etcd quorum lost", "ReplicationLag", "db3", "16.0 s", "–", "–"],
    ]
    shown = unfolded.locator("figure svg").first.locator("text").all_text_contents()
    assert {"HostDown +3.00 s", "EtcdNoSpare +5.00 s", "alert on db1", "alert"} <= set(shown)
    assert not any("MemberDown" in text or "Watchdog" in text for text in shown)


def test_what_was_not_judged_is_in_the_summary(page: Page) -> None:
    rows = page.locator(".summary tbody tr").all_inner_texts()
    assert any(row.split("\n")[0] == "Standby lost" and "not judged" in row and "still runs" in row for row in rows)


def test_each_fault_is_described_and_the_legend_comes_first(page: Page) -> None:
    sentences = page.locator("section.fault .what").all_inner_texts()
    assert sentences[0].startswith("The primary loses power: the links of the container go down")
    assert len(sentences) == page.locator("section.fault").count()
    legend, chart = (page.locator(at).first.bounding_box() for at in (".legend", "figure svg"))
    assert legend is not None
    assert chart is not None
    assert legend["y"] < chart["y"]


def test_the_cluster_is_named(page: Page) -> None:
    told = page.locator(".cluster").inner_text()
    assert "PostgreSQL with Patroni" in told
    assert "the drill's clients" in told
    assert "17.6" in told


def test_what_broke_is_said_in_words(page: Page) -> None:
    broken = page.locator("section.broken").inner_text()
    assert "4 acknowledged rows not on the leader db2: w1/1, w1/2, w1/3, w1/4" in broken
    assert "no acknowledged write for 4.00 s, the budget is 3.00 s" in broken


def test_texts_can_be_read(unfolded: Page) -> None:
    assert unfolded.evaluate(TEXTS_OF_LOW_CONTRAST) == []


def test_texts_in_plots_do_not_run_into_each_other(unfolded: Page) -> None:
    assert unfolded.evaluate(OVERLAPPING_TEXTS) == []


def test_lanes_are_named_in_full(unfolded: Page) -> None:
    """No text of a plot reaches beyond the picture."""
    beyond = unfolded.evaluate("""() => [...document.querySelectorAll('figure svg')].flatMap(svg => {
      const frame = svg.getBoundingClientRect();
      return [...svg.querySelectorAll('text')].filter(text => {
        const box = text.getBoundingClientRect();
        return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1);
      }).map(text => text.textContent);
    })""")
    assert beyond == []


def test_it_is_the_file_alone(address: str) -> None:
    assert Path(address.removeprefix("file://")).stat().st_size < 2_000_000
