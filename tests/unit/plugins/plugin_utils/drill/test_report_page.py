# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page as a headless Chromium shows it on a laptop."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report import files as report
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.files import Run
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import ledger_file
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.analysis import judge
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.budgets import Timings, default_budget
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LAPTOP = {"width": 1366, "height": 768}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium")

TEXTS_OF_LOW_CONTRAST = """() => {
  const channel = value => value <= 10.3 ? value / 3294 : ((value / 255 + 0.055) / 1.055) ** 2.4;
  const light = colour => {
    const [red, green, blue] = colour.match(/[0-9.]+/g).map(Number).map(channel);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (colour !== 'rgba(0, 0, 0, 0)') return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const own = element => [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
  return [...document.querySelectorAll('body *:not(svg *):not(code)')].filter(own).filter(element => {
    const [one, other] = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => b - a);
    return (one + 0.05) / (other + 0.05) < 4.5;
  }).map(element => element.textContent.trim());
}"""
OVERLAPPING_TEXTS = """() => [...document.querySelectorAll('figure svg')].flatMap(svg => {
  const boxes = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()])
    .filter(([, box]) => box.width);
  return boxes.flatMap(([one, a], number) => boxes.slice(number + 1).filter(([, b]) =>
    a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3)
    .map(([other]) => `${one} / ${other}`));
})"""


@pytest.fixture(scope="module")
def address(run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("page")
    recorded = ledger_file.read(Path(__file__).parent / "data/switchover-1.ledger.json.gz")
    budget = default_budget("switchover", Timings())
    report.write(replace(run, results=(*run.results, (recorded, judge(recorded, budget), budget))), directory)
    return (directory / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    page = browser.new_page(viewport=LAPTOP, color_scheme=request.param)
    page.complaints = []  # type: ignore[attr-defined]
    page.requests = []  # type: ignore[attr-defined]
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda asked: page.requests.append(asked.url))
    page.goto(address)
    yield page
    page.close()


@pytest.fixture
def unfolded(page: Page) -> Page:
    """The page with every injection open: what a folded one measures, Chromium may not have laid out."""
    for details in page.locator("details").all():
        details.evaluate("element => element.open = true")
    return page


def test_nothing_to_complain_of(page: Page, address: str) -> None:
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith("data:")] == [address]


def test_it_fits_a_laptop(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= LAPTOP["width"]
    wide = "[...document.querySelectorAll('.wide, pre')].filter(box => box.scrollWidth > box.clientWidth).length"
    assert page.evaluate(wide) == 0


def test_one_repetition_of_each_fault_is_open(page: Page) -> None:
    opened = page.locator("section.fault").evaluate_all("list => list.map(s => s.querySelectorAll('[open]').length)")
    assert opened == [1, 1, 1, 1]


def test_every_injection_has_its_plot(unfolded: Page) -> None:
    plots = unfolded.locator("figure svg")
    assert plots.count() == 5
    for plot in plots.all():
        box = plot.bounding_box()
        assert box is not None
        assert box["width"] > 1100
        assert box["height"] > 300
        shown = plot.locator("text").all_text_contents()
        assert "seconds since the injection" in shown
        assert {"injected", "promoted", "healed", "rejoined"} <= set(shown)
        assert any(text.startswith("VIP on ") for text in shown)
        assert any("without an" in text for text in shown)


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
