# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declared SQL objects on trial: the statements that make them in a scratch cluster, and what their failures mean."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_check import Refusal, Report

Declared = Mapping[str, t.Any]
AVAILABLE = "SELECT name, version FROM pg_available_extension_versions"


@dataclass(frozen=True)
class Statement:
    """One line of SQL and the declaration that it tries."""

    where: str
    sql: str


def statements_of(roles: Iterable[Declared], databases: Iterable[Declared]) -> list[Statement]:
    """Return what makes the roles, then the databases with an encoding or a locale, as far as they are to exist."""
    present = [role for role in roles if is_present(role)]
    # Of the others nothing but the name could be refused, and each takes 7 MB.
    made = [one for one in databases if is_present(one) and (one.get("encoding") or one.get("locale"))]
    names = {str(role["name"]) for role in present}
    templates = {"template0", "template1"}
    statements = [Statement(f"the role {role['name']!r}", role_sql(role)) for role in present]
    for database in made:
        statements.append(Statement(f"the database {database['name']!r}", database_sql(database, names, templates)))
        templates.add(str(database["name"]))
    return statements


def is_present(declared: Declared) -> bool:
    """Whether an object is to exist."""
    return declared.get("state") != "absent"


def role_sql(role: Declared) -> str:
    """Return the statement that makes a role; the superuser, who is there, stays as it is."""
    flags = " ".join(str(role.get("flags") or "").replace(",", " ").split())
    limit = role.get("connection_limit")
    words = ["CREATE ROLE", identifier(role["name"]), flags, f"CONNECTION LIMIT {limit}" if limit is not None else ""]
    return " ".join(filter(None, words))


def database_sql(database: Declared, roles: set[str], templates: set[str]) -> str:
    """Return the statement that makes a database. An owner or a template that only the real cluster has is left out."""
    template = str(database.get("template") or "template0")
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


def reserved_refusals(objects: Iterable[Declared], reserved: Declared) -> Iterator[Refusal]:
    """Yield a refusal for each role or database, present or not, that has a name of somebody else's."""
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
