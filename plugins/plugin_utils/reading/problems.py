# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Located problems: what is wrong, where, and the fix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class Opaque:
    """Stands for a value that exists but can't be read: vaulted or templated."""

    def __repr__(self) -> str:
        return "<not shown>"


OPAQUE = Opaque()
TEMPLATE_IN_TEXT = Opaque()
"""Stands for a template that is more than one expression; a secret is never such a template."""
CHANGE = "choose another value for it, with ansible-vault edit"
"""The fix of an unusable secret."""
IN_INI = """in an INI file as Python writes it (True, not true), beside a host within quotes: name='["value"]'"""
"""How to write a list or a mapping in an INI file."""
HIDDEN = Opaque()
"""The value of a problem whose real value must not or need not be shown."""


@dataclass(frozen=True)
class Problem:
    """One refused input: the variable, its value (unless hidden), what is wrong and the fix."""

    where: str
    value: Any
    what: str
    fix: str

    @property
    def variable(self) -> str:
        """The variable, with its value unless that is hidden."""
        return self.where if isinstance(self.value, Opaque) else f"{self.where} = {shorten(self.value)}"

    def __str__(self) -> str:
        return f"{self.variable}: {self.what}. Fix: {self.fix}."


def shorten(value: object, limit: int = 80) -> str:
    """The value as Python writes it, cut to a line's length."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


@dataclass
class Problems:
    """Collects problems, so that all are reported at once; equal ones are kept once."""

    found: list[Problem] = field(default_factory=list)

    def add(self, where: str, value: Any, what: str, fix: str) -> None:
        """Remember one problem."""
        problem = Problem(where, value, what, fix)
        if str(problem) not in map(str, self.found):
            self.found.append(problem)


class TopologyError(ValueError):
    """The inventory cannot be built as it stands; every reason is in C(problems)."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(f"{len(problems)} problem(s) in the topology")
        self.problems = problems

    def describe(self, lines: Mapping[str, int]) -> str:
        """All problems as a numbered list.

        :arg lines: dotted path of a key in the topology file -> its line number.
        """
        return "\n".join(
            f"  {number}. {_line(problem.where, lines)}{problem}" for number, problem in enumerate(self.problems, 1)
        )


def _line(where: str, lines: Mapping[str, int]) -> str:
    """C(line 12: ) of the key or of its nearest ancestor that stands in the file."""
    path = where
    while path:
        if path in lines:
            return f"line {lines[path]}: "
        path = path.rpartition(".")[0]
    return ""
