# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal's limits, as the role lays them down."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest
import yaml

from tests.unit.roles.render import ROLES, evaluate, render

TASKS = yaml.safe_load((ROLES / "journal/tasks/main.yml").read_text())
LOGS = Path(__file__).resolve().parents[3] / "docs/logs.md"


def test_the_limits() -> None:
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(render("journal", "journald.conf.j2", {"journal_max_use": "512M"}))
    found = dict(parser["Journal"])
    assert (found["Storage"], found["SystemMaxUse"], found["SystemKeepFree"]) == ("persistent", "512M", "1G")
    assert (found["RateLimitIntervalSec"], found["RateLimitBurst"]) == ("30s", "20000")


@pytest.mark.parametrize(
    ("size", "right"), [("2G", True), ("4096", True), ("0", False), ("2 G", False), ("2GB", False), ("20%", False)]
)
def test_a_size_that_journald_would_ignore_is_refused(size: str, right: bool) -> None:
    condition = TASKS[0]["ansible.builtin.assert"]["that"]
    assert evaluate("journal", f"{{{{ {condition} }}}}", {"item": {"key": "journal_max_use", "value": size}}) is right


def test_the_page_has_the_defaults() -> None:
    for name, value in yaml.safe_load((ROLES / "journal/defaults/main.yml").read_text()).items():
        assert f"| `{name}` | `{value}` |" in LOGS.read_text()
