# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON Schema for editors agrees with the parser: it accepts what is built, and knows the same names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.node import Node
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import Problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.shapes import keys
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology import schema
from jsonschema import Draft7Validator

UNIT = Path(__file__).resolve().parents[3]
ROOT = UNIT.parents[1]
SHIPPED = [*ROOT.glob("inventory/*/topology.ha.yml"), *ROOT.glob("molecule/*/inventory/topology.ha.yml")]
BASE = yaml.safe_load((UNIT / "data" / "topology_base.yml").read_text(encoding="utf-8"))
GOOD = yaml.safe_load((UNIT / "data" / "topology_good_input.yml").read_text(encoding="utf-8"))
BAD = yaml.safe_load((UNIT / "data" / "topology_bad_input.yml").read_text(encoding="utf-8"))
BY_ANOTHER_KEY = "a pool of poolers with servers of its own"
"""Only the parser sees that the cluster has a pooler."""
MISSPELT = [
    case
    for case in BAD
    if case["name"] != BY_ANOTHER_KEY and any(one["value"] == "unknown key" for one in case["refused"])
]
SHAPELESS = [case for case in BAD if not case.keys() & {"cluster", "document"}]
DECLARATIONS = [
    one for one in vars(schema).values() if isinstance(one, type) and one.__module__ == schema.__name__ and keys(one)
]


@pytest.fixture(scope="module")
def validator():
    read = json.loads((ROOT / "docs" / "topology.schema.json").read_text(encoding="utf-8"))
    Draft7Validator.check_schema(read)
    return Draft7Validator(read)


def refusals(validator, document):
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_accepts_the_shipped_topologies(validator, path):
    assert refusals(validator, yaml.safe_load(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case["name"])
def test_accepts_what_is_built(validator, document_of, case):
    assert refusals(validator, document_of(case)) == []


@pytest.mark.parametrize("case", SHAPELESS, ids=lambda case: case["name"])
def test_leaves_to_the_parser_what_hosts_and_variables_decide(validator, document_of, case):
    assert refusals(validator, document_of(case)) == []


@pytest.mark.parametrize("case", MISSPELT, ids=lambda case: case["name"])
def test_refuses_misspelt_names(validator, document_of, case):
    assert refusals(validator, document_of(case))


def test_there_are_misspelt_names():
    assert len(MISSPELT) >= 6


@pytest.mark.parametrize(
    "cluster",
    [
        {"pools": {"primary": {"role": None}}},
        {"pools": {"primary": {"servers": {"group": "client", "port": 80}}}},
        {"pools": {"web": {"port": 80, "service": "web"}}},
        {"pools": {"web": {"port": 80, "service": "web", "servers": []}}},
        {"pools": {"web": {"port": 80, "service": "web", "servers": {"group": "client", "port": 80}, "role": "any"}}},
        {"pools": {"web": {"port": 80, "service": "web", "servers": [{"name": "web1", "port": 80}]}}},
        {"pools": {"primary": {"port": 70000}}},
        {"pooler": 6432},
        {"lease_watch": True},
        {"profile": "quick"},
        {"vips": {"main": {"address": "198.51.100.100"}}},
        {"vips": {"Main": {"address": "198.51.100.101/24"}}},
        {"roles": [{"name": "app", "password": "secret"}]},
    ],
    ids=json.dumps,
)
def test_refuses_other_shapes(validator, document_of, cluster):
    assert refusals(validator, document_of({"cluster": cluster}))


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda declaration: declaration.__name__)
def test_examples_and_defaults_are_values_of_their_keys(declaration):
    problems = Problems()
    for name, key in keys(declaration).items():
        for value in (key.example, key.default):
            if isinstance(value, (bool, int, str, list, dict)):
                key.shape.read(Node(name, value, problems))
    assert problems.found == []
