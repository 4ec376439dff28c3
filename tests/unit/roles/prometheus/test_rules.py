# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alert rules: promtool reads them, each fires when it should and not otherwise, and has a section to read."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from scripts.promtool import PROMTOOL
from tests.unit.docs.prose import anchors
from tests.unit.roles.prometheus.rule_cases import RULES, alerts, both_tests, cases, groups, write
from tests.unit.roles.render import ROLES, evaluate, render

ROOT = ROLES.parent
ALERTS, CASES = alerts(), cases()
RULES_BY_NAME = {path.stem: path for path in RULES}
ALWAYS = {"Watchdog"}
RECORDED = [line.split() for line in (Path(__file__).parent / "metrics.txt").read_text(encoding="utf-8").splitlines()]
OURS = {
    line
    for line in (Path(__file__).parent / "own_metrics.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
}
# What is no metric in an expression: functions, keywords and labels.
WORDS = re.compile(r"\b[a-z_:A-Z][\w:]*\b(?!\s*\()")


def promtool(*arguments: str) -> str:
    """Return what promtool says, "" where it accepts; skip the test where it is not wanted."""
    program = PROMTOOL.find()
    if not program:
        if os.environ.get(PROMTOOL.without):
            pytest.skip(f"{PROMTOOL.without} is set")
        pytest.fail(f"there is no promtool: run `make promtool`, or set {PROMTOOL.without}=1 to do without")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_promtool_accepts_the_rules(path: Path) -> None:
    assert promtool("check", "rules", str(path)) == ""


def test_promtool_accepts_the_limits(tmp_path: Path) -> None:
    limits = tmp_path / "limits.yml"
    limits.write_text(render("prometheus", "limits.yml.j2", {"prometheus_limits": {"wal_ratio": 9}}))
    assert promtool("check", "rules", str(limits)) == ""
    assert "vector(9)" in limits.read_text()


@pytest.mark.parametrize("file", sorted({case["file"] for case in CASES.values()}))
def test_each_alert_fires_when_it_should_and_not_otherwise(file: str, tmp_path: Path) -> None:
    wanted = [
        test for name in CASES if CASES[name]["file"] == file for test in both_tests(name, ALERTS[name], CASES[name])
    ]
    for path in write(tmp_path, RULES_BY_NAME[file], wanted):
        assert promtool("test", "rules", str(path)) == ""


def test_every_alert_has_both_cases() -> None:
    assert CASES.keys() == ALERTS.keys()
    assert {name for name, both in CASES.items() if not both["fires"]["alerts"]} == set()
    assert {name for name, both in CASES.items() if "quiet" not in both} == ALWAYS
    assert {name: both["file"] for name, both in CASES.items()} == {name: rule["file"] for name, rule in ALERTS.items()}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_to_do_and_where_to_read(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["group"] == rule["file"]
    assert rule["labels"]["severity"] in (("info",) if rule["file"] == "watch" else ("page", "ticket"))
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert "{{" not in rule["annotations"]["description"]
    page, _hash, anchor = rule["annotations"]["runbook_url"].rpartition("/docs/")[2].partition("#")
    assert anchor == name.lower()
    assert anchor in anchors((ROOT / "docs" / page).read_text(encoding="utf-8"))


def test_the_pages_have_no_section_of_another_alert() -> None:
    known = {name.lower() for name in ALERTS}
    for page in ("alerts.md", "alerts-upkeep.md"):
        headings = re.findall(r"^### (.*)$", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert {heading for heading in headings if heading.lower() not in known} == set()


def metrics(expression: str) -> set[str]:
    """Return the metrics of an expression."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\"[^\"]*\"|(?:by|on) \([^)]*\)", "", expression)
    keywords = {"and", "or", "unless", "by", "on", "group_left", "group_right", "bool", "offset"}
    return {word for word in WORDS.findall(bare) if word not in keywords and not re.fullmatch(r"\d\w*|d|e", word)}


def test_every_metric_is_one_that_is_exported() -> None:
    rules = [rule for path in RULES for group in groups(path) for rule in group["rules"]]
    known = {name for _job, name in RECORDED} | OURS | {rule["record"] for rule in rules if "record" in rule}
    used = {name for rule in rules for name in metrics(rule["expr"])}
    assert used - known - {"up", "holdfast:limit"} == set()


def test_every_limit_is_one_that_a_rule_uses() -> None:
    expressions = "".join(rule["expr"] for rule in ALERTS.values())
    assert evaluate("prometheus", "{{ prometheus__limits | list | sort }}", {}) == sorted(
        set(re.findall(r'holdfast:limit\{name="(\w+)"\}', expressions))
    )
    spec = yaml.safe_load((ROLES / "prometheus/meta/argument_specs.yml").read_text(encoding="utf-8"))
    options = spec["argument_specs"]["main"]["options"]["prometheus_limits"]["options"]
    defaults = evaluate("prometheus", "{{ prometheus__default_limits }}", {})
    assert options.keys() == defaults.keys()
    told = {name: option["default"] for name, option in options.items() if "default" in option}
    assert told.items() <= defaults.items()


def test_the_role_installs_every_file_of_rules() -> None:
    sources = evaluate("prometheus", "{{ prometheus__rule_files | map(attribute='source', default='') | list }}", {})
    assert sorted(filter(None, sources)) == [f"rules/{path.name}" for path in RULES]
