# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.protection import component_units, protection

MEMBERS = [
    {"components": ["etcd", "postgresql"]},
    {"components": ["haproxy", "keepalived"]},
    {"components": ["backup"]},
]
PACKAGES = ["etcd-server", "libx++", "patroni", "pgbackrest", "pgbouncer", "postgresql", "postgresql-17"]
DATABASE = {"components": ["etcd", "postgresql", "pgbouncer"], "members": MEMBERS, "packages": PACKAGES}


def test_services_of_a_host() -> None:
    assert component_units(DATABASE) == [
        {"component": "etcd", "unit": "etcd.service"},
        {"component": "postgresql", "unit": "patroni.service"},
        {"component": "pgbouncer", "unit": "holdfast-pgbouncer.service"},
        {"component": "pgbouncer", "unit": "pgbouncer.service"},
        {"component": "backup", "unit": "pgbackrest.service"},
    ]


def test_the_main_unit_of_each_component() -> None:
    main = [unit["unit"] for unit in component_units(DATABASE, first=True)]
    assert main == ["etcd.service", "patroni.service", "holdfast-pgbouncer.service", "pgbackrest.service"]


def test_a_cluster_without_backups_has_no_pgbackrest() -> None:
    units = component_units(DATABASE | {"members": MEMBERS[:2]})
    assert "backup" not in [unit["component"] for unit in units]


def test_units_that_only_playbooks_restart() -> None:
    assert protection(DATABASE)["units"] == [
        "etcd.service",
        "patroni.service",
        "patroni@*.service",
        "postgresql.service",
        "postgresql@*.service",
        "pgbouncer.service",
        "pgbackrest.service",
        "pgbackrest-backup@*.service",
        "holdfast-*.service",
    ]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        *((name, True) for name in PACKAGES),
        ("postgresql-client-17", True),
        ("postgresql-common", True),
        ("libpq5", True),
        ("libpq5x", False),
        ("libxxx", False),
        ("openssl", False),
    ],
)
def test_packages_that_only_playbooks_upgrade(name: str, kept: bool) -> None:
    found = [pattern for pattern in protection(DATABASE)["packages"] if re.match(f"{pattern}$", name)]
    assert len(found) == kept
