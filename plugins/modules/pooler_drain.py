#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: pooler_drain
short_description: Empty a PgBouncer of its clients
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Waits for clients to leave. Those that renew their connections now and then leave by themselves once the balancers
    lead no new ones here, see M(holdfast.ha.haproxy_server).
  - Closes the others afterwards, one after another, and only between two transactions, each right after it ended one
    or when it has been idle for a second. In the second half of O(timeout) any idle client is closed. A client that
    sends a query in that very moment gets an error instead; the query is not executed.
  - Before version 1.24, PgBouncer can't close single clients. The module only waits then (RV(hint)).
  - Connections to the admin console, health checks and requests to cancel a query don't count as clients.
attributes:
  check_mode:
    support: full
    description: Tells how many clients are there, without waiting.
  diff_mode:
    support: none
    description: There is nothing to compare.
options:
  address:
    description: Address of the PgBouncer, as its certificate has it.
    type: str
    required: true
  port:
    description: Its port.
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
  ca:
    description: Certificate authority to verify the PgBouncer with; without it, it is not verified.
    type: path
  patience:
    description: Seconds to wait for clients to leave.
    type: float
    default: 60
  timeout:
    description: Seconds for closing those that did not leave; V(0) closes none.
    type: float
    default: 10
notes:
  - Requires psycopg2 on the host.
  - A client of a pool in session mode has a server from its first query to its end, so it is never closed.
  - Clients that connect while others are closed are not closed.
"""

EXAMPLES = r"""
- name: Empty the pooler on this host
  holdfast.ha.pooler_drain:
    address: 198.51.100.11
    password: "{{ ha_secrets.pgbouncer }}"
    ca: /etc/holdfast/tls/ca.crt
    patience: 120
"""

RETURN = r"""
waited:
  description: Seconds waited for clients to leave.
  returned: success
  type: float
left:
  description: Number of clients that are still connected.
  returned: success
  type: int
closed:
  description: Number of clients that the module closed.
  returned: success
  type: int
version:
  description: PgBouncer's version.
  returned: success
  type: str
  sample: 1.24.1
hint:
  description: Why no client was closed.
  returned: when clients are left that this version can't close
  type: str
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.pgbouncer import Console, Pooler, PoolerError, Poolers
from ansible_collections.holdfast.ha.plugins.module_utils.pooler_drain import Drain
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import psycopg2

ARGUMENTS: dict[str, Any] = {
    "address": {"type": "str", "required": True},
    "port": {"type": "int", "default": 6432},
    "username": {"type": "str", "default": "holdfast"},
    "password": {"type": "str", "required": True, "no_log": True},
    "ca": {"type": "path"},
    "patience": {"type": "float", "default": 60},
    "timeout": {"type": "float", "default": 10},
}


def empty(drain: Drain, patience: float, timeout: float, check_mode: bool) -> dict[str, Any]:
    """Empty a PgBouncer, in check mode only look at it, and return the module's result."""
    version = drain.version()
    started = time.monotonic()
    found = drain.wait(0 if check_mode else patience)
    waited = round(time.monotonic() - started, 3)
    can_close = all(client.id is not None for client in found)
    would_close = bool(found) and can_close and timeout > 0
    left = drain.close(found, timeout) if would_close and not check_mode else found
    result = {
        "changed": would_close if check_mode else drain.closed > 0,
        "waited": waited,
        "left": len(left),
        "closed": drain.closed,
        "version": version,
    }
    if not can_close:
        result["hint"] = f"PgBouncer {version} can't close single clients, as 1.24 can; they were only waited for"
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    if psycopg2 is None:
        module.fail_json(msg="psycopg2 is missing: install python3-psycopg2 on this host")
    pooler = Pooler(params["address"], params["address"], params["port"])
    login = Poolers((pooler,), params["username"], params["password"], params["ca"])
    console = Console(login.settings(pooler))
    try:
        module.exit_json(**empty(Drain(pooler, console), params["patience"], params["timeout"], module.check_mode))
    except PoolerError as error:
        module.fail_json(msg=str(error))
    finally:
        console.close()


if __name__ == "__main__":
    main()
