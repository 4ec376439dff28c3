#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vrrp_info
short_description: Report which addresses a host holds, and on which interfaces
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Reports which of the given addresses, virtual or not, are currently on an interface of the host.
  - Also reports whether keepalived runs, and which hosts send it adverts without being its peers.
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: Changes nothing.
options:
  addresses:
    description: Addresses to look for, IPv4 or IPv6, with or without a prefix length.
    type: list
    elements: str
    required: true
  unit:
    description: The unit that runs keepalived.
    type: str
    default: keepalived.service
"""

EXAMPLES = r"""
- name: Look for the virtual IP
  holdfast.ha.vrrp_info:
    addresses: [198.51.100.100/24]
  register: vrrp
"""

RETURN = r"""
interfaces:
  description: The interface that holds each of the addresses, spelt as given; null where none does.
  returned: always
  type: dict
  sample:
    198.51.100.100/24: eth0
    198.51.100.101/24: null
held:
  description: Those of the addresses that the host holds.
  returned: always
  type: list
  elements: str
  sample: [198.51.100.100/24]
strangers:
  description:
    - Addresses outside the peers that sent VRRP adverts to the host within the last minute, as recorded by the filter
      of the role holdfast.ha.keepalived.
  returned: always
  type: list
  elements: str
  sample: [198.51.100.23]
filtered:
  description: Whether that filter is loaded, with its rules.
  returned: always
  type: bool
running:
  description: Whether keepalived runs.
  returned: always
  type: bool
enabled:
  description: Whether keepalived starts at boot.
  returned: always
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.vrrp import (
    has_rules,
    listed_filter,
    locate,
    parse_addresses,
    parse_strangers,
    parse_unit,
)


def _print(module: AnsibleModule, program: str, *arguments: str) -> str:
    path = module.get_bin_path(program, required=True, opt_dirs=["/usr/sbin", "/sbin"])
    return module.run_command([path, *arguments], check_rc=True)[1]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "addresses": {"type": "list", "elements": "str", "required": True},
            "unit": {"type": "str", "default": "keepalived.service"},
        },
        supports_check_mode=True,
    )
    try:
        interfaces = locate(module.params["addresses"], parse_addresses(_print(module, "ip", "-json", "address")))
    except ValueError as error:
        module.fail_json(msg=str(error))
    unit = parse_unit(
        _print(module, "systemctl", "show", "--property=ActiveState,UnitFileState", module.params["unit"])
    )
    held = [address for address, interface in interfaces.items() if interface]
    table = listed_filter(module)
    seen = {"strangers": parse_strangers(table), "filtered": has_rules(table)}
    module.exit_json(changed=False, interfaces=interfaces, held=held, **seen, **unit)


if __name__ == "__main__":
    main()
