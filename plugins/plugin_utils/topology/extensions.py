# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's extensions: what each one needs, the rules for declared ones, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_version import PLACEHOLDER
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.node import suggestion
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import OPAQUE, Problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Cluster
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.schema import Extension

SERVER = f"postgresql-{PLACEHOLDER}"
MAINTENANCE_DATABASE = "postgres"


@dataclass(frozen=True)
class Known:
    """What an extension needs.

    package: Debian's, "" for one that comes with the server. library: what the server loads at its start, "" for none.
    database_parameter: PostgreSQL's parameter for the only database that may have it. is_created: whether CREATE
    EXTENSION makes it; others are libraries only.
    """

    package: str = ""
    library: str = ""
    database_parameter: str = ""
    is_created: bool = True


KNOWN: Mapping[str, Known] = {
    "auto_explain": Known(library="auto_explain", is_created=False),
    "h3": Known(f"{SERVER}-h3"),
    "hll": Known(f"{SERVER}-hll"),
    "http": Known(f"{SERVER}-http"),
    "hypopg": Known(f"{SERVER}-hypopg"),
    "ip4r": Known(f"{SERVER}-ip4r"),
    "orafce": Known(f"{SERVER}-orafce"),
    "periods": Known(f"{SERVER}-periods"),
    "pg_cron": Known(f"{SERVER}-cron", "pg_cron", "cron.database_name"),
    "pg_hint_plan": Known(f"{SERVER}-pg-hint-plan"),
    "pg_partman": Known(f"{SERVER}-partman"),
    "pg_prewarm": Known(library="pg_prewarm"),
    "pg_qualstats": Known(f"{SERVER}-pg-qualstats", "pg_qualstats"),
    "pg_repack": Known(f"{SERVER}-repack"),
    "pg_squeeze": Known(f"{SERVER}-squeeze", "pg_squeeze"),
    "pg_stat_kcache": Known(f"{SERVER}-pg-stat-kcache", "pg_stat_kcache"),
    "pg_stat_statements": Known(library="pg_stat_statements"),
    "pg_wait_sampling": Known(f"{SERVER}-pg-wait-sampling", "pg_wait_sampling"),
    "pgaudit": Known(f"{SERVER}-pgaudit", "pgaudit"),
    "pglogical": Known(f"{SERVER}-pglogical", "pglogical"),
    "pgrouting": Known(f"{SERVER}-pgrouting"),
    "pgtap": Known(f"{SERVER}-pgtap"),
    "plpgsql_check": Known(f"{SERVER}-plpgsql-check"),
    "plpython3u": Known(f"postgresql-plpython3-{PLACEHOLDER}"),
    "postgis": Known(f"{SERVER}-postgis-3"),
    "postgis_raster": Known(f"{SERVER}-postgis-3"),
    "postgis_topology": Known(f"{SERVER}-postgis-3"),
    "prefix": Known(f"{SERVER}-prefix"),
    "rum": Known(f"{SERVER}-rum"),
    "semver": Known(f"{SERVER}-semver"),
    "timescaledb": Known(f"{SERVER}-timescaledb", "timescaledb"),
    "vector": Known(f"{SERVER}-pgvector"),
}
"""Extensions that need a package or a library. Those of PostgreSQL itself need neither."""

FIRST = ("timescaledb", "pg_stat_statements")
"""Libraries that must be loaded before all others, and in this order: those that the others build upon or hook into."""


def known(extension: Extension) -> Known:
    """What an extension needs; its declaration takes precedence."""
    found = KNOWN.get(extension.name or "", Known())
    package = found.package if extension.package is None else extension.package
    library = found.library if extension.library is None else extension.library
    return Known(package, library, found.database_parameter, found.is_created)


def check_extensions(cluster: Cluster, problems: Problems) -> None:
    """Note extensions that are declared twice, or in databases that can't have them."""
    seen: set[str] = set()
    for place, extension in _placed(cluster):
        if extension.name in seen:
            problems.add(f"{place}.name", extension.name, "is declared twice", "merge the two entries")
        seen.add(str(extension.name))
        for what, fix in _database_problems(cluster, extension):
            problems.add(f"{place}.databases", list(databases(cluster, extension)), what, fix)
    if cluster.extensions and "postgresql" not in cluster.members:
        fix = f"name a group in {cluster.path}.groups.postgresql"
        problems.add(f"{cluster.path}.extensions", OPAQUE, "has no PostgreSQL in the cluster", fix)


def _placed(cluster: Cluster) -> Iterator[tuple[str, Extension]]:
    for index, extension in enumerate(cluster.extensions):
        yield f"{cluster.path}.extensions[{index}]", extension


def _database_problems(cluster: Cluster, extension: Extension) -> Iterator[tuple[str, str]]:
    names, needs = databases(cluster, extension), known(extension)
    there = [*_declared_databases(cluster), MAINTENANCE_DATABASE]
    for name in names:
        if name not in there:
            yield f"names {name!r}, which is no declared database", suggestion(name, there)
    if not needs.is_created and names:
        yield "names databases, but this is a library without an extension", "remove it"
    if needs.is_created and not names and not needs.library:
        yield "names no database, and the server loads nothing for this extension", "name one, or remove the entry"
    if needs.database_parameter and len(names) > 1:
        yield f"has several databases, but {extension.name} works in one", f"name one, such as [{names[0]}]"


def _declared_databases(cluster: Cluster) -> list[str]:
    return [database.name for database in cluster.databases if database.values.get("state") != "absent"]


def databases(cluster: Cluster, extension: Extension) -> tuple[str, ...]:
    """Databases that have an extension: the named ones, else all declared ones."""
    if extension.databases is not None:
        return extension.databases
    return tuple(_declared_databases(cluster)) if known(extension).is_created else ()


def objects(cluster: Cluster) -> list[dict[str, Any]]:
    """The extensions of every database, as the role postgresql_objects takes them."""
    return [
        {
            "name": extension.name,
            "database": database,
            "state": extension.state,
            **({"schema": extension.schema} if extension.schema else {}),
            **({"version": extension.version} if extension.version else {}),
            **({"library": library} if (library := known(extension).library) else {}),
        }
        for extension in cluster.extensions
        for database in databases(cluster, extension)
    ]


def present(cluster: Cluster) -> list[Extension]:
    """Extensions that must be there."""
    return [extension for extension in cluster.extensions if extension.state != "absent"]


def libraries(cluster: Cluster) -> list[str]:
    """Libraries that the server loads at its start, in their order."""
    found = dict.fromkeys(library for extension in present(cluster) if (library := known(extension).library))
    return sorted(found, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))


def parameters(cluster: Cluster) -> dict[str, str]:
    """PostgreSQL's parameters that the extensions need."""
    loaded = {"shared_preload_libraries": ",".join(libraries(cluster))} if libraries(cluster) else {}
    homes = ((known(extension).database_parameter, databases(cluster, extension)) for extension in present(cluster))
    return loaded | {parameter: names[0] for parameter, names in homes if parameter and names}


def packages(cluster: Cluster) -> list[str]:
    """Debian's packages of the extensions, with C(%v) in place of PostgreSQL's major version."""
    return sorted({package for extension in present(cluster) if (package := known(extension).package)})
