# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status page as a headless Chromium shows it, on a laptop and in a narrow window."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.unit.plugins.plugin_utils.browsing import (
    KINDS,
    NARROW,
    NEEDS_CHROMIUM,
    TEXTS_OF_LOW_CONTRAST,
    opened,
)
from tests.unit.plugins.plugin_utils.status_page import labs

pytestmark = NEEDS_CHROMIUM
TEXTS_THAT_OVERLAP = """() => {
  const texts = '.plot .tick, .hours span, .card h3 span, .card h3 b, .card dt, .card dd';
  const boxes = [...document.querySelectorAll(texts)]
    .map(text => [text.textContent, text.getBoundingClientRect()]);
  return boxes.flatMap(([one, a], number) => boxes.slice(number + 1).filter(([, b]) =>
    a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3)
    .map(([other]) => `${one} / ${other}`));
}"""
WAY_ENDS = """() => [...document.querySelectorAll('svg.ways')].flatMap(svg => {
  const box = svg.getBoundingClientRect();
  const middles = tier => [...tier.children].map(card => {
    const {left, right} = card.getBoundingClientRect();
    return (left + right) / 2;
  });
  const near = (x, tier) => Math.min(...middles(tier).map(middle => Math.abs(middle - x)));
  return [...svg.querySelectorAll('path')].flatMap(path => {
    const [begin, , end] = path.getAttribute('d').match(/[0-9.]+/g).map(x => box.left + x * box.width / 100);
    return [near(begin, svg.previousElementSibling), near(end, svg.nextElementSibling)];
  });
})"""


@pytest.fixture(scope="module", params=["healthy", "troubled", "many"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "status.html"
    path.write_text(labs.page(getattr(labs, request.param)()), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(params=KINDS)
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    with opened(browser, address, request.param) as page:
        yield page


def test_nothing_to_complain_of(page: Page, address: str) -> None:
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith("data:")] == [address]


def test_it_fits_the_window(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    wide = "[...document.querySelectorAll('.wide, .card')].filter(box => box.scrollWidth > box.clientWidth).length"
    assert page.evaluate(wide) == 0


def test_texts_can_be_read(page: Page) -> None:
    assert page.evaluate(TEXTS_OF_LOW_CONTRAST) == []


def test_texts_do_not_run_into_each_other(page: Page) -> None:
    assert page.evaluate(TEXTS_THAT_OVERLAP) == []


def test_the_verdict_is_in_sight_at_once(page: Page) -> None:
    box = page.locator("h1 .chip").bounding_box()
    assert box is not None
    assert 0 <= box["y"] < NARROW["height"] - box["height"]
    assert 0 <= box["x"] < page.evaluate("window.innerWidth") - box["width"]


def test_ways_end_at_cards(page: Page) -> None:
    ends = page.evaluate(WAY_ENDS)
    assert all(end < 10 for end in ends)
    assert page.locator("svg.ways").count() == page.locator(".tier").count() - 1


def test_plots_have_a_size(page: Page) -> None:
    for plot in page.locator(".plot svg").all():
        box = plot.bounding_box()
        assert box is not None
        assert box["width"] > 0.7 * NARROW["width"]
        assert box["height"] >= 30
