# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alerts that the faults expect, against the rules that raise them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import LONGEST_ALERT

RULES = Path(__file__).resolve().parents[5] / "roles/prometheus/files/rules"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
FAULTS = pytest.mark.parametrize("fault", CATALOGUE.values(), ids=CATALOGUE)


@pytest.fixture(scope="module")
def rules() -> dict[str, Any]:
    """The rules of all alerts by their names."""
    groups = [group for path in RULES.glob("*.yml") for group in yaml.safe_load(path.read_text())["groups"]]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


@FAULTS
def test_every_expected_alert_exists(fault, rules) -> None:
    assert fault.alerts.names <= rules.keys()


@FAULTS
def test_an_alert_is_not_expected_before_its_rule_can_raise_it(fault, rules) -> None:
    for due in fault.alerts.must:
        assert min(seconds(rules[name].get("for", "0s")) for name in due.names) < due.seconds


@FAULTS
def test_a_dead_man_s_timer_outlasts_the_wait_for_alerts(fault) -> None:
    assert fault.alerts.latest <= LONGEST_ALERT


def seconds(duration: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([smhd])", duration).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]
