# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.module_utils import package_repositories as sut

CASES = yaml.safe_load(Path(__file__).with_name("package_repositories_cases.yml").read_text(encoding="utf-8"))
BASE = CASES["base"]
SOURCES = "/etc/apt/sources.list.d/holdfast-postgresql.sources"
PREFERENCES = "/etc/apt/preferences.d/holdfast-postgresql.pref"
KEYRING = "/etc/apt/keyrings/holdfast-postgresql.asc"


def lines_of(repository):
    """The lines of a repository's files, without comments and empty ones, by path."""
    files = {item.path: item.content.splitlines() for item in sut.wanted_paths([repository])}
    comments = ("#", "Explanation:")
    return {path: [line for line in lines if line and not line.startswith(comments)] for path, lines in files.items()}


@pytest.mark.parametrize("case", CASES["good"], ids=lambda case: case["name"])
def test_files(case):
    repository = {**BASE, **case.get("repository", {})}
    assert sut.problems([repository]) == []
    found = lines_of(repository)
    assert found.get(SOURCES) == case.get("sources")
    assert found.get(PREFERENCES) == case.get("preferences")
    assert (KEYRING in found) is ("sources" in case and not repository.get("trusted", False))


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: f"{case['where']}: {case['repository']}")
def test_refused(case):
    found = sut.problems([{**BASE, **case["repository"]}])
    (problem,) = [one for one in found if one.where == f"[0].{case['where']}"]
    assert all(part in f"{problem.what} {problem.fix}" for part in case["tells"]), problem
    assert "secret" not in str(found)


def test_one_name_for_each():
    assert [one.where for one in sut.problems([BASE, {**BASE, "name": "x"}, BASE])] == ["[2].name"]


@pytest.mark.parametrize("value", [5, "x", None, {"name": 5}, {**BASE, "uris": 5, "suites": {}, "pin_priority": "x"}])
def test_other_types_are_left_to_others(value):
    sut.problems([value])


def test_a_source_comes_after_its_key_and_pin_and_goes_before_them():
    wanted = sut.wanted_paths([{**BASE, "pin_priority": 1}])
    assert [item.path for item in wanted] == [KEYRING, PREFERENCES, SOURCES]
    gone = sut.absences([], [KEYRING, PREFERENCES, SOURCES])
    assert [item.path for item in gone] == [SOURCES, PREFERENCES, KEYRING]
    assert sut.absences(wanted, [KEYRING, PREFERENCES, SOURCES, "/etc/apt/sources.list.d/debian.sources"]) == []


def test_what_is_to_be_verified():
    absent = {**BASE, "name": "other", "state": "absent"}
    assert sut.changed([BASE, absent], [KEYRING, "/etc/apt/sources.list.d/holdfast-other.sources"]) == [BASE]
    assert sut.changed([BASE], [PREFERENCES]) == []
