# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an evidence refuses, and that a plan survives its way to the engine."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Node, Refusal
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.life import Process
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.plan import EvidencePlan, Limits, check, parse

from tests.unit.plugins.plugin_utils.drill.cluster import HOSTS, ha
from tests.unit.plugins.plugin_utils.drill.cluster import plan as drill_plan


def plan(drill: dict[str, Any] | None = None, **changes: Any) -> EvidencePlan:
    """Return a plan that would be carried out, changed."""
    values = {"title": "update", "hosts": ("db1",), "longest": 60.0, "limits": Limits(), "parent": Process(1)}
    return EvidencePlan(drill=drill_plan(**(drill or {})), **{**values, **changes})


def without(pool: str = "", **changes: Any) -> dict[str, Any]:
    """Return changes that take something from every host's topology data."""
    nodes = []
    for at, (name, parts) in enumerate(HOSTS.items(), 11):
        data = ha(at, parts)
        data["pools"] = [one for one in data["pools"] if one["name"] != pool]
        nodes.append(Node(name, f"192.0.2.{at}", ha=data))
    return {"nodes": (*nodes, Node("client1", "192.0.2.41")), **changes}


REFUSED = {
    "no client": (plan({"client": ""}), "evidence_client: '': no such host; name a host of the inventory outside"),
    "a member": (plan({"client": "db2"}), "evidence_client: 'db2': it belongs to the cluster and would go away"),
    "worked on": (plan(hosts=("db1", "client1")), "evidence_client: 'client1': it is one of the hosts that are worked"),
    "budget": (plan(limits=Limits(pooled_wait=-1.0)), "evidence_budgets: pooled_wait: -1: give 0 or more"),
    "no number": (plan(limits=Limits(direct_wait=float("nan"))), "evidence_budgets: direct_wait: nan: give 0 or more"),
    "longest": (plan(longest=0.0), "evidence_longest: 0: give seconds, more than 0"),
    "pool": (plan(without("primary")), "pools: none of role primary with a virtual IP"),
    "database": (plan({"database": "", "role": ""}), "databases: none: the clients' table is made in one"),
    "password": (plan({"secrets": {}}), "ha_role_passwords: none for 'app': run playbooks/secrets.yml"),
}


@pytest.mark.parametrize(("made", "message"), REFUSED.values(), ids=REFUSED)
def test_what_can_not_be_recorded_is_refused_with_a_way_out(made: EvidencePlan, message: str) -> None:
    with pytest.raises(Refusal) as refusal:
        check(made)
    assert str(refusal.value).startswith(message)
    assert str(refusal.value).endswith(", or give -e evidence=false to work without evidence")


@pytest.mark.parametrize("made", [plan(), plan(without("standby")), plan({"hosts": {"db1": HOSTS["db1"]}})])
def test_less_than_a_drill_needs_is_enough(made: EvidencePlan) -> None:
    check(made)


def test_the_engine_reads_the_same_plan() -> None:
    made = plan(limits=Limits(1.0, 0, None), parent=Process(4, "7"))
    assert parse(json.loads(json.dumps(asdict(made)))) == made
