# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of SQL roles and databases: those of the collection or of PostgreSQL, and invalid ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.deployed import STANDIN
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_objects import FLAGS
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import OPAQUE, Opaque, Problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import SQL_ROLES
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Cluster, Inventory, SqlObject
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import RoleSpec

SYSTEM_NAME = re.compile(rf"[a-z_][a-z0-9_]{{0,{62 - len(STANDIN)}}}(?<!{STANDIN})")
"""So short that the name of its stand-in fits, too."""
KEYWORDS = frozenset({"all", "replication", "sameuser", "samerole", "samegroup", "public", "none"})
"""Words with a special meaning in pg_hba.conf or in place of a role."""

DATABASES = frozenset({"postgres", "template0", "template1"})
MOST_BYTES = 63
OTHER = "choose another one"


def check_sql(cluster: Cluster, inventory: Inventory, roles: Mapping[str, RoleSpec], problems: Problems) -> None:
    """Note names that are taken or invalid, and owners that are not declared."""
    taken = taken_roles(cluster, inventory, roles)
    for objects, of_others in ((cluster.roles, taken), (cluster.databases, taken_databases(cluster))):
        seen: set[str] = set()
        for item in objects:
            for what, fix in name_problems(item.name, of_others, is_role=objects is cluster.roles):
                problems.add(f"{item.path}.name", item.name, what, fix)
            if item.name in seen:
                problems.add(f"{item.path}.name", item.name, "is declared twice", "merge the two entries")
            seen.add(item.name)
        if objects and "postgresql" not in cluster.members:
            where, fix = objects[0].path.partition("[")[0], f"name a group in {cluster.path}.groups.postgresql"
            problems.add(where, OPAQUE, "has no PostgreSQL in the cluster", fix)
    for role in cluster.roles:
        flags = role.values.get("flags")
        if isinstance(flags, str) and not FLAGS.fullmatch(flags):
            fix = "use CREATEDB, CREATEROLE, NOLOGIN and the like, separated by commas without blanks"
            problems.add(f"{role.path}.flags", flags, "is not a list of role attributes", fix)
    superusers = {
        name
        for name, variable in taken.items()
        if variable == "patroni_superuser_username" and not name.endswith(STANDIN)
    }
    for database in cluster.databases:
        _owner(cluster, database, superusers, problems)


def _owner(cluster: Cluster, database: SqlObject, superusers: set[str], problems: Problems) -> None:
    roles = [role.name for role in cluster.roles if role.values.get("state") != "absent"]
    owner = database.values["owner"]
    if owner not in (*roles, *superusers) and database.values.get("state") != "absent":
        fix = f"add '- name: {owner}' to {cluster.path}.roles" + (f" or name {' or '.join(roles)}" if roles else "")
        problems.add(f"{database.path}.owner", owner, "is not a declared role", fix)


def taken_roles(cluster: Cluster, inventory: Inventory, roles: Mapping[str, RoleSpec]) -> dict[str, str]:
    """Names of the collection's own SQL roles and their stand-ins, in lower case, and the variables that set them."""
    variables = [inventory.hosts[host.name] for host in cluster.of("postgresql")]
    wanted = {variable: name for component in cluster.parts for variable, name in component.sql_roles.items()}
    found = {name.lower(): variable for host in variables for variable, name in named(host, wanted, roles).items()}
    return found | {f"{name}{STANDIN}": variable for name, variable in found.items()}


def taken_databases(cluster: Cluster) -> dict[str, str]:
    """Names of existing databases, and their owners."""
    own = {name: component.asked_by for component in cluster.parts for name in component.databases}
    return {**dict.fromkeys(DATABASES, "PostgreSQL"), **own}


def named(
    variables: Mapping[str, Any], wanted: Mapping[str, str], roles: Mapping[str, RoleSpec] | None = None
) -> dict[str, str]:
    """The names that a host's variables set, by variable, without unreadable ones."""
    defaults = {name: value for spec in (roles or {}).values() for name, value in spec.defaults.items()}
    found = {variable: variables.get(variable, defaults.get(variable, name)) for variable, name in wanted.items()}
    return {variable: str(name) for variable, name in found.items() if not isinstance(name, Opaque)}


def name_problems(name: str, taken: Mapping[str, str], *, is_role: bool) -> Iterator[tuple[str, str]]:
    """Yield why a name is not possible for a user's role or database, and the fix."""
    known = name.lower()
    if known in taken and known not in DATABASES:
        yield f"is the collection's own ({taken[known]})", OTHER
    elif known in taken or known in DATABASES or known.startswith("pg_"):
        yield "is a name of PostgreSQL's own", OTHER
    elif is_role and known in {"public", "none"}:
        yield "has a special meaning in place of a role's name", OTHER
    if "%" in name:
        yield "holds a %, which community.postgresql takes for a placeholder", "leave it out"
    if len(name.encode()) > MOST_BYTES:
        yield f"is longer than {MOST_BYTES} bytes, after which PostgreSQL cuts it", "shorten it"
    if not name.isprintable():
        yield "holds an invisible character", "leave it out"


def check_system_roles(variables: Mapping[str, Any], problems: Problems) -> None:
    """Note names for the collection's own roles that conflict with PostgreSQL, pg_hba.conf or each other."""
    names = named(variables, SQL_ROLES)
    first: dict[str, str] = {}
    for variable, name in names.items():
        if not SYSTEM_NAME.fullmatch(name) or name in KEYWORDS or name.startswith("pg_"):
            fix = (
                f"use at most {63 - len(STANDIN)} small letters, digits and _, no word of pg_hba.conf, not pg_ at the "
                f"beginning and not {STANDIN} at the end"
            )
            problems.add(variable, name, "can't be the name of a role", fix)
        if name in first:
            what = f"is also {first[name]}; the two have different passwords"
            problems.add(variable, name, what, OTHER)
        first.setdefault(name, variable)
