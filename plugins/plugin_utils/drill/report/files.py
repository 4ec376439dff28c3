# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a drill: report.json, junit.xml, a self-contained report.html, and a table for the terminal."""

from __future__ import annotations

import json
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.data import as_data
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.junit import as_junit
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.page import as_page
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.table import as_table
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.run import Result, Run

__all__ = ["Result", "Run", "table", "write"]


def write(run: Run, directory: Path) -> None:
    """Write report.json, junit.xml and report.html into a directory, which is created if needed."""
    directory.mkdir(parents=True, exist_ok=True)
    contents = {
        "report.json": json.dumps(as_data(run), indent=1, ensure_ascii=False) + "\n",
        "junit.xml": as_junit(run),
        "report.html": as_page(run),
    }
    for name, text in contents.items():
        (directory / name).write_text(text, encoding="utf-8")


def table(run: Run) -> str:
    """Return the results as lines for the terminal, followed by breaches and skipped faults."""
    return as_table(run)
