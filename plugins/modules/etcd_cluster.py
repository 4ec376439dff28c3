#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_cluster
short_description: Manage authentication and users of an etcd cluster, and wait for its health
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Waits until the cluster serves, creates root, users and roles as declared, and enables authentication. Then it waits
    until every required member is healthy and the cluster has agreed on its version. Run it on one host of the cluster.
  - Every user gets a role of its own name, whose only permissions are the declared prefixes. Users and roles that
    aren't declared are left unchanged.
  - Authentication is enabled last, after all users are complete, so the next run completes an interrupted one.
attributes:
  check_mode:
    support: full
    description: Compares without waiting. Predicts a change for a cluster that can't be reached yet.
  diff_mode:
    support: full
    description: Lists the actions, never a password.
extends_documentation_fragment:
  - holdfast.ha.etcd
options:
  endpoints:
    description: Client URLs of the members that must be healthy; all members except those in O(others).
    type: list
    elements: str
    required: true
  others:
    description:
      - Client URLs, by name, of members that may be down, such as those whose hosts are not in this run.
      - They count when the module checks whether the cluster serves. At the end they have a few seconds to become
        healthy; RV(left) returns those that did not.
    type: dict
    default: {}
  root_password:
    description: Password of root. etcd can't replace it without the present one.
    type: str
    required: true
  former_root_password:
    description: Present password of root where that may not be O(root_password) yet, which then replaces it.
    type: str
    default: ""
  users:
    description: Users besides root.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the user and of its role.
        type: str
        required: true
      prefixes:
        description: Prefixes of the keys the user may read and write.
        type: list
        elements: str
        default: []
      read_prefixes:
        description: Prefixes of the keys the user may read.
        type: list
        elements: str
        default: []
      write_prefixes:
        description: Prefixes of the keys the user may write, and whose lease it may revoke.
        type: list
        elements: str
        default: []
      like:
        description: Name of the user whose role this one has instead of its own. It must exist.
        type: str
        default: ""
  absent_users:
    description: Names of users that must not exist. Their sessions end.
    type: list
    elements: str
    default: []
  passwords:
    description: Passwords of O(users), by name.
    type: dict
    default: {}
  timeout:
    description: Seconds to wait for the cluster to serve, and again for all of O(endpoints) to be healthy.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Declare authentication and wait for every member
  holdfast.ha.etcd_cluster:
    endpoints:
      - https://198.51.100.11:2379
      - https://198.51.100.12:2379
      - https://198.51.100.13:2379
    ca_path: /etc/holdfast/tls/ca.crt
    certificate_path: /etc/holdfast/tls/client.crt
    private_key_path: /etc/holdfast/tls/host.key
    root_password: "{{ ha_secrets.etcd_root }}"
    users:
      - name: patroni
        prefixes: [/service/lab/]
    passwords:
      patroni: "{{ ha_secrets.etcd_patroni }}"
  run_once: true
"""

RETURN = r"""
actions:
  description: The actions that were, or would be, carried out.
  returned: success
  type: list
  elements: str
  sample: [add role patroni, "grant to role patroni: readwrite /service/lab/*", add user patroni]
members:
  description: Names of the cluster's members.
  returned: when the cluster serves
  type: list
  elements: str
left:
  description: Names of O(others) that are not healthy.
  returned: when the cluster serves
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import CONNECTION_ARGUMENTS, WrongPasswordError
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_convergence import Cluster, UnhealthyError
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError

PREFIXES = ("prefixes", "read_prefixes", "write_prefixes")
ARGUMENTS: dict[str, Any] = {
    "endpoints": {"type": "list", "elements": "str", "required": True},
    "others": {"type": "dict", "default": {}},
    **CONNECTION_ARGUMENTS,
    "root_password": {"type": "str", "required": True, "no_log": True},
    "former_root_password": {"type": "str", "default": "", "no_log": True},
    "users": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            **{name: {"type": "list", "elements": "str", "default": []} for name in PREFIXES},
            "like": {"type": "str", "default": ""},
        },
    },
    "absent_users": {"type": "list", "elements": "str", "default": []},
    "passwords": {"type": "dict", "default": {}, "no_log": True},
    "timeout": {"type": "float", "default": 60},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    unknown = sorted({user["name"] for user in module.params["users"]} - module.params["passwords"].keys())
    if unknown:
        module.fail_json(msg=f"passwords: none for {', '.join(unknown)}")
    try:
        outcome = Cluster(module.params, module.check_mode).run()
    except UnhealthyError as error:
        module.fail_json(msg=f"etcd members aren't healthy after {module.params['timeout']:g} s: {error}")
    except WrongPasswordError as error:
        module.fail_json(msg=f"etcd refuses the password of {error}: neither root_password nor a former one is its own")
    except EndpointError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**outcome)


if __name__ == "__main__":
    main()
