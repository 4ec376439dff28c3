# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role makes of the declared objects, by the databases that exist."""

from __future__ import annotations

import pytest

from tests.unit.roles.test_wiring import evaluate

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
