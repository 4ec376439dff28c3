#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: packages_info
short_description: Report which Debian packages of a list are not installed
version_added: 1.0.0
description:
  - Asks dpkg, which takes a few milliseconds; opening apt's cache takes almost a second.
  - A package counts as installed only when it is completely configured, so that the module detects an interrupted
    installation.
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
  names:
    description: Names of the packages.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Ask which packages are missing
  holdfast.ha.packages_info:
    names: [haproxy, keepalived]
  register: packages
"""

RETURN = r"""
missing:
  description: Those of the packages that are not completely installed, in the order given.
  returned: success
  type: list
  elements: str
broken:
  description: Packages of the whole host that an interrupted installation left half-way.
  returned: success
  type: list
  elements: str
versions:
  description: Upstream versions of those of the packages that are installed.
  returned: success
  type: dict
  sample: {haproxy: 3.0.11}
repositories:
  description: The files of apt's that M(holdfast.ha.package_repositories) has written.
  returned: success
  type: list
  elements: str
  sample: [/etc/apt/sources.list.d/holdfast-postgresql.sources]
policy:
  description:
    - Whose C(/usr/sbin/policy-rc.d) the host has, V(absent), V(own) or V(foreign). V(own) is that of the role
      C(packages).
  returned: success
  type: str
  sample: own
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.package_sources import present
from ansible_collections.holdfast.ha.plugins.module_utils.packages import QUERY, judge
from ansible_collections.holdfast.ha.plugins.module_utils.protection import policy


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"names": {"type": "list", "elements": "str", "required": True}}, supports_check_mode=True
    )
    _rc, listing, _err = module.run_command(list(QUERY), check_rc=True)
    found = asdict(judge(listing, module.params["names"]))
    module.exit_json(changed=False, policy=policy(), repositories=present(), **found)


if __name__ == "__main__":
    main()
