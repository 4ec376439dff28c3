#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_cluster
short_description: Wait for a healthy Patroni cluster and finish pending restarts
version_added: 1.0.0
description:
  - Waits until the named members run, the standbys stream on the leader's timeline, and a majority agrees on the
    leader.
  - Then restarts PostgreSQL where Patroni reports a pending restart. It restarts one member at a time, the leader last,
    and waits for a healthy cluster after each.
author:
  - Holdfast contributors (@holdfast)
extends_documentation_fragment:
  - holdfast.ha.patroni
attributes:
  check_mode:
    support: full
    description: Does not wait and does not restart; pending restarts are reported as a change.
  diff_mode:
    support: full
    description: Shows the members whose restart is pending.
options:
  members:
    description:
      - Names of the members that must be healthy. Required for V(healthy).
      - If they are in the order of O(endpoints), the message about a missing member says why its endpoint does not
        answer.
    type: list
    elements: str
  others:
    description:
      - Base URLs, by name, of further members that may be down, such as those whose hosts are not in this run.
      - One that answers must be healthy like O(members). One that does not is returned in RV(left); the module does not
        wait for it, and it has no vote on the leader.
    type: dict
    default: {}
  state:
    description:
      - V(healthy) waits and restarts as described above.
      - V(applied) only waits until the member behind each of O(endpoints) answers and has applied the preceding
        changes, including those of its files. Afterwards its pending restarts are complete.
    type: str
    choices: [applied, healthy]
    default: healthy
  unit:
    description:
      - The unit of this host's own member. When the wait fails, the message includes the last failure in the unit's
        journal. A failure that waiting does not fix, such as a refused password, ends the wait for V(healthy) when it
        has recurred for 30 s.
      - Set it where O(members) is this host's own member.
    type: str
  restart_pending:
    description: Whether to restart members whose restart is pending.
    type: bool
    default: true
  restart_timeout:
    description: Seconds that one PostgreSQL may take to restart.
    type: int
    default: 120
  timeout:
    description: Seconds to wait for a healthy cluster, at the start and after each restart; or for V(applied).
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Wait for a healthy cluster and finish pending restarts
  holdfast.ha.patroni_cluster:
    endpoints: [https://198.51.100.11:8008, https://198.51.100.12:8008]
    ca: /etc/holdfast/tls/ca.crt
    username: holdfast
    password: "{{ ha_secrets.patroni_rest }}"
    members: [db1, db2]
"""

RETURN = r"""
cluster:
  description: The cluster at the end, as M(holdfast.ha.patroni_info) returns it.
  returned: success
  type: dict
restarted:
  description: Names of the members that were restarted, or would be, in that order.
  returned: success
  type: list
  elements: str
left:
  description: Names of O(others) that do not answer.
  returned: success
  type: list
  elements: str
problems:
  description: Why the cluster is not healthy; always empty outside check mode.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_api import ARGUMENT_SPEC, ClusterError, PatroniApi
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_convergence import (
    Convergence,
    applied,
    converge,
    journal_of,
    predict,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **ARGUMENT_SPEC,
            "members": {"type": "list", "elements": "str"},
            "unit": {"type": "str"},
            "others": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["applied", "healthy"], "default": "healthy"},
            "restart_pending": {"type": "bool", "default": True},
            "restart_timeout": {"type": "int", "default": 120},
            "timeout": {"type": "int", "default": 300},
        },
        required_if=[("state", "healthy", ["members"])],
        supports_check_mode=True,
    )
    params = module.params
    convergence = Convergence(
        PatroniApi.from_params({**params, "endpoints": [*params["endpoints"], *params["others"].values()]}),
        params["members"] or [],
        params["timeout"],
        params["restart_timeout"],
        params["others"],
        journal_of(module),
    )
    restart = params["restart_pending"] and params["state"] == "healthy"
    if module.check_mode:
        module.exit_json(**predict(convergence, restart))
    try:
        if params["state"] == "applied":
            module.exit_json(**applied(convergence))
        module.exit_json(**converge(convergence, restart))
    except ClusterError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
