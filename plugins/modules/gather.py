#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gather
short_description: Run several info modules on a host in one step
version_added: 1.0.0
description:
  - Runs info modules one after the other and returns all their results.
  - A failed module is a result, not an error, so that one dead service does not hide the others.
  - This is an action plugin. A task costs more than a module, so this is faster than one task per module.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status without changing the host, as info modules do.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
options:
  probes:
    description: What to run.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name under which the result is returned.
        type: str
        required: true
      module:
        description: The module's full name.
        type: str
        required: true
      arguments:
        description: The module's arguments.
        type: dict
        default: {}
      when:
        description: Whether to run it.
        type: bool
        default: true
"""

EXAMPLES = r"""
- name: Read the state of a balancer
  holdfast.ha.gather:
    probes:
      - {name: haproxy, module: holdfast.ha.haproxy_info}
      - name: vrrp
        module: holdfast.ha.vrrp_info
        arguments: {addresses: [198.51.100.100/24]}
"""

RETURN = r"""
probes:
  description: The modules' results by name; a failed one has C(failed) and C(msg).
  returned: always
  type: dict
"""
