# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role makes of the declared objects, by the databases that exist."""

from __future__ import annotations

import pytest
import yaml

from tests.unit.roles.test_wiring import ROOT, evaluate

ROLES = [{"name": "app"}, {"name": "old", "state": "absent"}, {"name": "kept", "state": "present"}]
DATABASES = [{"name": "app"}, {"name": "fresh", "state": "present"}, {"name": "gone", "state": "absent"}]
INPUTS = {
    "postgresql_objects__predicting": True,
    "postgresql_objects_roles": ROLES,
    "postgresql_objects_databases": DATABASES,
    "postgresql_objects_extensions": [{"name": "citext", "database": "fresh"}, {"name": "citext", "database": "app"}],
    "postgresql_objects_privileges": [{"roles": "app", "database": "fresh"}],
    "postgresql_objects__found": {"databases": {"app": {}, "gone": {}}},
}


PARTS = ("kept_roles | map(attribute='name')", "removed_roles", "unconfirmed", "coming", "predicted")
LIST = f"[{', '.join(f'postgresql_objects__{part}' for part in PARTS)}]"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [["app", "kept"], ["old"], ["gone"], ["fresh"], ["extension citext", "privileges of app"]]),
        (
            {"postgresql_objects_drop": "other,gone", "postgresql_objects__predicting": False},
            [["app", "kept"], ["old"], [], [], []],
        ),
    ],
)
def test_what_follows_from_the_declared_objects(tmp_path, changes, expected):
    assert evaluate(tmp_path, "postgresql_objects", LIST, INPUTS | changes) == expected


def expression_of(task_name: str, option: str) -> str:
    """An option of a module in the role's tasks, without its braces."""
    [block] = yaml.safe_load((ROOT / "roles/postgresql_objects/tasks/objects.yml").read_text(encoding="utf-8"))
    [task] = [task for task in block["block"] if task["name"].startswith(task_name)]
    [module] = [value for key, value in task.items() if key.startswith("community.postgresql.")]
    return module[option].strip().removeprefix("{{").removesuffix("}}")


@pytest.mark.parametrize(
    ("database", "template"),
    [
        ({"encoding": "LATIN1"}, "template0"),
        ({"locale": "C"}, "template0"),
        ({"locale": "C", "template": "mine"}, "mine"),
        ({}, "left to PostgreSQL"),
    ],
)
def test_a_database_of_its_own_encoding_or_locale_is_a_copy_of_template0(tmp_path, database, template):
    inputs = INPUTS | {"database": database, "left": "left to PostgreSQL"}
    expression = expression_of("Declare databases", "template").replace("omit", "left")
    assert evaluate(tmp_path, "postgresql_objects", f"({expression})", inputs) == template


@pytest.mark.parametrize(("flags", "given"), [("nologin", "nologin"), ("CREATEDB", "LOGIN,CREATEDB"), (None, "LOGIN")])
def test_a_role_may_log_in_unless_it_may_not(tmp_path, flags, given):
    inputs = INPUTS | {"role": {"flags": flags} if flags else {}}
    expression = expression_of("Declare roles", "role_attr_flags")
    assert evaluate(tmp_path, "postgresql_objects", f"({expression})", inputs) == given
