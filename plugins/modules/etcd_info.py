#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_info
short_description: Report the state of an etcd cluster
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Asks all endpoints in parallel and reports their answers. Members that are down are part of the report, not an
    error.
  - Also reports whether etcd refuses clients without a login, without a certificate and without TLS.
attributes:
  check_mode:
    support: full
    description: Nothing is changed.
  diff_mode:
    support: none
    description: Nothing is changed.
extends_documentation_fragment:
  - holdfast.ha.etcd
options:
  endpoints:
    description: Client URLs of all members.
    type: list
    elements: str
    required: true
  username:
    description: User to log in as where authentication is on. Only root sees everything.
    type: str
    default: root
  password:
    description: The user's password. Without it, what needs a login is left out.
    type: str
  former_password:
    description: What the password may be until its rotation has ended.
    type: str
  timeout:
    description: Seconds to wait for an endpoint's answer.
    type: float
    default: 3
"""

EXAMPLES = r"""
- name: Ask etcd
  holdfast.ha.etcd_info:
    endpoints:
      - https://198.51.100.11:2379
      - https://198.51.100.12:2379
      - https://198.51.100.13:2379
    ca_path: /etc/holdfast/tls/ca.crt
    certificate_path: /etc/holdfast/tls/client.crt
    private_key_path: /etc/holdfast/tls/host.key
    password: "{{ ha_secrets.etcd_root }}"
  register: etcd
"""

RETURN = r"""
healthy:
  description: Whether every endpoint is healthy, they agree on one leader, and there are no alarms.
  returned: success
  type: bool
quorum:
  description: Whether the cluster serves.
  returned: success
  type: bool
leader:
  description: Name of the leader, if known.
  returned: success
  type: str
endpoints:
  description: Every endpoint asked.
  returned: success
  type: list
  elements: dict
  contains:
    endpoint: {description: The URL., type: str}
    name: {description: Name of its member. Null when not known., type: str}
    healthy: {description: Whether it serves and has a quorum., type: bool}
    error: {description: Why it is not healthy., type: str}
    leader: {description: Whether it is the leader., type: bool}
    version: {description: Version of etcd., type: str}
    db_size: {description: Size of its database in bytes., type: int}
    db_size_in_use: {description: Bytes of it in use., type: int}
    revision: {description: Revision of the keys., type: int}
    raft_term: {description: Term of the leader's election., type: int}
    raft_index: {description: Index of the last log entry committed., type: int}
members:
  description: The cluster's members, as reported by a member that serves.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: Name of the member., type: str}
    id: {description: Id in hexadecimal., type: str}
    peer_urls: {description: URLs for the other members., type: list, elements: str}
    client_urls: {description: URLs for clients. Empty before the first start., type: list, elements: str}
    learner: {description: Whether it has no vote yet., type: bool}
alarms:
  description: Raised alarms, as C(name ALARM).
  returned: success
  type: list
  elements: str
auth_enabled:
  description: Whether a client without a login is refused. Null when no endpoint answered.
  returned: success
  type: bool
plaintext_refused:
  description: Whether every endpoint that is up refuses clients without TLS. Null when none answered.
  returned: success
  type: bool
certificate_required:
  description: Whether every endpoint that is up refuses clients without a certificate. Null when none answered.
  returned: success
  type: bool
errors:
  description: Other errors, for example a refused login.
  returned: success
  type: list
  elements: str
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import CONNECTION_ARGUMENTS
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_observer import Observer

ARGUMENTS: dict[str, Any] = {
    "endpoints": {"type": "list", "elements": "str", "required": True},
    **CONNECTION_ARGUMENTS,
    "username": {"type": "str", "default": "root"},
    "password": {"type": "str", "no_log": True},
    "former_password": {"type": "str", "no_log": True},
    "timeout": {"type": "float", "default": 3},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    module.exit_json(changed=False, **asdict(Observer(module.params).report()))


if __name__ == "__main__":
    main()
