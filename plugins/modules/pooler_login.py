#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: pooler_login
short_description: Have a PgBouncer learn new passwords of SQL roles
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Logs in at this host's PgBouncer as SQL roles with their new passwords, in each database where it has a pool of such
    a role. PgBouncer opens connections to the server with what the last login proved. So clients that logged in with
    the former password get new connections, too.
  - A role without a pool needs none of this.
attributes:
  check_mode:
    support: full
    description: Does nothing.
  diff_mode:
    support: none
    description: There is nothing to compare.
options:
  port:
    description: The PgBouncer's port on the loopback address.
    type: int
    default: 6432
  username:
    description: User of the admin console, one of its C(admin_users).
    type: str
    default: holdfast
  password:
    description: Password of that user.
    type: str
    required: true
  passwords:
    description: The new passwords, by SQL role.
    type: dict
    required: true
notes:
  - Requires psycopg2 on the host.
"""

EXAMPLES = r"""
- name: Let the pooler use the new password
  holdfast.ha.pooler_login:
    password: "{{ ha_secrets.pgbouncer }}"
    passwords:
      app: "{{ ha_role_passwords.app }}"
"""

RETURN = r"""
pools:
  description: The pools, as ROLE@DATABASE.
  returned: success
  type: list
  elements: str
  sample: [app@app]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.pgbouncer import (
    ANSWER_SECONDS,
    CONSOLE_DATABASE,
    Console,
    local_settings,
    pools_of,
)
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import connect, psycopg2, sentence

ARGUMENTS: dict[str, Any] = {
    "port": {"type": "int", "default": 6432},
    "username": {"type": "str", "default": "holdfast"},
    "password": {"type": "str", "required": True, "no_log": True},
    "passwords": {"type": "dict", "required": True, "no_log": True},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    if psycopg2 is None:
        module.fail_json(msg="psycopg2 is missing: install python3-psycopg2 on this host")
    if module.check_mode:
        module.exit_json(changed=False, pools=[])
    console = Console(local_settings(params["port"], CONSOLE_DATABASE, params["username"], params["password"]))
    try:
        pools = pools_of(console.ask("SHOW POOLS", ANSWER_SECONDS), params["passwords"])
        for role, database in pools:
            connect(local_settings(params["port"], database, role, params["passwords"][role]), ANSWER_SECONDS).close()
    except (TimeoutError, psycopg2.Error) as error:
        module.fail_json(msg=sentence(error))
    finally:
        console.close()
    module.exit_json(changed=bool(pools), pools=[f"{role}@{database}" for role, database in pools])


if __name__ == "__main__":
    main()
