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

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils import protection

UNATTENDED = Path("/usr/bin/unattended-upgrade")
NEEDRESTART = Path("/usr/sbin/needrestart")
EXCEPTIONS = Path("/etc/needrestart/conf.d/holdfast.conf")
# Maintainer scripts ask in a shell, which also runs a script without an interpreter's name.
ASK = ("timeout", "10", "sh", "-c", '"$0" "$1" "$2"')
_NAMES = {"type": "list", "elements": "str", "default": []}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"packages": _NAMES, "units": _NAMES}, supports_check_mode=True)

    def ask(unit: str, action: str) -> int:
        return int(module.run_command([*ASK, str(protection.POLICY), unit, action])[0])

    units = module.params["units"]
    configuration = ""
    if UNATTENDED.exists():
        configuration = module.run_command(["apt-config", "dump", "Unattended-Upgrade"], check_rc=True)[1]
    module.exit_json(
        changed=False,
        policy=protection.policy(),
        unprotected=protection.unprotected(units, ask) if os.access(protection.POLICY, os.X_OK) else units,
        upgradable=protection.upgradable(module.params["packages"], configuration) if UNATTENDED.exists() else [],
        restarts=NEEDRESTART.exists() and not EXCEPTIONS.exists(),
        reboots=protection.reboots(configuration),
    )


if __name__ == "__main__":
    main()
