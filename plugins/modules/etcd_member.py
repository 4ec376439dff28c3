#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_member
short_description: Decide how an etcd member without data joins its cluster
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - A member that lost its data would vote and acknowledge as if it had never had it. So etcd starts on an empty data
    directory only with a permit, which this module writes when the start is safe.
  - Call it first on every member, before etcd is started. It reports whether there is data, and removes a permit that
    an earlier run left.
  - Where there is no data, call it again after etcd is started, and pass the first call's results of all hosts in
    O(looked_at). It asks the other members. If they know the member as started, its data is lost. The module then
    removes it from the cluster and adds it again. If they don't know it, the module adds it.
  - A member is added as a learner, which doesn't count for the quorum. The module waits until it has started and caught
    up, and then gives it a vote. etcd refuses that before. So the unit must be enabled to restart until its start is
    permitted. A learner that an interrupted run left (RV(learner)) gets its vote by the second call.
  - When no member answers, the cluster is created only if all members were checked and none has data. Otherwise the
    module waits for the members with data, and fails when they don't answer in time.
  - With O(peer_name) it also returns whether members may refuse peers without that name (RV(peer_name_required)). They
    may once every member presents a certificate with it. So the members stay connected while their certificates are
    replaced.
  - Membership is always read from the cluster, so the next run completes an interrupted one.
attributes:
  check_mode:
    support: full
    description: Predicts how the member joins without changing the membership.
  diff_mode:
    support: full
    description: Shows the environment file.
extends_documentation_fragment:
  - holdfast.ha.etcd
options:
  name:
    description: Name of the member on this host, one of O(members).
    type: str
    required: true
  members:
    description: All members.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the member.
        type: str
        required: true
      address:
        description: Address of the member, IPv4 or IPv6.
        type: str
        required: true
  client_port:
    description: Port for clients.
    type: int
    default: 2379
  peer_port:
    description: Port for the other members.
    type: int
    default: 2380
  peer_name:
    description: DNS name in the certificates of all members, and in no other certificate; empty for none.
    type: str
    default: ""
  settings_path:
    description:
      - File with the settings of the member on this host. It records whether O(peer_name) is required already, and
        where the member's data was.
    type: path
  token:
    description: Token of the initial cluster.
    type: str
    required: true
  data_directory:
    description: Data directory of the member on this host.
    type: path
    required: true
  wal_directory:
    description: Directory of the member's write-ahead log, if it is not below O(data_directory).
    type: path
  permit_path:
    description:
      - Path of the permit, an environment file with etcd's settings for its first start.
      - It must be valid for one start only, and must not survive a reboot of the host.
    type: path
    required: true
  root_password:
    description: Password of root, to change the membership once authentication is on.
    type: str
    required: true
  unit:
    description: The systemd unit. If it runs, it is stopped while its member is replaced, and then started again.
    type: str
    default: etcd.service
  looked_at:
    description: The results (RV(found)) of the calls without this option on each member's host in this run.
    type: list
    elements: dict
  timeout:
    description: Seconds to wait for the other members to answer, and to accept a change, and for a learner to catch up.
    type: float
    default: 30
"""

EXAMPLES = r"""
- name: Check whether this member has data
  holdfast.ha.etcd_member: &member
    name: db1
    members:
      - name: db1
        address: 198.51.100.11
      - name: db2
        address: 198.51.100.12
      - name: db3
        address: 198.51.100.13
    token: holdfast-lab
    data_directory: /var/lib/etcd/holdfast-lab
    permit_path: /run/holdfast/etcd/permit.env
    ca_path: /etc/holdfast/tls/ca.crt
    certificate_path: /etc/holdfast/tls/client.crt
    private_key_path: /etc/holdfast/tls/host.key
    root_password: "{{ ha_secrets.etcd_root }}"
  register: member

- name: Permit the first start
  holdfast.ha.etcd_member:
    <<: *member
    looked_at: "{{ ansible_play_hosts | map('extract', hostvars, ['member', 'found']) | list }}"
  throttle: 1
  when: not member.has_data or member.learner
"""

RETURN = r"""
peer_name_required:
  description: Whether the member must refuse peers whose certificate lacks O(peer_name).
  returned: success
  type: bool
learner:
  description: Whether the member has data and no vote yet. Not told by a call with O(looked_at).
  returned: success
  type: bool
has_data:
  description: Whether the member has data; if so, nothing was done but giving a learner its vote.
  returned: success
  type: bool
found:
  description: An element of O(looked_at).
  returned: success
  type: dict
  contains:
    name:
      description: Name of the member.
      type: str
    token:
      description: Token of its cluster.
      type: str
    empty:
      description: Whether it has no data, and no running etcd still has the former data directory open.
      type: bool
join:
  description: How a member without data joins; not set while undecided.
  returned: success
  type: str
  choices: [bootstrap, added, add, replace]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import CONNECTION_ARGUMENTS, WrongPasswordError
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_join import Joiner, RefusedError, look, peer_names
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError

ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "members": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
        },
    },
    "client_port": {"type": "int", "default": 2379},
    "peer_port": {"type": "int", "default": 2380},
    "peer_name": {"type": "str", "default": ""},
    "settings_path": {"type": "path"},
    # the name of the initial cluster, no secret
    "token": {"type": "str", "required": True, "no_log": False},
    "data_directory": {"type": "path", "required": True},
    "wal_directory": {"type": "path"},
    "permit_path": {"type": "path", "required": True},
    **CONNECTION_ARGUMENTS,
    "root_password": {"type": "str", "required": True, "no_log": True},
    "unit": {"type": "str", "default": "etcd.service"},
    "looked_at": {"type": "list", "elements": "dict"},
    "timeout": {"type": "float", "default": 30},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    if params["name"] not in [member["name"] for member in params["members"]]:
        module.fail_json(msg=f"name {params['name']!r} is none of the members")
    names = peer_names(module)
    if names.hindrance:
        module.warn(f"Peers without the name {params['peer_name']} are let in until the next run; {names.hindrance}")
    try:
        done = Joiner(module).run() if params["looked_at"] is not None else look(module)
    except (RefusedError, EndpointError) as error:
        module.fail_json(msg=str(error))
    except WrongPasswordError:
        module.fail_json(msg="etcd refuses the password of root")
    module.exit_json(**done, peer_name_required=names.required)


if __name__ == "__main__":
    main()
