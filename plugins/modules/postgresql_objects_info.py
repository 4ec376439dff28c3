#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_objects_info
short_description: Report a server's roles, databases and replication slots
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Asks the running server as its superuser through the local socket.
  - Leaves out PostgreSQL's built-in roles and databases.
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: Changes nothing.
options:
  port:
    description: Port of the server.
    type: int
    default: 5432
  user:
    description: Operating system user that may connect as a superuser through the local socket.
    type: str
    default: postgres
"""

EXAMPLES = r"""
- name: Read the server's objects
  holdfast.ha.postgresql_objects_info:
  register: objects
"""

RETURN = r"""
primary:
  description: Whether the server accepts writes.
  returned: success
  type: bool
roles:
  description: Names of the roles.
  returned: success
  type: list
  elements: str
  sample: [app, replicator, rewinder]
databases:
  description: Names of the databases.
  returned: success
  type: list
  elements: str
  sample: [app]
slots:
  description: >-
    The replication slots, each with its C(name), whether it is C(active), and C(retained), the bytes of WAL that it
    keeps; null where it keeps none yet.
  returned: success
  type: list
  elements: dict
  sample: [{name: db2, active: true, retained: 0}]
"""

import json

from ansible.module_utils.basic import AnsibleModule

# The first object that a user can make is 16384.
QUESTION = """
SELECT json_build_object(
  'primary', NOT pg_is_in_recovery(),
  'roles', (SELECT coalesce(json_agg(rolname ORDER BY rolname), '[]') FROM pg_roles WHERE oid >= 16384),
  'databases', (SELECT coalesce(json_agg(datname ORDER BY datname), '[]') FROM pg_database WHERE oid >= 16384),
  'slots', (
    SELECT coalesce(
      json_agg(
        json_build_object(
          'name', slot_name, 'active', active, 'retained', pg_wal_lsn_diff(
            CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn
          )::bigint
        ) ORDER BY slot_name
      ), '[]'
    ) FROM pg_replication_slots
  )
)
"""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"port": {"type": "int", "default": 5432}, "user": {"type": "str", "default": "postgres"}},
        supports_check_mode=True,
    )
    ask = ["runuser", "-u", module.params["user"], "--"]
    ask += ["psql", "-XAtq", "-d", "postgres", "-p", str(module.params["port"]), "-c", QUESTION]
    code, answer, error = module.run_command(ask, environ_update={"PGCONNECT_TIMEOUT": "5"}, cwd="/")
    if code != 0:
        module.fail_json(msg=f"the server does not answer: {error.strip()}")
    module.exit_json(changed=False, **json.loads(answer))


if __name__ == "__main__":
    main()
