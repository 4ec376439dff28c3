#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: packages_upgrade
short_description: Upgrade a host's packages without restarting its services
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Upgrades packages in one transaction of apt. It removes no package, installs no new recommended one, and keeps
    changed configuration files.
  - No maintainer script starts, stops or restarts a service. For that, C(/usr/sbin/policy-rc.d) is replaced meanwhile;
    to other package managers it says the same as before, also when a killed run leaves it there. The next run removes
    it.
  - Completes an installation that was interrupted. A lost connection does not interrupt one.
  - Packages that are on hold or pinned stay as they are.
attributes:
  check_mode:
    support: full
    description: Returns the same plan, resolved by apt in simulation.
  diff_mode:
    support: full
    description: Shows the versions before and after.
extends_documentation_fragment:
  - holdfast.ha.upgrade
options:
  scope:
    description:
      - Which packages to upgrade. V(stack) are those of O(names), V(system) all packages, and V(security) those for
        which a security suite has a newer version; they are taken from there, even if another suite has a newer one.
    type: str
    choices: [stack, system, security]
    default: stack
seealso:
  - module: holdfast.ha.rolling_info
"""

EXAMPLES = r"""
- name: Upgrade the stack
  holdfast.ha.packages_upgrade:
    names: "{{ ha.packages }}"

- name: Upgrade HAProxy to a certain version
  holdfast.ha.packages_upgrade:
    versions: {haproxy: 3.0.11-1+deb13u5}
"""

RETURN = r"""
upgraded:
  description:
    - The packages with another version than before, by name; in check mode, those that would have one. C(from) is empty
      for a package that is new, or was installed by half.
  returned: always
  type: list
  elements: dict
  sample:
    - {name: haproxy, from: 3.0.11-1+deb13u4, to: 3.0.11-1+deb13u5}
completed:
  description: Whether an interrupted installation was completed; in check mode, whether there is one.
  returned: success
  type: bool
held:
  description:
    - The installed packages that stay although a newer version is available, because they are on hold or pinned, or
      because their upgrade would remove others.
  returned: success
  type: list
  elements: str
unknown:
  description: The packages of O(versions) that are not installed.
  returned: success
  type: list
  elements: str
withheld:
  description:
    - The services that maintainer scripts wanted to start, restart or reload, and were not; also those of earlier runs
      that were killed or failed.
  returned: success
  type: list
  elements: str
  sample: [haproxy.service]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils import apt_plan
from ansible_collections.holdfast.ha.plugins.module_utils.apt_host import LOCALE, SPEC, Apt, AptError
from ansible_collections.holdfast.ha.plugins.module_utils.apt_upgrade import UnfinishedError, Upgrading


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "scope": {"type": "str", "choices": ["stack", "system", "security"], "default": "stack"},
            **SPEC,
        },
        supports_check_mode=True,
    )
    apt = Apt(lambda command: module.run_command(list(command), environ_update=LOCALE), module.params["lock_timeout"])
    work = Upgrading(apt, module.params)
    try:
        module.exit_json(**(work.predict() if module.check_mode else work.apply()))
    except UnfinishedError as error:
        told = f"{error}. Run it again once that is mended"
        module.fail_json(msg=told, changed=bool(error.upgraded), upgraded=error.upgraded)
    except (AptError, apt_plan.RefusedError, OSError, ValueError) as error:
        module.fail_json(msg=str(error), upgraded=[])


if __name__ == "__main__":
    main()
