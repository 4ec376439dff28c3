#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: pooler_reconnect
short_description: Have PgBouncers replace their connections to servers
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Has each connection to a server replaced by a new one as soon as no client uses it. No client notices.
  - So connections leave a balancer that has handed its virtual IP over, see M(holdfast.ha.vip_handover).
attributes:
  check_mode:
    support: full
    description: Does nothing.
  diff_mode:
    support: none
    description: There is nothing to compare.
options:
  poolers:
    description: The PgBouncers, all at the same time.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Name used in messages., type: str, required: true}
      address: {description: "Address of the PgBouncer, as its certificate has it.", type: str, required: true}
      port: {description: Its port., type: int, default: 6432}
  username:
    description: User of the admin consoles, one of their C(admin_users).
    type: str
    default: holdfast
  password:
    description: Password of that user.
    type: str
    required: true
  ca:
    description: Certificate authority to verify the PgBouncers with; without it they are not verified.
    type: path
  timeout:
    description: Seconds to wait until the former connections are closed.
    type: float
    default: 10
notes:
  - Requires psycopg2 on the host.
  - In session mode a client keeps its connection to a server; such a connection is left.
"""

EXAMPLES = r"""
- name: Have the poolers connect through the new holder of the virtual IP
  holdfast.ha.pooler_reconnect:
    poolers:
      - {name: db1, address: 198.51.100.11}
      - {name: db2, address: 198.51.100.12}
    password: "{{ ha_secrets.pgbouncer }}"
    ca: /etc/holdfast/tls/ca.crt
"""

RETURN = r"""
left:
  description: How many former connections each PgBouncer still has, by its name.
  returned: success, not in check mode
  type: dict
  sample: {db1: 0, db2: 0}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.pgbouncer import POOLERS, Pooler, PoolerError, Poolers
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import psycopg2

ARGUMENTS: dict[str, Any] = {
    "poolers": {**POOLERS, "required": True},
    "username": {"type": "str", "default": "holdfast"},
    "password": {"type": "str", "required": True, "no_log": True},
    "ca": {"type": "path"},
    "timeout": {"type": "float", "default": 10},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    if psycopg2 is None:
        module.fail_json(msg="psycopg2 is missing: install python3-psycopg2 on this host")
    if module.check_mode:
        module.exit_json(changed=False)
    members = tuple(Pooler(**pooler) for pooler in params["poolers"])
    try:
        left = Poolers(members, params["username"], params["password"], params["ca"]).renew(params["timeout"])
    except PoolerError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, left=left)


if __name__ == "__main__":
    main()
