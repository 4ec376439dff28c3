# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The version of PostgreSQL on each host; deployed_cases.yml has what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.deployed import Deployed, PostgreSql
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.model import Host
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.versions import versions


def host(
    name: str, *, cluster: str = "lab", declared: str = "", data: str | None = "", distribution: str = "17"
) -> Host:
    """A host; data: None for one that was not examined."""
    ha: dict[str, Any] = {"cluster": cluster, "postgresql": {"version": declared}}
    directory = PostgreSql("/d", data) if data else None
    return Host(name, ha, deployed=None if data is None else Deployed(postgresql=directory), distribution=distribution)


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ([host("db1"), host("db2")], {"db1": "17", "db2": "17"}),
        # Hosts without data, such as the repository host, take the version of those with data.
        ([host("backup1"), host("db1", data="15")], {"backup1": "15", "db1": "15"}),
        ([host("db1", declared="16"), host("db2", declared="16", data="15")], {"db1": "16", "db2": "16"}),
        ([host("db1", data="15"), host("other1", cluster="other")], {"db1": "15", "other1": "17"}),
        ([host("db1", data=None, distribution="")], {"db1": ""}),
        ([Host("lb1", {"cluster": "web", "postgresql": None})], {}),
    ],
)
def test_the_version_of_each_host(hosts: list[Host], expected: dict[str, str]) -> None:
    assert versions(hosts) == expected
