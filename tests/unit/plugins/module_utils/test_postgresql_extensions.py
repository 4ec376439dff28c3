# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database's extensions lack."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_extensions import (
    Found,
    Unavailable,
    Wanted,
    by_database,
    plan,
)

CASES = yaml.safe_load(Path(__file__).with_name("postgresql_extensions_cases.yml").read_text())
AVAILABLE = {"vector": "0.8.0", "pg_cron": "1.6", "pg_partman": "5.2.4", "postgis": "3.5.2", "uuid-ossp": "1.1"}


def planned(case):
    installed = {name: {"version": row[0], "schema": row[1]} for name, row in case.get("installed", {}).items()}
    found = Found(installed, AVAILABLE, ["public"], case.get("loaded", [""]))
    return plan([Wanted(database="app", **one) for one in case.get("wanted", [])], found)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_plan(case):
    if "error" in case:
        with pytest.raises(Unavailable) as why:
            planned(case)
        assert str(why.value) == case["error"]
        return
    statements, waiting = planned(case)
    assert [statement.sql for statement in statements] == case["statements"]
    assert waiting == case.get("waiting", [])
    assert all(statement.text for statement in statements)


def test_a_dry_run_foresees_packages_and_libraries():
    wanted = [Wanted("rum", "app", library="rum"), Wanted("pg_cron", "app", library="pg_cron")]
    statements, waiting = plan(wanted, Found({}, {}, ["public"], [""]), foresees=True)
    assert [statement.text for statement in statements] == ["create extension rum", "create extension pg_cron"]
    assert waiting == []


def test_declared_extensions_by_database():
    declared = [
        {"name": "vector", "database": "app", "schema": None, "version": None, "library": None, "state": "present"},
        {"name": "pg_cron", "database": "postgres", "library": "pg_cron", "state": "absent"},
        {"name": "hstore", "database": "app", "schema": "x"},
    ]
    assert by_database(declared) == {
        "app": [Wanted("vector", "app"), Wanted("hstore", "app", schema="x")],
        "postgres": [Wanted("pg_cron", "postgres", "absent", library="pg_cron")],
    }
