#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance_info
short_description: Report which hosts are in maintenance, as a host knows it
version_added: 1.0.0
description:
  - Reads the marks that C(maintenance.yml) puts on every host of a cluster.
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
  - module: holdfast.ha.maintenance_plan
"""

EXAMPLES = r"""
- name: Ask each host who is in maintenance
  holdfast.ha.maintenance_info:
  register: maintenance
"""

RETURN = r"""
marks:
  description: The marks, sorted by host. Texts are empty where a mark is damaged.
  returned: success
  type: list
  elements: dict
  contains:
    host: {description: Name of the host in maintenance., type: str}
    since: {description: Since when., type: str, sample: "2030-01-01 10:00 UTC"}
    reason: {description: "Why, as its user wrote it.", type: str}
    by: {description: Who began it., type: str, sample: admin@controller}
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils import maintenance, safe_path


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        marks = maintenance.read()
    except (OSError, safe_path.UnsafePathError) as error:
        module.fail_json(msg=f"{maintenance.DIRECTORY}: {error}")
    module.exit_json(changed=False, marks=[asdict(mark) for mark in marks])


if __name__ == "__main__":
    main()
