# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import postgresql_version as sut


@pytest.mark.parametrize(
    ("declared", "data", "distribution", "expected"),
    [
        ("16", [], "17", "16"),
        ("16", ["15"], "17", "16"),
        ("", ["", "15"], "17", "15"),
        ("", [""], "17", "17"),
        ("", [], "", ""),
    ],
)
def test_the_version_to_run(declared, data, distribution, expected):
    assert sut.chosen(declared, data, distribution) == expected


def test_packages_of_a_version():
    names = ["patroni", "postgresql-%v", "postgresql-%v-pgvector"]
    assert sut.of_version(names, "15") == ["patroni", "postgresql-15", "postgresql-15-pgvector"]
    assert sut.of_version(names, "") == names
    assert sut.server("17") == "postgresql-17"


def test_the_installed_packages_of_all_versions():
    installed = {"postgresql-15", "postgresql-17", "postgresql-17-pgvector", "postgresql-client-17", "postgresql"}
    assert sut.of_installed(["patroni", "postgresql-%v", "postgresql-%v-pgvector"], installed) == [
        "patroni",
        "postgresql-15",
        "postgresql-17",
        "postgresql-17-pgvector",
    ]


def test_servers_among_packages():
    names = ["postgresql-9.6", "postgresql-17", "postgresql-15", "postgresql-17-pgvector", "postgresql-common"]
    assert sut.servers(names) == [15, 17]
