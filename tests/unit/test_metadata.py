# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection says of itself agrees with what is in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GALAXY = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
RUNTIME = yaml.safe_load((ROOT / "meta/runtime.yml").read_text(encoding="utf-8"))
MODULE_NAME = re.compile(r"^\s*(?:- )?((?:ansible\.(?!builtin)|community\.)\w+)\.\w+:", re.MULTILINE)


def used_by(*folders):
    texts = (path.read_text(encoding="utf-8") for folder in folders for path in (ROOT / folder).rglob("*.yml"))
    return {name for text in texts for name in MODULE_NAME.findall(text)}


def required(name):
    listed = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))["collections"]
    return {item["name"]: item["version"] for item in listed}


def test_dependencies_are_what_roles_and_playbooks_use():
    assert set(GALAXY["dependencies"]) == used_by("roles", "playbooks")
    assert required("requirements.yml") == GALAXY["dependencies"]


def test_development_requires_what_the_scenarios_use_besides():
    assert set(required("requirements-dev.yml")) == used_by("molecule", "lab") - set(GALAXY["dependencies"])


@pytest.mark.parametrize("group", sorted(RUNTIME["action_groups"]))
def test_an_action_group_has_the_modules_that_share_its_options(group):
    fragment = re.compile(rf"^extends_documentation_fragment:\n(?:  - .*\n)*?  - holdfast\.ha\.{group}$", re.MULTILINE)
    modules = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "plugins/modules").glob("*.py")}
    assert RUNTIME["action_groups"][group] == sorted(name for name, text in modules.items() if fragment.search(text))


def test_the_documentation_fragments_that_tell_of_a_group_have_one():
    texts = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "plugins/doc_fragments").glob("[!_]*.py")}
    assert {name for name, text in texts.items() if "action_group:" in text} == set(RUNTIME["action_groups"])
