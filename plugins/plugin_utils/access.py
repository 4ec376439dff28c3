# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How clients reach a cluster, and where its certificate authority and passwords are; never a secret's value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.table import table

BY_ROLE = {
    "primary": "PostgreSQL, reads and writes (the primary)",
    "standby": "PostgreSQL, reads only (the standbys)",
    "any": "PostgreSQL, reads only (all members)",
}


@dataclass(frozen=True, slots=True)
class Files:
    """Where the certificate authority and the passwords are on the controller; C(secrets) is empty where unknown."""

    authority: str
    secrets: str
    encrypted: bool = False


def cluster_text(ha: Mapping[str, Any], files: Files) -> str:
    """Return what a cluster's user needs first.

    :arg ha: what the topology derived for any of its hosts.
    """
    rows = [*_services(ha)]
    if ha["postgresql"]:
        rows.append(["CA", f"{files.authority}, on the hosts {ha['tls']['ca']}"])
        rows += [*_passwords(ha, files), *_example(ha, files)]
    return f"Cluster {ha['cluster']}\n{table(rows)}"


def _services(ha: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield address, port and service; in a cluster without pools, those of the members."""
    balancers = [member["address"] for member in ha["members"] if "haproxy" in member["components"]]
    for pool in ha["pools"]:
        for address in pool["addresses"] or balancers:
            yield [f"{address} port {pool['port']}", _served(pool, ha)]
    if ha["postgresql"] and not any(pool["role"] == "primary" for pool in ha["pools"]):
        for member in ha["postgresql"]["members"]:
            yield [f"{member['address']} port {ha['postgresql']['port']}", f"PostgreSQL on {member['name']}"]


def _served(pool: Mapping[str, Any], ha: Mapping[str, Any]) -> str:
    if pool["service"] == "pgbouncer" and ha["pooler"]:
        return f"PgBouncer in {ha['pooler']['mode']} mode, reads and writes"
    return BY_ROLE.get(pool["role"] or "", f"{pool['service']} (pool {pool['name']})")


def _passwords(ha: Mapping[str, Any], files: Files) -> Iterator[list[str]]:
    where = f"{files.secrets}{' (ansible-vault view)' if files.encrypted else ''}" if files.secrets else "the inventory"
    names = ", ".join(role["name"] for role in _there(ha["postgresql"]["roles"]))
    yield ["passwords", f"{where}: {f'ha_role_passwords for {names}; ' if names else ''}ha_secrets for all others"]


def _example(ha: Mapping[str, Any], files: Files) -> Iterator[list[str]]:
    """Yield a command that logs in to the primary, if a database is declared."""
    pool = next((pool for pool in ha["pools"] if pool["role"] == "primary" and pool["addresses"]), None)
    members = [member["address"] for member in ha["postgresql"]["members"]]
    for database in _there(ha["postgresql"]["databases"])[:1]:
        words = {
            "host": pool["addresses"][0] if pool else ",".join(members),
            "port": (pool or ha["postgresql"])["port"],
            "dbname": database["name"],
            "user": database["owner"],
            "sslmode": "verify-full",
            "sslrootcert": files.authority,
            **({} if pool else {"target_session_attrs": "read-write"}),
        }
        yield ["connect", f'psql "{" ".join(f"{name}={value}" for name, value in words.items())}"']


def _there(objects: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the databases or roles that are declared to exist."""
    return [item for item in objects if item.get("state", "present") == "present"]
