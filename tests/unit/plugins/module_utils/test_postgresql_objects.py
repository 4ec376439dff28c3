# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declared SQL objects as statements, and a scratch cluster's words about them."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_check import reports
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_objects import (
    extension_refusals,
    object_refusals,
    statements_of,
)

ROLES = [
    {"name": 'o"dd', "flags": "CREATEDB,NOSUPERUSER", "connection_limit": 3},
    {"name": "gone", "state": "absent"},
]
DATABASES = [
    {"name": "one", "owner": 'o"dd', "encoding": "UTF9", "locale": "x'"},
    {"name": "two", "owner": "elsewhere", "template": "one", "encoding": "UTF8"},
    {"name": "three", "template": "of_the_real_cluster", "encoding": "UTF8"},
    {"name": "plain", "owner": 'o"dd'},
    {"name": "gone", "state": "absent"},
]
LOG = """\
LOG:  checkpoint starting
ERROR:  UTF9 is not a valid encoding name at character 21
STATEMENT:  {statement}
"""


def test_statements_quote_names_and_leave_out_what_only_the_real_cluster_has() -> None:
    assert [one.sql for one in statements_of(ROLES, DATABASES)] == [
        'CREATE ROLE "o""dd" CREATEDB NOSUPERUSER CONNECTION LIMIT 3',
        """CREATE DATABASE "one" TEMPLATE "template0" OWNER "o""dd" ENCODING 'UTF9' LC_COLLATE 'x''' LC_CTYPE 'x'''""",
        """CREATE DATABASE "two" TEMPLATE "one" ENCODING 'UTF8'""",
        """CREATE DATABASE "three" TEMPLATE "template0" ENCODING 'UTF8'""",
    ]


def test_a_failed_statement_names_its_declaration() -> None:
    statements = statements_of(ROLES, DATABASES)
    found = reports(LOG.format(statement=statements[1].sql))
    assert [str(one) for one in object_refusals(statements, found)] == [
        "the database 'one': UTF9 is not a valid encoding name at character 21. Fix: correct its declaration."
    ]


@pytest.mark.parametrize(
    ("extension", "says"),
    [
        ({"name": "hstore"}, None),
        ({"name": "hstore", "version": "latest"}, None),
        ({"name": "hstore", "version": "1.8"}, None),
        ({"name": "hstore", "version": "9"}, "has no version '9'. Fix: use one of 1.7, 1.8"),
        ({"name": "postgis"}, "is not installed. Fix: install its package"),
        ({"name": "postgis", "state": "absent"}, None),
    ],
)
def test_an_extension_is_installed_on_the_host(extension: dict[str, str], says: str | None) -> None:
    available = [{"name": "hstore", "version": version} for version in ("1.7", "1.8")]
    refusals = [str(one) for one in extension_refusals([extension], available)]
    assert len(refusals) == (says is not None)
    assert says is None or says in refusals[0].replace(": ", " ", 1)
