# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alertmanager's configuration: who is told of what, and which alerts hide others, asked of amtool."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.promtool import AMTOOL
from tests.unit.roles.prometheus.rule_cases import alerts
from tests.unit.roles.render import evaluate, render

CASES = yaml.safe_load((Path(__file__).parent / "inhibitions.yml").read_text(encoding="utf-8"))
ODD = 'it\'s "a" {{ name }} \\ #'
RECEIVERS: list[dict[str, Any]] = [
    {"name": "oncall", "severities": ["page"], "watchdog": True, "webhook": {"url": "http://192.0.2.1/a"}},
    {
        "name": ODD,
        "clusters": ["shop.db"],
        "email": {"to": "a@b", "from": "c@d", "smarthost": "e:25", "auth_password": ODD},
    },
    {"name": "raw", "severities": ["ticket"], "configuration": {"webhook_configs": [{"url": "http://192.0.2.1/b"}]}},
]


def program() -> str:
    """Return amtool."""
    found = AMTOOL.find()
    if not found:
        if os.environ.get(AMTOOL.without):
            pytest.skip(f"{AMTOOL.without} is set")
        pytest.fail(f"there is no amtool: run `make promtool`, or set {AMTOOL.without}=1 to do without")
    return found


@pytest.fixture(name="config", scope="module")
def fixture_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("alertmanager") / "alertmanager.yml"
    path.write_text(render("alertmanager", "alertmanager.yml.j2", {"alertmanager_receivers": RECEIVERS}))
    return path


def amtool(*arguments: str) -> str:
    done = subprocess.run([program(), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("receivers", [[], RECEIVERS[:1], RECEIVERS])
def test_amtool_accepts_it(receivers: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "alertmanager.yml"
    variables = {"alertmanager_receivers": receivers, "alertmanager_global": {"resolve_timeout": "5m"}}
    path.write_text(render("alertmanager", "alertmanager.yml.j2", variables))
    assert "SUCCESS" in amtool("check-config", str(path))


def test_what_is_given_arrives(config: Path) -> None:
    receivers = yaml.safe_load(config.read_text())["receivers"]
    assert receivers[2]["name"] == ODD
    assert receivers[2]["email_configs"][0]["auth_password"] == ODD
    assert receivers[3]["webhook_configs"] == [{"url": "http://192.0.2.1/b"}]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["severity=page", "cluster=lab"], "oncall"),
        (["severity=ticket", "cluster=lab"], "raw"),
        (["severity=page", "cluster=shop.db"], f"oncall,{ODD}"),
        (["severity=page", "cluster=shopxdb"], "oncall"),
        (["severity=info", "cluster=lab", "alertname=RollingWork"], "nobody"),
        (["severity=info", "alertname=Watchdog"], "oncall,nobody"),
        (["severity=info", "alertname=TestAlert"], f"oncall,{ODD},raw,nobody"),
    ],
)
def test_who_is_told(labels: list[str], told: str, config: Path) -> None:
    assert amtool("config", "routes", "test", f"--config.file={config}", *labels).strip() == told


MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"(.*)"')


def labels(alert: str) -> dict[str, str]:
    """Return the labels of an alert of the cases."""
    found = dict(zip(("alertname", "group", "cluster", "host"), alert.split(), strict=False))
    return {**found, "severity": "info" if found["group"] == "watch" else "ticket"}


def matches(matchers: list[str], alert: dict[str, str]) -> bool:
    """Return whether all matchers match, as for Alertmanager: a missing label is empty, patterns match whole."""
    for name, operator, value in (MATCHER.fullmatch(matcher).groups() for matcher in matchers):  # type: ignore[union-attr]
        found = alert.get(name, "")
        same = re.fullmatch(value, found) is not None if operator.endswith("~") else found == value
        if same is operator.startswith("!"):
            return False
    return True


def inhibits(rule: dict[str, list[str]], source: dict[str, str], target: dict[str, str]) -> bool:
    """Return whether an alert inhibits another one by a rule; one that matches both sides inhibits none that does."""
    return (
        matches(rule["source_matchers"], source)
        and matches(rule["target_matchers"], target)
        and not (matches(rule["target_matchers"], source) and matches(rule["source_matchers"], target))
        and all(source.get(name, "") == target.get(name, "") for name in rule["equal"])
    )


@pytest.mark.parametrize("case", CASES)
def test_one_fault_is_told_once(case: str, config: Path) -> None:
    rules = yaml.safe_load(config.read_text())["inhibit_rules"]
    every = [labels(alert) for alert in (*CASES[case]["sent"], *CASES[case]["inhibited"])]
    hidden = [target for target in every if any(inhibits(rule, source, target) for rule in rules for source in every)]
    assert hidden == [labels(alert) for alert in CASES[case]["inhibited"]]


def test_inhibitions_name_alerts_that_exist() -> None:
    rules = evaluate("alertmanager", "{{ alertmanager__inhibit_rules }}", {})
    named = {
        name
        for rule in rules
        for matcher in (*rule["source_matchers"], *rule["target_matchers"])
        for label, _operator, value in [MATCHER.fullmatch(matcher).groups()]  # type: ignore[union-attr]
        if label == "alertname"
        for name in value.split("|")
    }
    assert named - alerts().keys() == set()


def test_a_test_alert_must_reach_every_integration() -> None:
    expected = evaluate("alertmanager", "{{ alertmanager__expected }}", {"alertmanager_receivers": RECEIVERS})
    assert expected == [
        {"name": "oncall", "integration": "webhook", "number": 1},
        {"name": ODD, "integration": "email", "number": 1},
        {"name": "raw", "integration": "webhook", "number": 1},
    ]


@pytest.mark.parametrize(("version", "names"), [("0.28.1+ds-1", True), ("0.25.0-1+b4", False)])
def test_receivers_are_named_where_that_is_known(version: str, names: bool) -> None:
    arguments = evaluate("alertmanager", "{{ alertmanager__arguments }}", {"alertmanager_version": version})
    assert ("--enable-feature=receiver-name-in-metrics" in arguments) is names
