# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validation of declared SQL objects: statements that create them in a scratch cluster, and what their failures
mean."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_check import Refusal, Report

Declared = Mapping[str, Any]
AVAILABLE = "SELECT name, version FROM pg_available_extension_versions"
TEMPLATES = frozenset({"template0", "template1"})
FLAG = "((NO)?(SUPERUSER|CREATEDB|CREATEROLE|INHERIT|LOGIN|REPLICATION|BYPASSRLS))?"
FLAGS = re.compile(f"{FLAG}(,{FLAG})*", re.IGNORECASE)
IMPLICIT_ROLES = frozenset({"PUBLIC", "CURRENT_ROLE", "CURRENT_USER", "SESSION_USER"})
EXISTING = """
SELECT json_build_object(
  'databases', (SELECT json_object_agg(datname, json_build_object(
    'encoding', pg_encoding_to_char(encoding), 'LC_COLLATE', datcollate, 'LC_CTYPE', datctype)) FROM pg_database),
  'roles', (SELECT json_agg(rolname) FROM pg_roles),
  'encodings', (SELECT json_object_agg(word, pg_encoding_to_char(pg_char_to_encoding(word::name)))
    FROM unnest(ARRAY[{words}]::text[]) AS word))
"""


@dataclass(frozen=True)
class Existing:
    """What a running cluster has: databases with encoding, LC_COLLATE and LC_CTYPE, roles, and encodings' names."""

    databases: Mapping[str, Mapping[str, str]]
    roles: Collection[str]
    encodings: Mapping[str, str]


NOTHING = Existing({}, (), {})


@dataclass(frozen=True)
class Statement:
    """One line of SQL and the declaration that it tries."""

    where: str
    sql: str


def existing_query(databases: Iterable[Declared]) -> str:
    """Return the query that answers with the fields of Existing as one JSON object."""
    words = sorted({str(one["encoding"]) for one in databases if one.get("encoding")})
    return EXISTING.format(words=", ".join(map(literal, words)))


def statements_of(
    roles: Iterable[Declared], databases: Sequence[Declared], existing: Existing = NOTHING
) -> list[Statement]:
    """Return the statements for the roles, then for the databases with options of their own."""
    present = [role for role in roles if is_present(role)]
    copied = {one.get("template") for one in databases}
    # Of the others nothing but the name could be refused, and each takes 7 MB.
    made = [
        one
        for one in databases
        if is_present(one)
        and one["name"] not in existing.databases
        and (one.get("encoding") or one.get("locale") or one.get("template") or one["name"] in copied)
    ]
    names = {str(role["name"]) for role in present}
    templates = set(TEMPLATES)
    statements = [Statement(f"the role {role['name']!r}", role_sql(role)) for role in present]
    for database in made:
        statements.append(Statement(f"the database {database['name']!r}", database_sql(database, names, templates)))
        templates.add(str(database["name"]))
    return statements


def is_present(declared: Declared) -> bool:
    """Whether an object must exist."""
    return declared.get("state") != "absent"


def role_sql(role: Declared) -> str:
    """Return the statement that creates a role; the existing superuser stays unchanged."""
    flags = " ".join(filter(None, dict.fromkeys(str(role.get("flags") or "").upper().split(","))))
    limit = role.get("connection_limit")
    words = ["CREATE ROLE", identifier(role["name"]), flags, f"CONNECTION LIMIT {limit}" if limit is not None else ""]
    return " ".join(filter(None, words))


def database_sql(database: Declared, roles: set[str], templates: set[str]) -> str:
    """Return the statement that makes a database. An owner or a template that only the real cluster has is left out."""
    of_its_own = database.get("encoding") or database.get("locale")
    template = str(database.get("template") or ("template0" if of_its_own else "template1"))
    words = [f"CREATE DATABASE {identifier(database['name'])} TEMPLATE"]
    words.append(identifier(template if template in templates else "template0"))
    if str(database.get("owner")) in roles:
        words.append(f"OWNER {identifier(database['owner'])}")
    for key, options in (("encoding", ("ENCODING",)), ("locale", ("LC_COLLATE", "LC_CTYPE"))):
        if database.get(key):
            words += [f"{option} {literal(database[key])}" for option in options]
    return " ".join(words)


