# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report import files as report
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.files import Run
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.timeline import timeline
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import alerts, consistency, invariants
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.analysis import judge
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.run import Result, Unjudged
from jsonschema import Draft202012Validator

from tests.unit.plugins.plugin_utils.drill.ledgers import BUDGET, ledger

ROOT = Path(__file__).resolve().parents[6]
SCHEMA = json.loads((ROOT / "docs/drill-report.schema.json").read_text())
BROKEN = ["lost_acknowledged", "over_budget", "over_budget"]


@pytest.fixture(scope="module")
def written(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("reports") / "20261123-150000"
    report.write(run, directory)
    return directory


def test_the_files(written: Path) -> None:
    assert sorted(path.name for path in written.iterdir()) == ["junit.xml", "report.html", "report.json"]


def test_the_json_keeps_to_its_schema(written: Path) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    document = json.loads((written / "report.json").read_text())

    Draft202012Validator(SCHEMA).validate(document)

    assert document["passed"] is False
    assert [(fault["fault"], fault["passed"], fault["lost"]) for fault in document["faults"]] == [
        ("primary_power_loss", True, 0),
        ("primary_cut_from_peers", False, 4),
        ("etcd_quorum_lost", True, 0),
    ]
    first = document["faults"][0]
    assert [one["name"] for one in first["injections"][0]["alerts"]] == ["HostDown", "MemberDown", "EtcdNoSpare"]
    assert first["injections"][1]["alerts"] is None
    assert first["rto"] == {"min": 4.0, "median": 4.0, "max": 4.0}
    assert first["injections"][0]["write_gap"] == [0.0, 4.0]
    assert first["injections"][0]["recorded"] == {"begun": -5.0, "healed": 10.0, "ended": 20.0}
    assert first["injections"][0]["events"][1] == {
        "at": 2.8,
        "kind": "detected",
        "subject": "db1",
        "text": "lease expired",
    }
    assert document["hosts"][0] == {"name": "db1", "address": "192.0.2.11", "components": ["etcd", "postgresql"]}
    assert first["description"] == (
        "The primary loses power: the links of the container go down, then it is killed; afterwards it is started. "
        "The fault lasts 5 to 90 s, until writes flow again on another member."
    )
    assert document["prediction"]["faults"]["primary_power_loss"]["stages"][0]["name"] == "lease"
    assert document["prediction"]["unpredicted"]["etcd_quorum_lost"] == "only healing ends it"
    lost = document["faults"][1]["injections"][0]
    assert lost["lost"] == [["w1", 1], ["w1", 2], ["w1", 3], ["w1", 4]]
    assert [breach["rule"] for breach in lost["breaches"]] == BROKEN


def test_every_rule_is_in_the_schema() -> None:
    source = "".join(
        Path(module).read_text()
        for module in (invariants.__file__, alerts.__file__, consistency.__file__, report.__file__)
    )
    rules = SCHEMA["$defs"]["injection"]["properties"]["breaches"]["items"]["properties"]["rule"]["enum"]
    named = {part.split('"')[0] for part in source.split('Breach("')[1:]}
    assert named <= set(rules)
    assert set(rules) - named == {"over_budget", "over_predicted"}


def test_junit_has_a_case_for_each_injection(written: Path) -> None:
    suite = ET.parse(written / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    cases = {case.get("name"): [(child.tag, child.get("type")) for child in case] for case in suite.iter("testcase")}
    counts = {name: suite.get(name) for name in ("tests", "failures", "skipped", "errors")}

    assert cases["primary_power_loss 1"] == [("system-out", None)]
    assert [rule for tag, rule in cases["primary_cut_from_peers 1"] if tag == "failure"] == BROKEN
    assert [tag for tag, _rule in cases["wal_disk_full"]] == ["skipped"]
    assert counts == {"tests": "6", "failures": "3", "skipped": "1", "errors": "1"}


def test_people_read_what_was_predicted(written: Path) -> None:
    told = "3.3 to 10.0 s, median 4.6 s: lease 3.6 s, notice 0.1 s, race 0.1 s"
    outputs = {
        case.get("name"): case.findtext("system-out")
        for case in ET.parse(written / "junit.xml").getroot().iter("testcase")
    }
    assert f"\npredicted: {told}" in str(outputs["primary_power_loss 1"])
    assert "predicted" not in str(outputs["etcd_quorum_lost 1"])
    page = (written / "report.html").read_text()
    assert page.count("<dt>Predicted</dt>") == 3
    assert f"<dd>{told}" in page


def test_junit_says_when_the_drill_ended_early(run: Run, tmp_path: Path) -> None:
    stopped = replace(run, results=run.results[:0], skipped={}, unjudged=(), failure="stopped")
    report.write(stopped, tmp_path)
    suite = ET.parse(tmp_path / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert suite.get("errors") == "1"


def test_the_table(run: Run) -> None:
    lines = report.table(run).splitlines()

    assert lines[0] == "Drill of lab: FAILED, 4 injections judged in 754 s"
    assert lines[2].split() == [
        *("primary_power_loss", "2", "4.00", "s", "(4.00–4.00", "s)", "5.00", "s", "4.50", "s"),
        *("0.20", "s", "12.2", "s", "0", "4", "ok"),
    ]
    assert lines[3].endswith("FAILED: lost_acknowledged, over_budget")
    assert (
        "  2. primary_cut_from_peers 1: no acknowledged write for 4.00 s, the budget is 3.00 s [over_budget]" in lines
    )
    assert "Where the time went: gate before 4 s, fault 40 s, rows 2 s" in lines
    assert lines[-1] == "  1. wal_disk_full: no volume of its own"


def test_clients_of_poolers_are_told_apart(run: Run, tmp_path: Path) -> None:
    waits = iter((1.25, 1.75))

    def pooled(result: Result) -> Result:
        ledger, verdict, budget = result
        return ledger, replace(verdict, pooled_gap=next(waits), pooled_errors=3), budget

    both = replace(run, results=tuple(map(pooled, run.results[:2])))
    assert " 1.50 s (1.75 s) " in report.table(both)
    report.write(both, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert '<td class="n">1.50 s<small>1.75 s at most</small><small>6 errors</small></td>' in page
    (fault,) = json.loads((tmp_path / "report.json").read_text())["faults"]
    assert fault["pooled_gap"] == {"min": 1.25, "median": 1.5, "max": 1.75}


@pytest.mark.parametrize(
    ("results", "failure", "unjudged", "passed"),
    [(2, "", 0, True), (0, "", 0, False), (3, "", 0, False), (2, "stopped", 0, False), (2, "", 1, False)],
)
def test_what_passes(run: Run, results: int, failure: str, unjudged: int, passed: bool) -> None:
    left = (Unjudged("primary_hang", 1, "not proven: its agent answers"),) * unjudged
    assert replace(run, results=run.results[:results], failure=failure, unjudged=left).passed is passed


def test_the_page_needs_nothing_else(written: Path) -> None:
    page = (written / "report.html").read_text()
    addresses = page.replace("http://www.w3.org", "")
    assert "<script" not in page
    assert "http://" not in addresses
    assert "https://" not in addresses
    assert "#0101" not in page
    assert "&lt;nft&gt; &amp; 12 packets dropped" in page


def test_ids_are_unique_on_the_page(written: Path) -> None:
    page = (written / "report.html").read_text()
    ids = [part.split('"')[0] for part in page.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("gap", "lines", "anchor"),
    [
        ((10.0, 15.0), ["5.00 s without an", "acknowledged write"], "middle"),
        ((10.0, 11.0), ["1.00 s without an acknowledged write"], None),
        ((29.0, 30.0), ["1.00 s without an acknowledged write"], "end"),
    ],
)
def test_the_gap_is_named_where_there_is_room(gap: tuple[float, float], lines: list[str], anchor: str | None) -> None:
    calm = ledger()
    verdict = replace(judge(calm, BUDGET), rto=gap[1] - gap[0], write_gap=gap)
    root = ET.fromstring(timeline(calm, verdict, replace(BUDGET, writes=None), "x"))
    texts = {text.text: text.get("style", "") for text in root.iter() if text.tag.endswith("text") and text.text}
    assert set(lines) <= set(texts)
    assert ("text-anchor: end" in texts[lines[0]]) == (anchor == "end")


def test_plots_are_only_loaded_for_a_page() -> None:
    program = (
        "import sys\n"
        "from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report import files as report\n"
        "sys.exit('matplotlib' in sys.modules or 'junitparser' in sys.modules)\n"
    )
    found = next(path.parent for path in Path(report.__file__).parents if path.name == "ansible_collections")
    done = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": str(found)}, check=False)
    assert done.returncode == 0
