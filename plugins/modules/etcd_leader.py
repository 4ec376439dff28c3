#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_leader
short_description: Move etcd's leadership to another member
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - A planned change of etcd's leader takes milliseconds. When a leader stops, the others notice it only after the
    election timeout.
  - Chooses among the healthy members that vote the one that has most of the log, and waits until it leads.
  - Refuses when no other member can lead, before it changes anything.
attributes:
  check_mode:
    support: full
    description: Makes the same checks, and names the member that would lead.
  diff_mode:
    support: full
    description: Shows the leader before and after.
extends_documentation_fragment:
  - holdfast.ha.etcd
  - holdfast.ha.etcd.member
options:
  password:
    description: Password of etcd's user root, where authentication is on.
    type: str
  away_from:
    description: Whether the member of O(endpoint) must not lead. Either this or O(to) is needed.
    type: bool
  to:
    description: Name of the member to lead.
    type: str
  avoid:
    description: With O(away_from), names of members that lead only if no other can, such as the one beside the primary.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait until the other member leads.
    type: float
    default: 20
"""

EXAMPLES = r"""
- name: Have another member lead before this one is restarted
  holdfast.ha.etcd_leader:
    endpoint: https://198.51.100.11:2379
    endpoints: [https://198.51.100.11:2379, https://198.51.100.12:2379, https://198.51.100.13:2379]
    ca_path: /etc/holdfast/tls/ca.crt
    certificate_path: /etc/holdfast/tls/client.crt
    private_key_path: /etc/holdfast/tls/host.key
    password: "{{ ha_secrets.etcd_root }}"
    away_from: true
"""

RETURN = r"""
old_leader:
  description: Name of the member that led.
  returned: success
  type: str
leader:
  description: Name of the member that leads now; in check mode, of the one that would.
  returned: success
  type: str
seconds:
  description: Seconds that the move took.
  returned: success
  type: float
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import (
    CONNECTION_ARGUMENTS,
    Tls,
    WrongPasswordError,
)
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_leadership import Leadership, RefusedError, Wish, plan
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError

ARGUMENTS: dict[str, Any] = {
    "endpoint": {"type": "str", "required": True},
    "endpoints": {"type": "list", "elements": "str", "required": True},
    **CONNECTION_ARGUMENTS,
    "password": {"type": "str", "no_log": True},
    "away_from": {"type": "bool"},
    "to": {"type": "str"},
    "avoid": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "float", "default": 20},
}


def converge(cluster: Leadership, wish: Wish, check_mode: bool, seconds: float) -> dict[str, Any]:
    """Move the leadership unless in check mode or not needed, and return the module's result."""
    made = plan(*cluster.look(), wish)
    started = time.monotonic()
    leader = cluster.hand_over(made, wish, seconds) if made.needed and not check_mode else made.heir
    return {
        "changed": made.needed,
        "old_leader": made.leader.name,
        "leader": leader.name,
        "seconds": round(time.monotonic() - started, 3),
        "diff": {"before": {"leader": made.leader.name}, "after": {"leader": leader.name}},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        mutually_exclusive=[("away_from", "to")],
        required_one_of=[("away_from", "to")],
        supports_check_mode=True,
    )
    params = module.params
    if params["away_from"] is False:
        module.fail_json(msg="away_from: false asks for nothing; give true, or the name of a member in to")
    if params["endpoint"] not in params["endpoints"]:
        module.fail_json(msg=f"endpoint: {params['endpoint']} is none of endpoints ({', '.join(params['endpoints'])})")
    cluster = Leadership(Tls.from_params(params), params["endpoints"], params["password"])
    wish = Wish(params["endpoint"], params["to"], frozenset(params["avoid"]))
    try:
        module.exit_json(**converge(cluster, wish, module.check_mode, params["timeout"]))
    except (RefusedError, EndpointError) as error:
        module.fail_json(msg=str(error))
    except WrongPasswordError:
        module.fail_json(msg="password: etcd refuses this password of root")


if __name__ == "__main__":
    main()
