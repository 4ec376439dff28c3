#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_extensions
short_description: Create, update and drop extensions in several databases
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Connects to the one of several servers that accepts writes, once to each database.
  - An extension whose library the server has not loaded waits for a restart, which is no error; see RV(waiting).
  - Drops nothing that other objects depend on.
attributes:
  check_mode:
    support: full
    description: Compares only. Assumes that packages are installed and libraries loaded before.
  diff_mode:
    support: full
    description: Lists the actions.
options:
  hosts:
    description: Addresses of the servers.
    type: list
    elements: str
    required: true
  port:
    description: Port of the servers.
    type: int
    default: 5432
  login_user:
    description: Name of a superuser.
    type: str
    default: postgres
  login_password:
    description: Its password.
    type: str
    required: true
  sslmode:
    description: How the server's certificate is verified, as libpq has it.
    type: str
    default: verify-full
  ca:
    description: File with the certificate authority.
    type: path
    required: true
  extensions:
    description: The extensions, in the order in which they are created. They are dropped in the opposite order.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the extension. Others that it requires are created, too.
        type: str
        required: true
      database:
        description: Database it belongs to.
        type: str
        required: true
      schema:
        description: Schema of its objects, which is created where it is missing.
        type: str
      version:
        description: Its version. By default, and with V(latest), the newest one of the server's files.
        type: str
      library:
        description: Library that the server must have loaded at its start.
        type: str
      state:
        description: Whether it exists.
        type: str
        choices: [present, absent]
        default: present
notes:
  - Requires psycopg2 on the host.
"""

EXAMPLES = r"""
- name: Declare extensions
  holdfast.ha.postgresql_extensions:
    hosts: [192.0.2.11, 192.0.2.12]
    login_password: "{{ ha_secrets.postgresql_superuser }}"
    ca: /etc/holdfast/tls/ca.crt
    extensions:
      - {name: vector, database: app}
      - {name: pg_cron, database: app, library: pg_cron}
"""

RETURN = r"""
actions:
  description: The actions that were, or would be, carried out.
  returned: success
  type: list
  elements: str
  sample: ["app: create extension vector"]
waiting:
  description: Extensions that need a library which the server loads with its next restart, with their database.
  returned: success
  type: list
  elements: str
  sample: ["app: pg_cron"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_extensions import (
    QUESTION,
    Found,
    Unavailable,
    Wanted,
    by_database,
    plan,
)
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import guarded, psycopg2, sentence

EXTENSION: dict[str, Any] = {
    **{key: {"type": "str", "required": True} for key in ("name", "database")},
    **{key: {"type": "str"} for key in ("schema", "version", "library")},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
ARGUMENTS: dict[str, Any] = {
    "hosts": {"type": "list", "elements": "str", "required": True},
    "port": {"type": "int", "default": 5432},
    "login_user": {"type": "str", "default": "postgres"},
    "login_password": {"type": "str", "required": True, "no_log": True},
    "sslmode": {"type": "str", "default": "verify-full"},
    "ca": {"type": "path", "required": True},
    "extensions": {"type": "list", "elements": "dict", "default": [], "options": EXTENSION},
}
DEPENDENT_OBJECTS = "2BP01"


class Database:
    """A database on the server that accepts writes."""

    def __init__(self, settings: dict[str, Any], name: str) -> None:
        """Connect. Raises psycopg2.Error."""
        self._link = psycopg2.connect(**guarded(settings, psycopg2.extensions.libpq_version()), dbname=name)
        self._link.autocommit = True

    def found(self) -> Found:
        """Return what it has."""
        return Found(**self.ask(QUESTION)[0][0])

    def ask(self, statement: str) -> list[Any]:
        """Return the rows of a statement. Raises psycopg2.Error."""
        with self._link.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def close(self) -> None:
        """End the session."""
        self._link.close()


def settings_of(params: dict[str, Any]) -> dict[str, Any]:
    """Return libpq's settings for the server that accepts writes."""
    return {
        "host": ",".join(params["hosts"]),
        "port": params["port"],
        "user": params["login_user"],
        "password": params["login_password"],
        "sslmode": params["sslmode"],
        "sslrootcert": params["ca"],
        "target_session_attrs": "read-write",
        "connect_timeout": 3,
    }


def converge(settings: dict[str, Any], name: str, wanted: list[Wanted], check: bool) -> tuple[list[str], list[str]]:
    """Compare one database, apply unless in check mode, and return its actions and the extensions that wait.

    Raises Unavailable and psycopg2.Error.
    """
    database = Database(settings, name)
    try:
        statements, waiting = plan(wanted, database.found(), foresees=check)
        for statement in () if check else statements:
            database.ask(statement.sql)
    finally:
        database.close()
    return [f"{name}: {statement.text}" for statement in statements], [f"{name}: {one}" for one in waiting]


def work(params: dict[str, Any], check: bool) -> dict[str, Any]:
    """Return the module's result. Raises Unavailable and psycopg2.Error."""
    actions: list[str] = []
    waiting: list[str] = []
    for name, wanted in by_database(params["extensions"]).items():
        done, left = converge(settings_of(params), name, wanted, check)
        actions += done
        waiting += left
    diff = {"before": "", "after": "".join(f"{action}\n" for action in actions)}
    return {"changed": bool(actions), "actions": actions, "waiting": waiting, "diff": diff}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if psycopg2 is None:
        module.fail_json(msg="psycopg2 is missing: install python3-psycopg2 on this host")
    try:
        result = work(module.params, module.check_mode)
    except Unavailable as error:
        module.fail_json(msg=str(error))
    except psycopg2.Error as error:
        module.fail_json(msg=" ".join(str(error).split()) if error.pgcode == DEPENDENT_OBJECTS else sentence(error))
    if result["waiting"]:
        module.warn(f"extensions that wait for a restart and another run: {', '.join(result['waiting'])}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
