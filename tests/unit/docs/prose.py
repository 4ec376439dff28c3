# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words, sentences, anchors and links of a Markdown page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

_FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
_GENERATED = re.compile(r"<!-- generated: \w+ -->.*?<!-- end -->", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_CODE = re.compile(r"`[^`]+`")
_LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]+)\)")
_ANCHOR = re.compile(r'<a id="([^"]+)">')
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_ITEM = re.compile(r"^ *([-*]|\d+\.) +")
_INDENTED_CODE = re.compile(r" {4,}(?![-*\d ])")
_SENTENCE_END = re.compile(r"(?<=[.!?])[)*\"]*\s+(?=[\"(*]*[A-Z0-9])")
_WORD = re.compile(r"\w")
LITERALS = 3
"""Words up to which a paragraph is a label or a list of literals."""


def without_code(text: str) -> str:
    """The text as it is written by hand, without fenced blocks."""
    return _COMMENT.sub("", _FENCE.sub("", _GENERATED.sub("", text)))


def words(text: str) -> list[str]:
    """What counts as a word: something with a letter or a digit; a code span and a link's address are no words."""
    plain = _LINK.sub(r"\1", _CODE.sub("code", text))
    return [word for word in plain.replace("|", " ").split() if _WORD.search(word)]


def paragraphs(text: str) -> Iterator[str]:
    """Paragraphs and list items, without headings, tables and code."""
    block: list[str] = []
    for line in [*without_code(text).splitlines(), ""]:
        starts = _ITEM.match(line)
        apart = not line.strip() or line.startswith(("#", "|", "![")) or (_INDENTED_CODE.match(line) and not block)
        if (starts or apart) and block:
            yield " ".join(block)
            block = []
        if not apart:
            block.append(_ITEM.sub("", line).strip())


def sentences(text: str) -> list[str]:
    """The sentences of the prose; a colon or a semicolon ends none."""
    found = []
    for paragraph in paragraphs(text):
        plain = _LINK.sub(r"\1", _CODE.sub("Code", paragraph))
        if len(words(plain)) > LITERALS:
            found += [sentence for sentence in _SENTENCE_END.split(plain) if words(sentence)]
    return found


def mean_length(text: str) -> float:
    """The mean number of words of a sentence."""
    found = sentences(text)
    return sum(len(words(sentence)) for sentence in found) / len(found)


def anchors(text: str) -> set[str]:
    """What a link to the page can name after the #, as GitHub makes it from the headings."""
    seen: Counter[str] = Counter()
    made = set(_ANCHOR.findall(text))
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        plain = _LINK.sub(r"\1", heading).replace("`", "").strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        made.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return made


def links(text: str) -> list[str]:
    """The targets of all links and pictures."""
    return [target for _label, target in _LINK.findall(_FENCE.sub("", text))]
