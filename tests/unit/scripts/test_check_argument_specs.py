# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from scripts import check_argument_specs as sut

GOOD = {"description": "What it is.", "type": "str"}


def test_agreeing_files_have_no_problems():
    specs = {"web_name": GOOD | {"required": True}, "web_port": GOOD | {"default": 80}}
    assert list(sut.problems("web", specs, {"web_port": 80})) == []


@pytest.mark.parametrize(
    ("specs", "defaults", "problem"),
    [
        ({"web_port": GOOD}, {}, "web_port is optional in argument_specs but has no default"),
        ({}, {"web_port": 80}, "web_port has a default but no description"),
        ({"web_port": GOOD | {"required": True}}, {"web_port": 80}, "web_port is required and has a default"),
        ({"port": GOOD}, {"port": 80}, "port lacks the role's prefix web_"),
        ({"web_port": {"type": "int"}}, {"web_port": 80}, "web_port has no description"),
        ({"web_port": GOOD | {"default": 80}}, {"web_port": 81}, "web_port documents default 80"),
    ],
)
def test_a_difference_is_told(specs, defaults, problem):
    (found,) = sut.problems("web", specs, defaults)
    assert problem in found


def test_a_templated_default_may_be_documented_in_words():
    assert list(sut.problems("web", {"web_port": GOOD | {"default": "the other"}}, {"web_port": "{{ other }}"})) == []


def test_entry_points_are_joined():
    specs = {
        "argument_specs": {"main": {"options": {"web_a": GOOD}}, "extra": {"options": {"web_b": GOOD}}, "bare": {}}
    }
    assert list(sut.options(specs)) == ["web_a", "web_b"]


def test_a_missing_file_is_empty(tmp_path):
    assert sut.load(tmp_path / "main.yml") == {}
