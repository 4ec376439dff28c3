# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import TopologyError
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.build import build

from tests.unit.plugins.plugin_utils.conftest import BASE, inventory

DATA = Path(__file__).resolve().parents[3] / "data"
CASES = yaml.safe_load((DATA / "topology_bad_input.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_refused_with_variable_value_and_fix(case, build_case):
    with pytest.raises(TopologyError) as refusal:
        build_case(case)
    messages = [str(problem) for problem in refusal.value.problems]
    for expected in case["refused"]:
        matching = [text for text in messages if tells(text, expected)]
        assert matching, f"{expected} is not among:\n" + "\n".join(messages)
        messages.remove(matching[0])
    assert messages == [], "problems that the case does not expect"


def tells(text, expected):
    """Whether a message says where, what and how to put it right."""
    told, _separator, fix = text.partition(" Fix: ")
    starts = any(told.startswith(f"{expected['where']}{separator}") for separator in (" = ", ": "))
    return starts and expected["value"] in told and expected["fix"] in fix


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_no_secret_is_shown(case, build_case):
    with pytest.raises(TopologyError) as refusal:
        build_case(case)
    assert "never-show-me" not in refusal.value.describe({})


def test_there_are_many_cases_each_with_a_name_of_its_own():
    names = {case["name"] for case in CASES}
    assert len(names) == len(CASES) >= 30


SERVERS = {"servers": {"group": "client", "port": 8080}}
ROLES = "one of primary, standby, any"


@pytest.mark.parametrize(
    ("pool", "told"),
    [
        ({"service": None, **SERVERS}, "service = None: has no value. Fix: write a service there; by default it is"),
        (SERVERS, "service = None: is missing. Fix: write a service there; by default it is postgresql"),
        ({"service": None}, f"role = None: is missing. Fix: add 'role:' with {ROLES} there"),
        ({"role": None}, f"role = None: has no value. Fix: write {ROLES} there"),
        ({"role": "primary", **SERVERS}, "servers: is an unknown key"),
        (
            {"service": "web", **SERVERS, "check": {"type": None}},
            "check.type = None: has no value. Fix: write one of tcp, http, none",
        ),
        ({"service": "web", "servers": None}, "servers = None: has no value. Fix: write a value there"),
        ({"service": "web", **SERVERS, "port": None}, "port = None: has no value. Fix: write a value there"),
    ],
)
def test_null_is_told_where_a_value_is_needed(roles, pool, told):
    document = deepcopy(BASE["document"])
    document["clusters"]["lab"]["pools"]["web"] = {"port": 8080, **pool}
    with pytest.raises(TopologyError) as refusal:
        build(document, inventory({}), roles)
    (message,) = map(str, refusal.value.problems)
    assert message.startswith(f"clusters.lab.pools.web.{told}")


@pytest.mark.parametrize("optional", ["profile", "lease_watch", "pooler", "clients", "databases", "allow_single_etcd"])
def test_null_is_as_good_as_nothing_elsewhere(roles, optional):
    document = deepcopy(BASE["document"])
    document["clusters"]["lab"][optional] = None
    assert build(document, inventory({}), roles).hosts
