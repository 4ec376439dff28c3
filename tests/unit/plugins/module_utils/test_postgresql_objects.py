# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declared SQL objects as statements, and a scratch cluster's words about them."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_check import reports
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_objects import (
    FLAGS,
    Existing,
    existing_query,
    existing_refusals,
    extension_refusals,
    object_refusals,
    statements_of,
    template_refusals,
)

ROLES = [
    {"name": 'o"dd', "flags": "CREATEDB,NOSUPERUSER,,createdb", "connection_limit": 3},
    {"name": "gone", "state": "absent"},
]
DATABASES = [
    {"name": "one", "owner": 'o"dd', "encoding": "UTF9", "locale": "x'"},
    {"name": "two", "owner": "elsewhere", "template": "one", "encoding": "UTF8"},
    {"name": "three", "template": "of_the_real_cluster", "encoding": "UTF8"},
    {"name": "plain", "owner": 'o"dd'},
    {"name": "copied"},
    {"name": "copy", "template": "copied", "locale": "C"},
    {"name": "unlike", "template": "template1", "locale": "C"},
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
        """CREATE DATABASE "copied" TEMPLATE "template1\"""",
        """CREATE DATABASE "copy" TEMPLATE "copied" LC_COLLATE 'C' LC_CTYPE 'C'""",
        """CREATE DATABASE "unlike" TEMPLATE "template1" LC_COLLATE 'C' LC_CTYPE 'C'""",
    ]


UTF8 = {"encoding": "UTF8", "LC_COLLATE": "C.UTF-8", "LC_CTYPE": "C.UTF-8"}
THERE = Existing({"one": UTF8, "postgres": UTF8}, (), {"utf-8": "UTF8", "LATIN1": "LATIN1", "UTF9": ""})


def test_a_database_that_is_there_is_not_made() -> None:
    assert not [one for one in statements_of([], DATABASES, THERE) if one.where == "the database 'one'"]


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"encoding": "utf-8", "locale": "C.UTF-8"}, []),
        ({"encoding": "LATIN1"}, ["has encoding UTF8, not LATIN1; PostgreSQL can't change it. Fix: declare UTF8, or"]),
        ({"locale": "C"}, ["has LC_COLLATE C.UTF-8, not C", "has LC_CTYPE C.UTF-8, not C"]),
        ({"locale": "C", "state": "absent"}, []),
    ],
)
def test_encoding_and_locale_of_a_database_that_is_there_stay(declared: dict[str, str], says: list[str]) -> None:
    refusals = [
        str(one) for one in existing_refusals([{"name": "one", **declared}, {"name": "new", "encoding": "X"}], THERE)
    ]
    assert len(refusals) == len(says)
    assert all(words in refusal for words, refusal in zip(says, refusals, strict=True))


@pytest.mark.parametrize(
    ("databases", "refused"),
    [
        ([("a", "template0"), ("b", "a"), ("c", "one"), ("one", "gone")], 0),
        ([("b", "a"), ("a", None)], 1),
        ([("b", "postgres")], 1),
        ([("b", "of_nobody")], 1),
    ],
)
def test_a_template_is_there_when_it_is_copied(databases: list[tuple[str, str | None]], refused: int) -> None:
    declared = [{"name": name, **({"template": template} if template else {})} for name, template in databases]
    assert len(list(template_refusals(declared, THERE))) == refused


def test_the_query_quotes_what_is_declared() -> None:
    assert "ARRAY['a''b']::text[]" in existing_query([{"name": "x", "encoding": "a'b"}, {"name": "y"}])


@pytest.mark.parametrize(
    ("flags", "right"),
    [
        ("", True),
        ("CREATEDB", True),
        ("nologin,NOSUPERUSER,", True),
        ("CREATEDB CREATEROLE", False),
        ("CREATEDB, CREATEROLE", False),
        ("IN ROLE pg_monitor", False),
        ("NOBODY", False),
    ],
)
def test_flags_are_words_between_commas(flags: str, right: bool) -> None:
    assert bool(FLAGS.fullmatch(flags)) is right


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