def identifier(name: object) -> str:
    """Return a name quoted for SQL."""
    return '"' + str(name).replace('"', '""') + '"'


def literal(text: object) -> str:
    """Return a text quoted for SQL."""
    return "'" + str(text).replace("'", "''") + "'"


def object_refusals(statements: Iterable[Statement], found: Sequence[Report]) -> Iterator[Refusal]:
    """Yield a refusal for each statement that failed."""
    for statement in statements:
        for report in found:
            if report.statement == statement.sql:
                yield Refusal(statement.where, str(report), "correct its declaration")


def existing_refusals(databases: Iterable[Declared], existing: Existing) -> Iterator[Refusal]:
    """Yield a refusal for each encoding or locale that an existing database does not have."""
    for database in filter(is_present, databases):
        found = existing.databases.get(str(database["name"]), {})
        encoding, locale = database.get("encoding"), database.get("locale")
        wished = {"encoding": existing.encodings.get(str(encoding)) if encoding else None}
        wished |= dict.fromkeys(("LC_COLLATE", "LC_CTYPE"), locale)
        for key, value in wished.items():
            if found and value and value != found[key]:
                why = f"has {key} {found[key]}, not {value}; PostgreSQL can't change it"
                yield Refusal(f"the database {database['name']!r}", why, f"declare {found[key]}, or remove the line")


def template_refusals(databases: Iterable[Declared], existing: Existing) -> Iterator[Refusal]:
    """Yield a refusal for each template of a new database that does not exist when it is needed."""
    there = {*TEMPLATES, *existing.databases} - {"postgres"}
    for database in filter(is_present, databases):
        template = str(database.get("template") or "template1")
        if str(database["name"]) not in existing.databases and template not in there:
            why = f"is a copy of {template!r}, which is not there when it is made, or always in use"
            fix = "declare that before it, or name template0 or template1"
            yield Refusal(f"the database {database['name']!r}", why, fix)
        there.add(str(database["name"]))


def unknown_refusals(
    extensions: Iterable[Declared], privileges: Iterable[Declared], databases: Collection[str], roles: Collection[str]
) -> Iterator[Refusal]:
    """Yield a refusal for each extension or privilege of a database or role that does not exist."""
    named = [(f"the extension {one['name']!r}", one) for one in extensions]
    named += [(f"the privileges of {one['roles']!r}", one) for one in privileges]
    for where, one in named:
        if str(one["database"]) not in databases:
            why = f"name the database {one['database']!r}, which is neither declared nor there"
            yield Refusal(where, why, "declare it, or correct the name")
        for role in ",".join(str(one.get(key) or "") for key in ("roles", "target_roles")).split(","):
            if role and role.upper() not in IMPLICIT_ROLES and role not in roles:
                yield Refusal(where, f"name the role {role!r}, which is neither declared nor there", "declare it")


def reserved_refusals(objects: Iterable[Declared], reserved: Declared) -> Iterator[Refusal]:
    """Yield a refusal for each role or database, present or not, with a reserved name."""
    taken = {str(name).lower(): owner for name, owner in reserved.items()}
    for declared in objects:
        name = str(declared["name"])
        if name.lower() in taken:
            yield Refusal(
                f"the name {name!r}", f"is the collection's own ({taken[name.lower()]})", "choose another one"
            )


def extension_refusals(extensions: Iterable[Declared], available: Iterable[Declared]) -> Iterator[Refusal]:
    """Yield a refusal for each extension of which this host lacks the files."""
    versions: dict[str, list[str]] = {}
    for row in available:
        versions.setdefault(str(row["name"]), []).append(str(row["version"]))
    for extension in filter(is_present, extensions):
        name, version = str(extension["name"]), str(extension.get("version") or "latest")
        where = f"the extension {name!r}"
        if name not in versions:
            yield Refusal(where, "is not installed", "install its package on all members, or correct the name")
        elif version != "latest" and version not in versions[name]:
            yield Refusal(where, f"has no version {version!r}", f"use one of {', '.join(versions[name])}")
