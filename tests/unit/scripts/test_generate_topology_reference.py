# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: RUF009 - a key is declared by a call
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.shapes import (
    ByKey,
    Choice,
    Integer,
    IpNetwork,
    ListOf,
    Named,
    OfRole,
    OrFalse,
    Section,
    Switch,
    Text,
    key,
)
from jsonschema import Draft7Validator

from scripts import generate_topology_reference as sut
from scripts import topology_options


@dataclass(frozen=True)
class Door:
    """A door."""

    width: int | None = key(Integer(60, 120), "Width, see C(height).", required=True, example=80)
    colour: str = key(Choice(("red", "blue")), "Colour.", default="red")


@dataclass(frozen=True)
class Gate(Door):
    """A wide door."""

    wings: int | None = key(Integer(1, 2), "Wings.", required=True)


@dataclass(frozen=True)
class House:
    """A house."""

    networks: Any = key(ListOf(IpNetwork(), or_one=True), "Networks.", example=["192.0.2.0/24"])
    doors: Any = key(Named(OrFalse(Section(Door))), "Doors.")
    lamp: Any = key(Switch(Door), "Lamp.")
    balance: Any = key(OfRole("haproxy_pools.balance"))
    entry: Any = key(ByKey("colour", {"red": (Door,)}, other=Gate), "Entry.")


OPTIONS = {one.name: one for one in topology_options.options(House)}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("networks", "network in CIDR notation, or a list of them"),
        ("doors", "mapping by name"),
        ("lamp", "boolean or mapping"),
        ("balance", "text"),
        ("entry", "mapping"),
    ],
)
def test_types_in_words(name, words):
    assert OPTIONS[name].form.words == words


def test_rows():
    assert [sut.row(one) for one in topology_options.options(Door)] == [
        "| `width` | integer from 60 to 120 | **required** | Width, see `height`. Example: `80`. |",
        "| `colour` | `red` or `blue` | `red` | Colour. |",
    ]


def test_a_section_for_each_mapping():
    headings = [line for line in sut.sections("house", tuple(OPTIONS.values())) if line.startswith("\n")]
    assert headings == [
        "\n### `house`\n",
        "\n### `house.doors.<name>`\n",
        "\n### `house.lamp`\n",
        "\n### `house.entry`\n",
    ]


def test_options_as_ansible_has_them():
    assert sut.suboption(OPTIONS["networks"]) == {
        "description": ["Networks.", "Network in CIDR notation, or a list of them, for example V([192.0.2.0/24])."],
        "type": "raw",
    }
    assert sut.suboption(OPTIONS["doors"])["suboptions"]["<name>"]["suboptions"] == {
        "width": {
            "description": ["Width, see C(height).", "Integer from 60 to 120, for example V(80)."],
            "type": "int",
            "required": True,
        },
        "colour": {"description": ["Colour."], "type": "str", "choices": ["red", "blue"], "default": "red"},
    }


def test_a_key_of_some_variants_says_of_which():
    wings = sut.suboption(OPTIONS["entry"])["suboptions"]["wings"]
    assert wings["description"][0] == "Required with a C(colour) other than V(red). Wings."
    assert "required" not in wings


@pytest.mark.parametrize(
    ("house", "valid"),
    [
        ({}, True),
        ({"networks": None, "doors": {"front": False, "back": {"width": 80}}, "lamp": True}, True),
        ({"networks": "192.0.2.0/24", "lamp": {"width": 60, "colour": None}}, True),
        ({"entry": {"width": 80}}, True),
        ({"entry": {"width": 80, "colour": "blue", "wings": 2}}, True),
        ({"entry": {"width": 80, "wings": 2}}, False),
        ({"entry": {"width": 80, "colour": "blue"}}, False),
        ({"doors": {"front": True}}, False),
        ({"doors": {"Front": False}}, False),
        ({"doors": {"back": {}}}, False),
        ({"lamp": {"width": 130}}, False),
        ({"networks": ["anywhere"]}, False),
        ({"roof": "flat"}, False),
    ],
    ids=str,
)
def test_json_schema(house, valid):
    schema = topology_options.section_schema(topology_options.options(House))
    assert Draft7Validator(schema).is_valid(house) is valid


def test_only_what_stands_between_the_markers_is_replaced(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("before\n<!-- a -->\nold\n<!-- end -->\nafter\n")
    assert sut.between(path, "<!-- a -->", "<!-- end -->", "new\n") == "before\n<!-- a -->\nnew\n<!-- end -->\nafter\n"
    with pytest.raises(SystemExit, match="has no lines"):
        sut.between(path, "<!-- b -->", "<!-- end -->", "new\n")


def test_a_text_may_not_be_empty():
    assert topology_options.form(Text()).schema == {"type": "string", "pattern": r"\S"}
