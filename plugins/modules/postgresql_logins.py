#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_logins
short_description: Set passwords of SQL roles, and manage roles that stand in for others
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Works over the local socket, as root or the superuser's operating system user, so that no password is needed. Run it
    on all members; only the primary's changes anything.
  - Sends the server what it stores of a password (SCRAM-SHA-256), never the password itself.
attributes:
  check_mode:
    support: full
    description: Compares, and does not wait for O(upstream).
  diff_mode:
    support: full
    description: Lists the actions, never a password.
options:
  port:
    description: Port of the server.
    type: int
    default: 5432
  socket_directory:
    description: Directory of the local socket.
    type: path
    default: /var/run/postgresql
  superuser:
    description: Name of the superuser.
    type: str
    default: postgres
  roles:
    description: Roles that have the passwords in O(passwords).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the role. Without O(roles[].like), a role that does not exist is left out.
        type: str
        required: true
      like:
        description: The role for which it stands in. It is created as a member of that one.
        type: str
        default: ""
      replication:
        description: Whether a role with O(roles[].like) may replicate.
        type: bool
        default: false
  passwords:
    description: Passwords of O(roles), by name.
    type: dict
    default: {}
  absent:
    description: Roles that must not exist. They own nothing, as roles that stand in for others.
    type: list
    elements: str
    default: []
  upstream:
    description: On a standby, the role as which it must receive WAL; the module waits for that.
    type: str
    default: ""
  timeout:
    description: Seconds to wait for O(upstream).
    type: float
    default: 60
notes:
  - Requires psycopg2 on the host.
"""

EXAMPLES = r"""
- name: Let another role replicate, too
  holdfast.ha.postgresql_logins:
    roles: [{name: replicator_next, like: replicator, replication: true}]
    passwords:
      replicator_next: "{{ ha_secrets.postgresql_replication }}"
"""

RETURN = r"""
primary:
  description: Whether the server accepts writes.
  returned: success
  type: bool
actions:
  description: The actions that were, or would be, carried out.
  returned: success
  type: list
  elements: str
  sample: [add role replicator_next, grant replicator to replicator_next]
"""

import secrets
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_logins import Server, Wanted, plan
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import psycopg2, sentence

ARGUMENTS: dict[str, Any] = {
    "port": {"type": "int", "default": 5432},
    "socket_directory": {"type": "path", "default": "/var/run/postgresql"},
    "superuser": {"type": "str", "default": "postgres"},
    "roles": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "like": {"type": "str", "default": ""},
            "replication": {"type": "bool", "default": False},
        },
    },
    "passwords": {"type": "dict", "default": {}, "no_log": True},
    "absent": {"type": "list", "elements": "str", "default": []},
    "upstream": {"type": "str", "default": ""},
    "timeout": {"type": "float", "default": 60},
}


def work(server: Server, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Compare, apply unless in check mode, and return the module's result."""
    if not server.is_primary():
        waits = params["upstream"] and not check_mode
        why = server.wait_for_upstream(params["upstream"], params["timeout"]) if waits else ""
        return {"changed": False, "primary": False, "actions": [], **({"failed": True, "msg": why} if why else {})}
    wanted = [Wanted(password=params["passwords"][role["name"]], **role) for role in params["roles"]]
    names = {*params["absent"], *(name for role in wanted for name in (role.name, role.like) if name)}
    statements = plan(server.roles(sorted(names)), wanted, params["absent"], secrets.token_bytes)
    for statement in () if check_mode else statements:
        server.ask(statement.sql)
    actions = [statement.text for statement in statements]
    diff = {"before": "", "after": "".join(f"{action}\n" for action in actions)}
    return {"changed": bool(actions), "primary": True, "actions": actions, "diff": diff}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    if psycopg2 is None:
        module.fail_json(msg="psycopg2 is missing: install python3-psycopg2 on this host")
    without = sorted({role["name"] for role in params["roles"]} - params["passwords"].keys())
    if without:
        module.fail_json(msg=f"passwords: none for {', '.join(without)}")
    settings = {"host": params["socket_directory"], "port": params["port"], "user": params["superuser"]}
    server = Server({**settings, "dbname": "postgres"})
    try:
        result = work(server, params, module.check_mode)
    except (TimeoutError, psycopg2.Error) as error:
        module.fail_json(msg=sentence(error))
    finally:
        server.close()
    module.exit_json(**result)


if __name__ == "__main__":
    main()
