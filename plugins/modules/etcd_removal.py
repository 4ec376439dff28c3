#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_removal
short_description: Remove a member from an etcd cluster that keeps its quorum
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Asks the members that stay to remove one member. It may run or be lost; its data is left alone.
  - Refuses where the members that stay would have no quorum, and where the member is one of those that stay.
  - A leader that answers first hands its leadership to a member that stays, so that no election is needed.
  - Does nothing where etcd does not have the member. Run it on one host of a member that stays.
attributes:
  check_mode:
    support: full
    description: Makes the same checks, and removes nothing.
  diff_mode:
    support: full
    description: Shows the names of the members before and after.
extends_documentation_fragment:
  - holdfast.ha.etcd
options:
  endpoints:
    description: Client URLs of the members that stay.
    type: list
    elements: str
    required: true
  name:
    description: Name of the member to remove.
    type: str
    required: true
  peer_url:
    description: Peer URL of the member to remove. It identifies a member that was added but never started.
    type: str
    default: ""
  root_password:
    description: Password of root, to change the membership once authentication is on.
    type: str
    required: true
  timeout:
    description: Seconds to wait for the members that stay to answer, and to accept the change.
    type: float
    default: 30
"""

EXAMPLES = r"""
- name: Remove a member whose host is gone
  holdfast.ha.etcd_removal:
    endpoints:
      - https://198.51.100.11:2379
      - https://198.51.100.12:2379
    name: db3
    ca_path: /etc/holdfast/tls/ca.crt
    certificate_path: /etc/holdfast/tls/client.crt
    private_key_path: /etc/holdfast/tls/host.key
    root_password: "{{ ha_secrets.etcd_root }}"
  run_once: true
"""

RETURN = r"""
members:
  description: Names of the members that are left, or would be.
  returned: success
  type: list
  elements: str
  sample: [db1, db2]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import CONNECTION_ARGUMENTS, WrongPasswordError
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_removal import RefusedError, Remover
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError

ARGUMENTS: dict[str, Any] = {
    "endpoints": {"type": "list", "elements": "str", "required": True},
    "name": {"type": "str", "required": True},
    "peer_url": {"type": "str", "default": ""},
    **CONNECTION_ARGUMENTS,
    "root_password": {"type": "str", "required": True, "no_log": True},
    "timeout": {"type": "float", "default": 30},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        done = Remover(module.params, check_mode=module.check_mode).run()
    except (RefusedError, EndpointError) as error:
        module.fail_json(msg=str(error))
    except WrongPasswordError:
        module.fail_json(msg="etcd refuses the password of root")
    module.exit_json(**done)


if __name__ == "__main__":
    main()
