#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: protection_info
short_description: Report whether upgrades by others leave services alone
version_added: 1.0.0
description:
  - Asks C(/usr/sbin/policy-rc.d) as maintainer scripts do, whoever wrote it, and reads apt's configuration.
author:
  - Holdfast contributors (@holdfast)
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
options:
  packages:
    description: Names of the packages that only playbooks may upgrade.
    type: list
    elements: str
    default: []
  units:
    description: Names of the units that only playbooks may start, stop and restart.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Ask what another upgrade would restart
  holdfast.ha.protection_info:
    packages: "{{ ha.packages }}"
    units: "{{ ha | holdfast.ha.component_units | map(attribute='unit') }}"
  register: protection
"""

RETURN = r"""
policy:
  description:
    - Whose C(/usr/sbin/policy-rc.d) the host has. V(own) is that of the role C(packages).
  returned: success
  type: str
  sample: own
unprotected:
  description: The units that an upgrade of their packages may start, stop or restart.
  returned: success
  type: list
  elements: str
  sample: [etcd.service]
upgradable:
  description: The packages that C(unattended-upgrades) may upgrade; none where it is not installed.
  returned: success
  type: list
  elements: str
  sample: [etcd-server]
restarts:
  description: Whether C(needrestart) is installed and the role's exceptions for it are missing.
  returned: success
  type: bool
  sample: false
reboots:
  description: Whether C(unattended-upgrades) is installed and reboots the host when an upgrade asks for it.
  returned: success
  type: bool
  sample: false
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils import protection

_NAMES = {"type": "list", "elements": "str", "default": []}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"packages": _NAMES, "units": _NAMES}, supports_check_mode=True)
    given = module.params
    try:
        found = protection.look(given["packages"], given["units"], lambda command: module.run_command(list(command)))
    except OSError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **asdict(found))


if __name__ == "__main__":
    main()
