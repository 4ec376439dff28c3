#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: firewall_info
short_description: Report whether a host has the firewall that was confirmed
version_added: 1.0.0
description:
  - Compares the table C(inet holdfast_firewall) of nftables with the rules that the role
    P(holdfast.ha.firewall#role) keeps for the next boot.
  - Loads these rules in a network namespace of their own, so that both are compared as nft lists them.
author:
  - Holdfast contributors (@holdfast)
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
seealso:
  - module: holdfast.ha.firewall
"""

EXAMPLES = r"""
- name: Look whether the firewall is as it was confirmed
  holdfast.ha.firewall_info:
  register: firewall
"""

RETURN = r"""
loaded:
  description: Whether the table exists, with whatever rules.
  returned: success
  type: bool
kept:
  description: Whether rules are kept for the next boot.
  returned: success
  type: bool
same:
  description: Whether the table has exactly the kept rules.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils import firewall, firewall_kernel, safe_path


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    kernel = firewall_kernel.Kernel(module)
    try:
        kept = safe_path.read(firewall.RULES)
        loaded = kernel.listed() is not None
        same = loaded and kept is not None and kernel.has(kept.decode("utf-8"))
    except (firewall_kernel.FirewallError, ValueError, OSError, safe_path.UnsafePathError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, loaded=loaded, kept=kept is not None, same=same)


if __name__ == "__main__":
    main()
