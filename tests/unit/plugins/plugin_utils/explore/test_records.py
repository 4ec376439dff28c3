# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Breach
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.judge import Hit, Judgement
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.records import FAILED, PASSED, Records, Trial
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import load

from tests.unit.plugins.plugin_utils.explore.roles import schedule

MADE = schedule(("isolate", "primary", 0, 60))
BROKEN = Judgement((Breach("resumed_late", "late"),), 20.0, 17.6, 25.0, 1000, 0, failover=True)
HEADER = {"mode": "random", "seed": 1, "kinds": ["pause"]}


def test_a_trial_is_read_as_it_was_kept(tmp_path) -> None:
    records = Records(tmp_path / "explore")
    assert records.begin(HEADER) == 0
    hit = Hit(MADE.steps[0], ("db1",), 100.5, 160.25, "packets dropped")
    records.keep(3, Trial(MADE, FAILED, hits=(hit,), judgement=BROKEN, injected=100.0), seed=1)
    found = records.trial(3)
    assert found is not None
    assert (found["outcome"], found["seed"], found["resumed"], found["failover"]) == (FAILED, 1, 20.0, True)
    assert found["breaches"] == [{"rule": "resumed_late", "text": "late"}]
    assert found["hits"] == [
        {"kind": "isolate", "hosts": ["db1"], "begun": 0.5, "ended": 60.25, "proof": "packets dropped"}
    ]
    assert records.trial(1) is None
    assert Records(tmp_path / "explore").begin(HEADER) == 1


def test_a_directory_of_another_run_is_refused(tmp_path) -> None:
    Records(tmp_path).begin(HEADER)
    with pytest.raises(Refusal, match=r"explore_report: .* of another run: seed was 1, is 2; give another directory"):
        Records(tmp_path).begin({**HEADER, "seed": 2})


def test_a_half_written_record_is_none(tmp_path) -> None:
    records = Records(tmp_path)
    records.begin(HEADER)
    (tmp_path / ".trial-0001.json.new").write_text('{"outcome": "pas')
    assert records.trial(1) is None
    records.keep(1, Trial(MADE, PASSED))
    assert json.loads((tmp_path / "trial-0001.json").read_text())["outcome"] == PASSED


def test_the_smallest_failure_is_a_file_that_replays(tmp_path) -> None:
    records = Records(tmp_path)
    records.keep_smallest(7, MADE, {"trial": 7, "seed": 1})
    found = load(records.smallest(7).read_text())
    assert found.schedule == MADE
    assert found.found == {"trial": 7, "seed": 1}
