#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: repository_copy
short_description: Copy pgBackRest repositories from one host to another
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Run it on both hosts at the same time, in one task. The sender connects to the receiver. Both show their host's
    certificate, and refuse a peer of another name. Nothing passes the controller.
  - Files that the receiver has with the same size and time are not sent again. So a further call goes on with an
    interrupted copy, and a copy can be repeated for what has changed meanwhile.
  - Files that name backups and WAL are sent last. Files that the sender has no longer stay at the receiver.
  - Reads and writes as the user C(postgres). Links are left out.
attributes:
  check_mode:
    support: none
    description: Does nothing in check mode.
  diff_mode:
    support: none
    description: There is nothing to compare.
options:
  role:
    description: What this host does.
    type: str
    choices: [send, receive]
    required: true
  places:
    description: Directories of the repositories, the same on both hosts.
    type: list
    elements: str
    required: true
  peer:
    description: Name of the other host, the common name of its certificate.
    type: str
    required: true
  address:
    description: Address of the receiver, as its certificate has it.
    type: str
    required: true
  port:
    description: Port on which the receiver listens, such as that of its pgBackRest, which must not run.
    type: int
    default: 8432
  ca:
    description: Path of the authority's certificate.
    type: path
    default: /etc/holdfast/tls/ca.crt
  cert:
    description: Path of this host's certificate.
    type: path
    default: /etc/holdfast/tls/host.crt
  key:
    description: Path of its key.
    type: path
    default: /etc/holdfast/tls/host.key
  seconds:
    description: Seconds after which no further file is sent in this call; RV(done) tells whether some are left.
    type: float
    default: 300
  timeout:
    description: Seconds to wait for the other host.
    type: float
    default: 120
"""

EXAMPLES = r"""
- name: Copy the repository of backup1 to backup2
  holdfast.ha.repository_copy:
    role: "{{ 'send' if inventory_hostname == 'backup1' else 'receive' }}"
    peer: "{{ 'backup2' if inventory_hostname == 'backup1' else 'backup1' }}"
    address: 198.51.100.32
    places: [/var/lib/pgbackrest]
  register: copied
  until: copied.done | default(true)
  retries: 1000
  delay: 0
  when: inventory_hostname in ['backup1', 'backup2']
"""

RETURN = r"""
files:
  description: Number of files that were sent or stored.
  returned: success
  type: int
bytes:
  description: Their size.
  returned: success
  type: int
done:
  description: Whether the receiver has everything now.
  returned: success
  type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.repository_copy import CopyError, context, copy
from ansible_collections.holdfast.ha.plugins.module_utils.service_user import ServiceUserError, as_user

ARGUMENTS: dict[str, Any] = {
    "role": {"type": "str", "choices": ["send", "receive"], "required": True},
    "places": {"type": "list", "elements": "str", "required": True},
    "peer": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "port": {"type": "int", "default": 8432},
    "ca": {"type": "path", "default": "/etc/holdfast/tls/ca.crt"},
    "cert": {"type": "path", "default": "/etc/holdfast/tls/host.crt"},
    "key": {"type": "path", "default": "/etc/holdfast/tls/host.key", "no_log": False},
    "seconds": {"type": "float", "default": 300},
    "timeout": {"type": "float", "default": 120},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS)
    try:
        tls = context(module.params)  # only root and the services' group may read the key
        done = as_user("postgres", lambda: copy(module.params, tls), [CopyError])
    except (CopyError, ServiceUserError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=done["files"] > 0, **done)


if __name__ == "__main__":
    main()
