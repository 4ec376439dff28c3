#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_info
short_description: Report the pools of a running HAProxy and the state of their servers
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Asks HAProxy's runtime socket for its pools and the state of their servers.
  - An HAProxy that does not run is a result, not a failure.
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: Changes nothing.
options:
  socket:
    description: Path of the runtime socket.
    type: path
    default: /run/haproxy/admin.sock
  timeout:
    description: Seconds to wait for an answer.
    type: float
    default: 5
seealso:
  - module: community.general.haproxy
"""

EXAMPLES = r"""
- name: Read the pools
  holdfast.ha.haproxy_info:
  register: haproxy

- name: Check that every pool has a server
  ansible.builtin.assert:
    that: haproxy.pools | selectattr('up', 'eq', 0) | length == 0
"""

RETURN = r"""
running:
  description: Whether HAProxy answered.
  returned: always
  type: bool
error:
  description: Why HAProxy did not answer.
  returned: when RV(running) is false
  type: str
  sample: "/run/haproxy/admin.sock: [Errno 2] No such file or directory"
process:
  description: The process that serves.
  returned: when RV(running) is true
  type: dict
  contains:
    version:
      description: HAProxy's version.
      type: str
      sample: 3.0.11-1+deb13u1
    pid:
      description: Process id of the worker.
      type: int
    uptime:
      description: Seconds since the worker started.
      type: int
    connections:
      description: Connections at the moment.
      type: int
    max_connections:
      description: Most connections the process accepts.
      type: int
pools:
  description: The pools, in the configuration's order; empty when HAProxy does not run.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the pool.
      type: str
      sample: primary
    mode:
      description: V(tcp) or V(http).
      type: str
    status:
      description: V(UP) or V(DOWN), in HAProxy's words.
      type: str
    sessions:
      description: Sessions at the moment.
      type: int
    sessions_total:
      description: Sessions since the worker started.
      type: int
    up:
      description: Number of servers that take new sessions.
      type: int
    servers:
      description: The pool's servers.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the server.
          type: str
          sample: db1
        address:
          description: Address and port.
          type: str
          sample: 198.51.100.11:5432
        state:
          description: V(up), V(down), V(drain), V(maint), or V(unchecked) for a server without a health check.
          type: str
        status:
          description: The state in HAProxy's words.
          type: str
          sample: UP 1/2
        check:
          description: Outcome of the last health check, in HAProxy's words.
          type: str
          sample: L7OK
        check_code:
          description: Status code the last health check received.
          type: int
          sample: 200
        check_ms:
          description: Milliseconds the last health check took.
          type: int
        reason:
          description: What HAProxy says about the last health check.
          type: str
          sample: Layer7 check passed
        weight:
          description: Share of the load.
          type: int
        backup:
          description: Whether the server is used only when all others are down.
          type: bool
        sessions:
          description: Sessions at the moment.
          type: int
        sessions_total:
          description: Sessions since the worker started.
          type: int
        since:
          description: Seconds since the state last changed.
          type: int
        drained:
          description: Whether M(holdfast.ha.haproxy_server) drained it.
          type: bool
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.haproxy import Pool, ask, parse_info, parse_stat
from ansible_collections.holdfast.ha.plugins.module_utils.haproxy_drain import Holds, parse_servers_state


def load(path: str, timeout: float) -> dict[str, Any]:
    """What the module returns for the HAProxy behind the socket."""
    try:
        info, stat, state = (ask(path, f"show {what}", timeout) for what in ("info", "stat", "servers state"))
    except OSError as error:
        return {"running": False, "error": f"{path}: {error}", "pools": []}
    holds = parse_servers_state(state)
    return {
        "running": True,
        "process": asdict(parse_info(info)),
        "pools": [shown(pool, holds) for pool in parse_stat(stat)],
    }


def shown(pool: Pool, holds: Holds) -> dict[str, Any]:
    """A pool as plain data, with who drained its servers."""
    ours = {name for (where, name), held in holds.items() if where == pool.name and held.ours}
    return {**asdict(pool), "servers": [{**asdict(one), "drained": one.name in ours} for one in pool.servers]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
            "timeout": {"type": "float", "default": 5},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(changed=False, **load(module.params["socket"], module.params["timeout"]))
    except ValueError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
