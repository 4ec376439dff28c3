# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages that people read are short and plain, and their links lead somewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE

from tests.unit.docs.prose import anchors, links, mean_length, sentences, without_code, words
from tests.unit.docs.shell_blocks import PAGES, ROOT

GENERATED = {"variables.md", "playbooks.md"}
WRITTEN = [page for page in PAGES if page.name not in GENERATED]
LINKING = [*PAGES, *sorted(ROOT.glob("roles/*/README.md"))]
README_LINES, README_WORDS, PAGE_WORDS = 100, 900, 1500
MEAN_SENTENCE, LONGEST_SENTENCE, LINE = 18, 40, 120
RIDDLES = ("nobody", "somebody", "everybody", "whoever", "anew", "tells", "told", "wished", "thereof", "whereof")
"""Words that took the place of the field's terms."""


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_readme_is_short():
    text = read(ROOT / "README.md")
    assert len(text.splitlines()) <= README_LINES
    assert len(words(without_code(text))) <= README_WORDS


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_a_page_is_short(page):
    assert len(words(without_code(read(page)))) <= PAGE_WORDS


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_sentences_are_short(page):
    text = read(page)
    assert mean_length(text) <= MEAN_SENTENCE
    assert [sentence for sentence in sentences(text) if len(words(sentence)) > LONGEST_SENTENCE] == []


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_lines_are_short(page):
    """A row of a table is one line, and so is a link, which can't be broken."""
    lines = [line for line in read(page).splitlines() if not line.startswith("|") and " " in line.strip()]
    assert [line for line in lines if len(line) > LINE] == []


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_words_are_plain(page):
    text = re.sub(r"`[^`]+`", "", without_code(read(page)))
    assert [word for word in RIDDLES if re.search(rf"\b{word}\b", text, re.IGNORECASE)] == []


@pytest.mark.parametrize("page", LINKING, ids=name)
def test_links_lead_somewhere(page):
    wrong = []
    for link in links(read(page)):
        target, _sign, anchor = link.partition("#")
        if "://" in link:
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists():
            wrong.append(f"{link}: no such file")
        elif anchor and anchor not in anchors(read(path)):
            wrong.append(f"{link}: no such heading")
    assert wrong == []


def test_pages_named_elsewhere_exist():
    """Messages, comments and documentation of plugins, roles and playbooks name pages by their paths."""
    pattern = r"docs/[a-z-]+\.md(#[a-z0-9-]+)?"
    places = ("plugins", "roles", "playbooks", "inventory", "lab", "molecule", "tests/acceptance")
    found = subprocess.run(
        ["git", "grep", "-hoE", pattern, "--", *places],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    named = {place.partition("#")[::2] for place in found.stdout.split()}
    assert named
    wrong = [
        f"{page}#{anchor}"
        for page, anchor in named
        if not (ROOT / page).is_file() or (anchor and anchor not in anchors(read(ROOT / page)))
    ]
    assert sorted(wrong) == []


def test_the_drills_page_has_every_fault():
    section = read(ROOT / "docs/drill.md").partition("## Faults")[2].partition("\n## ")[0]
    rows = "".join(line for line in section.splitlines() if line.startswith("|"))
    assert sorted(re.findall(r"`(\w+)`", rows)) == sorted(CATALOGUE)


TEXT = """\
# One `heading`, two

A sentence of six words here. Another one, [with a link](docs/x.md#y)! (It ends: `code in it`
and goes on.) *Version* 3.0.2 is no end.

| a table | is no prose. Nor this. |
|---|---|

```sh
no prose. Nor this.
```

- an item that is a sentence
- `literal`, `literal`

# One `heading`, two
"""


def test_sentences_are_counted():
    assert [len(words(sentence)) for sentence in sentences(TEXT)] == [6, 5, 6, 5, 6]
    assert mean_length(TEXT) == 5.6


def test_anchors_are_those_of_headings():
    assert anchors(TEXT) == {"one-heading-two", "one-heading-two-1"}
    assert links(TEXT) == ["docs/x.md#y"]
