# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alert rules, and the cases that raise them, as a test of promtool's.

A case has C(series), each a metric with labels and values; C(@) stands for the label of the cluster C(lab), C(@db1) for
that and the label of the host. Values follow each other by C(interval), 15s unless given. C(at) is when to look.
C(alerts) are what is expected then: labels besides those of the rule and the cluster, and the summary.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.unit.roles.render import ROLES, render

RULES = sorted((ROLES / "prometheus" / "files" / "rules").glob("*.yml"))
CASES = Path(__file__).parent / "cases"
CLUSTER = "lab"


def groups(path: Path) -> list[dict[str, Any]]:
    """Return the groups of a file of rules."""
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    return found


def alerts() -> dict[str, dict[str, Any]]:
    """Return the alert rules by name, with the name of their file."""
    return {
        rule["alert"]: {**rule, "file": path.stem}
        for path in RULES
        for group in groups(path)
        for rule in group["rules"]
        if "alert" in rule
    }


def cases() -> dict[str, dict[str, Any]]:
    """Return the cases by the alert's name, with the name of their file."""
    return {
        name: {**both, "file": path.stem}
        for path in sorted(CASES.glob("*.yml"))
        for name, both in yaml.safe_load(path.read_text(encoding="utf-8")).items()
    }


def _series(text: str) -> dict[str, str]:
    metric, _space, values = text.partition("} ")
    host = re.sub(r"@(\w+)", rf'cluster="{CLUSTER}",host="\1"', metric)
    return {"series": re.sub("@", f'cluster="{CLUSTER}"', host) + "}", "values": values}


def _expected(rule: Mapping[str, Any], alert: Mapping[str, Any]) -> dict[str, Any]:
    cluster = {"cluster": CLUSTER} if alert.get("cluster", True) else {}
    return {
        "exp_labels": {**rule["labels"], **cluster, **alert["labels"]},
        "exp_annotations": {**rule["annotations"], "summary": alert["summary"]},
    }


def _test(name: str, rule: Mapping[str, Any], kind: str, case: Mapping[str, Any]) -> dict[str, Any]:
    expected = [_expected(rule, alert) for alert in case.get("alerts", ())]
    return {
        "name": f"{name} {kind}",
        "interval": case.get("interval", "15s"),
        "input_series": [_series(text) for text in case["series"]],
        "alert_rule_test": [{"alertname": name, "eval_time": case["at"], "exp_alerts": expected}],
    }


def both_tests(name: str, rule: Mapping[str, Any], both: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield promtool's tests of an alert."""
    for kind in ("fires", "quiet"):
        if kind in both:
            yield _test(name, rule, kind, both[kind])


def write(folder: Path, rules: Path, wanted: list[dict[str, Any]]) -> Iterator[Path]:
    """Write the limits, and a file of tests of a file of rules for each interval; yield the latter."""
    (folder / "limits.yml").write_text(render("prometheus", "limits.yml.j2", {}), encoding="utf-8")
    for interval in sorted({test["interval"] for test in wanted}):
        document = {
            "rule_files": [str(folder / "limits.yml"), str(rules)],
            "evaluation_interval": interval,
            "tests": [test for test in wanted if test["interval"] == interval],
        }
        path = folder / f"tests-{interval}.yml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        yield path
