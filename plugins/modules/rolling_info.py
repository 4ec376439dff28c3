#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: rolling_info
short_description: Report what a host needs of rolling work
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Returns the packages that would be upgraded, as apt itself resolves them in simulation, the services that run
    something older than what is installed, and whether the host needs a reboot.
  - A service needs a restart when one of its processes runs a program or uses a library that was replaced, or when its
    unit files, drop-ins, environment files below C(/etc) or the collection's own program changed since its start. One
    whose program is a script, such as Patroni, also when the packages of its modules were installed since.
attributes:
  check_mode:
    support: full
    description: The same, with the package lists as they are.
  diff_mode:
    support: none
    description: Changes nothing.
extends_documentation_fragment:
  - holdfast.ha.upgrade
options:
  units:
    description: The services to look at.
    type: list
    elements: dict
    default: []
    suboptions:
      component:
        description: The name of the component; it is returned as it is.
        type: str
        required: true
      unit:
        description: The name of its unit.
        type: str
        required: true
  refresh:
    description: Whether to fetch the package lists first; never done in check mode.
    type: bool
    default: false
seealso:
  - module: holdfast.ha.packages_upgrade
"""

EXAMPLES = r"""
- name: Ask what a host needs
  holdfast.ha.rolling_info:
    names: "{{ ha.packages }}"
    units:
      - {component: etcd, unit: etcd.service}
      - {component: postgresql, unit: patroni.service}
    refresh: true
  register: needs
"""

RETURN = r"""
stack:
  description:
    - The packages of the stack that would be upgraded, and what this takes along, by name.
    - C(installed) is empty for a package that would be new. C(security) says whether a security suite has a newer
      version than the installed one, which the upgrade includes.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: haproxy, installed: 3.0.11-1+deb13u4, candidate: 3.0.11-1+deb13u5, security: true}
system:
  description: The same for all packages of the host.
  returned: success
  type: list
  elements: dict
security:
  description: The same for the newest version of each package that a security suite has.
  returned: success
  type: list
  elements: dict
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
units:
  description: The units in the given order, whether each is active, and why it needs a restart, if it does.
  returned: success
  type: list
  elements: dict
  sample:
    - component: haproxy
      unit: haproxy.service
      active: true
      reasons: ["runs /usr/sbin/haproxy, which was replaced"]
reboot:
  description:
    - C(required), its C(reasons), C(boot), a text that is another one after each boot, and C(up), the seconds since.
    - Reasons are C(/run/reboot-required), and an installed kernel that doesn't run yet.
  returned: success
  type: dict
  sample:
    required: true
    reasons: ["the kernel 6.12.57+deb13-amd64 is installed, and 6.12.48+deb13-amd64 runs"]
    boot: 5b7c1c2e-0f6b-4b6e-8f0a-1c2d3e4f5a6b/1
    up: 86400
lists_age:
  description: How old the package lists are, in seconds; null without any.
  returned: success
  type: int
  sample: 3600
"""

import platform
import time
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils import apt_plan, service_age
from ansible_collections.holdfast.ha.plugins.module_utils.apt_host import LOCALE, SPEC, Apt, AptError, lists_age


def load(module: AnsibleModule) -> dict[str, Any]:
    """Ask the host; raises AptError, RefusedError, OSError, ValueError."""
    given = module.params
    apt = Apt(lambda command: module.run_command(list(command), environ_update=LOCALE), given["lock_timeout"])
    if given["refresh"] and not module.check_mode:
        apt.refresh()
    known = apt.look()
    return {
        **packages(apt, known, given),
        "units": units(module, known, given["units"]),
        "reboot": asdict(service_age.reboot(platform.release())),
        "lists_age": lists_age(apt.root, time.time()),
    }


def packages(apt: Apt, known: apt_plan.Known, given: dict[str, Any]) -> dict[str, Any]:
    """Return what each scope would upgrade, what stays, and what is not here."""
    plans = apt.plans(known, apt_plan.SCOPES, given["names"], given["versions"], given["allow_downgrade"])
    found = {scope: [asdict(upgrade) for upgrade in plan] for scope, plan in plans.items()}
    return {**found, "held": apt_plan.held(known), "unknown": apt_plan.unknown(known, given["versions"])}


def units(module: AnsibleModule, known: apt_plan.Known, asked: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return the units with the reasons to restart them."""
    found = service_age.look(
        [one["unit"] for one in asked],
        known.packages,
        lambda command: module.run_command(list(command), environ_update=LOCALE),
    )
    return [
        {
            "component": one["component"],
            "unit": one["unit"],
            "active": service.found.running,
            "reasons": reasons,
        }
        for one, (service, reasons) in zip(asked, found, strict=True)
    ]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **SPEC,
            "units": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "component": {"type": "str", "required": True},
                    "unit": {"type": "str", "required": True},
                },
            },
            "refresh": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(changed=False, **load(module))
    except (AptError, apt_plan.RefusedError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
