# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.module_utils.patroni import (
    Answer,
    Cluster,
    Member,
    as_facts,
    from_facts,
    merge_answers,
    nobody_creates,
    parse_member,
    problems,
    restart_order,
)

CASES = yaml.safe_load(Path(__file__).with_name("patroni_cases.yml").read_text())["cases"]

EXPECTED = ["db1", "db2", "db3"]


def answers(case: dict[str, Any]) -> list[Answer]:
    numbers = case.get("endpoints") or range(1, len(case["answers"]) + 1)
    return [
        Answer(f"https://192.0.2.{number}:8008", body.get("patroni"), body.get("cluster"))
        for number, body in zip(numbers, case["answers"], strict=True)
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_cluster(case: dict[str, Any]) -> None:
    cluster = merge_answers(answers(case))
    found = problems(cluster, EXPECTED, case.get("synchronous", False))

    assert (cluster.leader.name if cluster.leader else None) == case["leader"]
    assert cluster.agreed is case["agreed"]
    assert cluster.paused is case.get("paused", False)
    assert len(found) >= len(case["problems"])
    for words, sentence in zip(case["problems"], found, strict=False):
        assert words in sentence
    assert bool(found) == bool(case["problems"])


def test_facts_are_plain() -> None:
    facts = as_facts(merge_answers(answers(CASES[0])))

    assert facts["scope"] == "lab"
    assert facts["leader"] == "db1"
    assert [member["name"] for member in facts["members"]] == EXPECTED
    assert facts["members"][0]["server_version"] == 170004
    assert yaml.safe_load(yaml.safe_dump(facts)) == facts
    assert as_facts(from_facts(facts)) == facts
    assert from_facts({}) == Cluster()


@pytest.mark.parametrize(("lag", "parsed"), [(0, 0), (17, 17), ("unknown", None), (None, None)])
def test_lag(lag: Any, parsed: int | None) -> None:
    assert parse_member({"name": "db2", "lag": lag}).lag == parsed


def test_leader_restarts_last() -> None:
    members = (
        Member("db1", "leader", "running", pending_restart=True),
        Member("db2", "replica", "streaming", pending_restart=True),
        Member("db3", "replica", "streaming"),
    )

    assert [member.name for member in restart_order(Cluster(members=members))] == ["db2", "db1"]


WAITING = {"state": "stopped", "role": "uninitialized"}


@pytest.mark.parametrize(
    ("bodies", "nobody"),
    [
        ([WAITING, WAITING, WAITING], True),
        ([WAITING, WAITING, None], False),
        ([WAITING, {"state": "initializing new cluster", "role": "uninitialized"}], False),
        ([WAITING, {"state": "creating replica", "role": "uninitialized"}], False),
        ([WAITING, {"state": "stopped", "role": "replica"}], False),
        ([WAITING, {"state": "running", "role": "primary"}], False),
        ([], False),
    ],
)
def test_nobody_creates(bodies: list[dict[str, str] | None], nobody: bool) -> None:
    assert nobody_creates([Answer("https://192.0.2.1:8008", body) for body in bodies]) is nobody
