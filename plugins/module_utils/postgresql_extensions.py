# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database's extensions lack: the statements, and what must wait for a restart. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_objects import identifier, literal

LATEST = "latest"
QUESTION = """
SELECT json_build_object(
  'installed', (
    SELECT coalesce(json_object_agg(extname, json_build_object('version', extversion, 'schema', nspname)), '{}')
    FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
  ),
  'available', (SELECT coalesce(json_object_agg(name, default_version), '{}') FROM pg_available_extensions),
  'schemas', (SELECT json_agg(nspname) FROM pg_namespace),
  'loaded', regexp_split_to_array(current_setting('shared_preload_libraries'), '[[:space:]]*,[[:space:]]*')
)
"""
"""What a database has, as the fields of Found."""


@dataclass(frozen=True)
class Wanted:
    """A declared extension of a database. C(library) is what the server must have loaded before, "" for nothing."""

    name: str
    database: str
    state: str = "present"
    schema: str | None = None
    version: str | None = None
    library: str | None = None


@dataclass(frozen=True)
class Found:
    """A database: its extensions with version and schema, the default versions of the server's files, and more."""

    installed: Mapping[str, Mapping[str, str]]
    available: Mapping[str, str]
    schemas: Iterable[str]
    loaded: Iterable[str]


@dataclass(frozen=True)
class Statement:
    """One change: what it does in words, and in SQL."""

    text: str
    sql: str


class Unavailable(ValueError):  # noqa: N818 - why an extension can't be made
    """Why a declared extension can't exist: the declaration, and the fix."""


def plan(wanted: Iterable[Wanted], found: Found, *, foresees: bool = False) -> tuple[list[Statement], list[str]]:
    """Return what a database lacks, and the names of the extensions whose library the server has not loaded yet.

    What goes comes first, in the opposite order. Raises Unavailable.

    :arg foresees: whether packages will have been installed and libraries loaded before, as in check mode.
    """
    wanted = list(wanted)
    gone = [one for one in reversed(wanted) if one.state == "absent" and one.name in found.installed]
    statements = [Statement(f"drop extension {one.name}", f"DROP EXTENSION {identifier(one.name)}") for one in gone]
    waiting: list[str] = []
    for one in wanted:
        if one.state != "absent" and not foresees:
            _require_files(one, found)
        lacking = list(_lacking(one, found)) if one.state != "absent" else []
        if lacking and one.library and one.library not in found.loaded and not foresees:
            waiting.append(one.name)
        else:
            statements += lacking
    return statements, waiting


def _require_files(one: Wanted, found: Found) -> None:
    if one.name not in found.installed and one.name not in found.available:
        fix = "install its package on all members, or correct the name"
        raise Unavailable(f"the extension {one.name!r} of database {one.database!r} is not installed: {fix}")


def _lacking(one: Wanted, found: Found) -> Iterator[Statement]:
    """Yield what makes an extension what it should be."""
    name, is_there = identifier(one.name), found.installed.get(one.name)
    if one.schema and one.schema not in found.schemas:
        yield Statement(f"create schema {one.schema}", f"CREATE SCHEMA IF NOT EXISTS {identifier(one.schema)}")
    version = one.version if one.version != LATEST else None
    if is_there is None:
        place = f" SCHEMA {identifier(one.schema)}" if one.schema else ""
        exact = f" VERSION {literal(version)}" if version else ""
        yield Statement(f"create extension {one.name}", f"CREATE EXTENSION {name}{place}{exact} CASCADE")
        return
    target = version or found.available.get(one.name, is_there["version"])
    if target != is_there["version"]:
        text = f"update extension {one.name} from {is_there['version']} to {target}"
        yield Statement(text, f"ALTER EXTENSION {name} UPDATE TO {literal(target)}")
    if one.schema and one.schema != is_there["schema"]:
        text = f"move extension {one.name} from schema {is_there['schema']} to {one.schema}"
        yield Statement(text, f"ALTER EXTENSION {name} SET SCHEMA {identifier(one.schema)}")


def by_database(extensions: Iterable[Mapping[str, Any]]) -> dict[str, list[Wanted]]:
    """Return declared extensions by database."""
    found: dict[str, list[Wanted]] = {}
    for one in extensions:
        wanted = Wanted(**{key: value for key, value in one.items() if value is not None})
        found.setdefault(wanted.database, []).append(wanted)
    return found
