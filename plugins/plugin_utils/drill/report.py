# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a drill: report.json, junit.xml, a self-contained report.html, and a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.model import Budget, Ledger, Verdict

Result = tuple[Ledger, Verdict, Budget]


@dataclass(frozen=True, slots=True)
class Run:
    """One drill of one cluster.

    begun: wall clock with time zone; settings: {name: value} the cluster ran with; versions: {software: version};
    load: {"before": …, "during": …} load averages and the number of cores of the machine; skipped: {fault: reason};
    command: how to run it again.
    """

    cluster: str
    begun: datetime
    results: tuple[Result, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    load: Mapping[str, Any] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Say whether anything was judged and nothing broke."""
        return bool(self.results) and not any(verdict.breaches for _ledger, verdict, _budget in self.results)


def write(run: Run, directory: Path) -> None:
    """Write report.json, junit.xml and report.html into a directory, which is made."""
    raise NotImplementedError


def table(run: Run) -> str:
    """Return the results as lines for the terminal, breaches below."""
    raise NotImplementedError
