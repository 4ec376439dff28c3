# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.module_utils.patroni import Cluster, Member
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_switchover import RefusedError, plan, took_over

CASES = yaml.safe_load(Path(__file__).with_name("patroni_switchover_cases.yml").read_text())
HEALTHY = {
    "db1": Member("db1", "leader", "running", timeline=4, answers=True),
    "db2": Member("db2", "quorum_standby", "streaming", timeline=4, lag=0, answers=True),
    "db3": Member("db3", "sync_standby", "streaming", timeline=4, lag=0, answers=True),
}


def cluster(case: dict[str, Any]) -> Cluster:
    changes = case.get("members", {})
    members = [
        replace(one, **(changes.get(name) or {})) for name, one in HEALTHY.items() if changes.get(name, {}) is not None
    ]
    return Cluster("lab", tuple(members), paused=case.get("paused", False), agreed=case.get("agreed", True))


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["name"])
def test_who_is_to_lead(case: dict[str, Any]) -> None:
    def made() -> Any:
        return plan(cluster(case), case.get("configuration", {"synchronous_mode": "quorum"}), case.get("wanted"))

    if "refused" in case:
        with pytest.raises(RefusedError) as refusal:
            made()
        assert case["refused"] in str(refusal.value)
        return
    assert (made().leader.name, made().heir.name) == ("db1", case["to"])
    assert (made().candidate is None) is (case.get("race", False))
    assert made().needed is (case["to"] != "db1")
    assert list(made().healthy) == case.get("healthy", ["db1", "db2", "db3"])


@pytest.mark.parametrize("case", CASES["took_over"], ids=lambda case: case["name"])
def test_when_the_candidate_leads(case: dict[str, Any]) -> None:
    assert took_over(HEALTHY["db1"], case["body"]) is case["took_over"]
