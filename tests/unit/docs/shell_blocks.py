# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shell commands on the pages that people read."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md")),
    *sorted((ROOT / "docs").glob("*.md")),
)
TABLE: dict[str, list[str]] = yaml.safe_load(Path(__file__).with_name("commands.yml").read_text(encoding="utf-8"))
_FENCE = re.compile(r"^( *)```(\S*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_SHELL = frozenset({"sh", "bash", "shell", "console"})
_INLINE = re.compile(r"`([^`\n]+)`")
_PIPE = re.compile(r"<\([^)]*\)")
_ASSIGNMENT = re.compile(r"\w+=\S*")


@dataclass(frozen=True)
class Command:
    """One command, as its page writes it, without the comment; C(page) is the file's name."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        """The program and its arguments, without assignments before it; what bash reads from a command is a file."""
        words = shlex.split(_PIPE.sub("/dev/fd/63", self.text))
        while words and _ASSIGNMENT.fullmatch(words[0]):
            words = words[1:]
        return words


def blocks(page: Path) -> list[str]:
    """Every fenced shell block of a page."""
    found = _FENCE.findall(page.read_text(encoding="utf-8"))
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, kind, text in found if kind in _SHELL]


def unlabelled(page: Path) -> list[str]:
    """Every fenced block without a language, which no test runs."""
    return [text for _indent, kind, text in _FENCE.findall(page.read_text(encoding="utf-8")) if not kind]


def commands(page: Path) -> Iterator[Command]:
    """The commands of a page's shell blocks, in their order."""
    for block in blocks(page):
        for line in block.replace("\\\n", " ").splitlines():
            text = " ".join(re.sub(r"(^|\s)#.*", "", line).split())
            if text:
                yield Command(page.name, text)


def every_command() -> list[Command]:
    """The commands of all pages."""
    return [command for page in PAGES for command in commands(page)]


def inline(page: Path, program: str) -> list[str]:
    """The texts in a page's prose that are a command of a program."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    starts = re.compile(rf"(\w+=\S+ )*{program} ")
    return [text for text in _INLINE.findall(prose) if starts.match(text)]
