# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No interleaving of the model loses an acknowledged write, and without any one of the rules one does."""

from __future__ import annotations

import re
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.lease_rules import Timing
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.timing import PROFILES
from lease_watcher.core import Settings

from scripts.model import __main__ as program
from scripts.model.cases import DECLARED, HOLD, LIMITS, MUTATIONS, SELDOM, SMALL, SYNCHRONOUS, check
from scripts.model.commit import Mode
from scripts.model.lease import World, latest_demotion

PAGE = Path(__file__).resolve().parents[4] / "docs/model.md"
pytestmark = pytest.mark.xdist_group("model")
checked = cache(check)


@pytest.mark.parametrize("name", HOLD)
def test_the_models_hold(name):
    result = checked(HOLD[name])
    assert result.holds, [label for label, _state in result.trace]


@pytest.mark.parametrize("name", HOLD)
def test_the_models_are_not_empty(name):
    """What holds of nothing says nothing: in each of them another member is promoted."""
    assert any("is promoted" in label for label in checked(HOLD[name]).seen)


@pytest.mark.parametrize("name", [name for name in HOLD if isinstance(HOLD[name], World)])
def test_the_watcher_acts_in_the_models_that_have_one(name):
    assert "etcd revokes the lease" in checked(HOLD[name]).seen


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_rule_taken_away_is_missed(name):
    result = checked(MUTATIONS[name])
    assert result.broken
    assert result.trace
    assert all(re.search(r"\w+", label) for label, _state in result.trace)


@pytest.mark.parametrize("name", LIMITS)
def test_a_known_limit_is_one(name):
    assert not checked(LIMITS[name]).holds


def test_the_models_have_the_seconds_of_the_profiles():
    balanced, fast = PROFILES["balanced"], PROFILES["fast"]
    assert DECLARED.allowed == Timing(**balanced.patroni, synchronous=False).least == 14
    assert (DECLARED.seconds, DECLARED.ttl, DECLARED.patience) == (balanced.lease_watch, balanced.patroni["ttl"], 13)
    assert SYNCHRONOUS.allowed == fast.lease_watch
    assert SMALL.allowed == SMALL.patience + 1 == Timing(7, 1, 1, synchronous=False).least
    assert SELDOM.allowed == SELDOM.patience + 1 == Timing(8, 4, 1, synchronous=False).least


@pytest.mark.parametrize(("loop_wait", "retry_timeout"), [*product((1, 2, 6, 7, 8, 30), (1, 3, 10))])
def test_the_watcher_acts_a_second_after_the_latest_demotion(loop_wait, retry_timeout):
    settings = Settings(loop_wait, retry_timeout)
    assert settings.least == latest_demotion(settings) + 1


def test_a_voter_s_answer_decides_as_the_counterexample_says():
    """The shortest one of the plain vote: C acknowledges for the old primary after its vote for B."""
    result = checked(MUTATIONS["quorum: a voter counts that receives from the old primary"])
    steps = [label for label, _state in result.trace]
    assert steps.index("B is confirmed by the votes") < steps.index("A acknowledges row 1")


def test_the_page_has_the_numbers_of_the_models():
    rows = re.findall(r"^\| ([^|]+?) \| ([\d,]+) \| (\d+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name: (int(states.replace(",", "")), int(depth)) for name, states, depth in rows} == {
        name: (checked(model).states, checked(model).depth) for name, model in HOLD.items()
    }


def test_the_page_names_every_mutation_and_limit():
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert [name for name in (*MUTATIONS, *LIMITS) if name not in text] == []


def test_a_result_that_is_not_expected_ends_the_program(monkeypatch):
    monkeypatch.setattr(program, "check", checked)
    name = "quorum: a voter counts that receives from the old primary"
    with pytest.raises(SystemExit, match="expected to hold"):
        list(program.shown(name, MUTATIONS[name], holds=True))
    lines = list(program.shown(name, MUTATIONS[name], holds=False))
    assert "row 1 was acknowledged, and is lost" in lines[0]
    assert lines[1].endswith("A writes row 1")


def test_modes_are_patronis():
    assert [mode.value for mode in Mode] == ["off", "on", "quorum"]
