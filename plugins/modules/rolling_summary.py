#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rolling_summary
short_description: Show what work that goes host by host has done
version_added: 1.0.0
description:
  - Prints what was done on each host, where the run stopped, what is left to do, and how long clients waited.
  - This is an action plugin, it runs on the controller.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status without changing anything, as it never does.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
options:
  verb:
    description: What was done.
    type: str
    choices: [update, restart, reboot, certificates]
    required: true
  steps:
    description:
      - The steps that M(holdfast.ha.rolling_plan) returned. Those that are not in O(done) are left to do; the run
        stopped at the first of them.
    type: list
    elements: dict
    default: []
  done:
    description: The hosts whose turn is over, in order.
    type: list
    elements: dict
    default: []
    suboptions:
      host: {description: Name of the host., type: str, required: true}
      upgraded:
        description: The upgraded packages, as M(holdfast.ha.packages_upgrade) returns them.
        type: list
        elements: dict
        default: []
      restarted: {description: The units that were restarted., type: list, elements: str, default: []}
      reloaded: {description: The units that were reloaded., type: list, elements: str, default: []}
      rebooted: {description: Whether the host was rebooted., type: bool, default: false}
      seconds: {description: Seconds that its turn took., type: float}
  left:
    description: What is left to do, as M(holdfast.ha.rolling_plan) returns it.
    type: list
    elements: dict
    default: []
    suboptions:
      host: {description: Name of the host., type: str, required: true}
      text: {description: What is left., type: str, required: true}
  waits:
    description: How long clients waited, where that was measured.
    type: list
    elements: dict
    default: []
    suboptions:
      clients: {description: "The kind of clients, such as C(pooled).", type: str, required: true}
      seconds: {description: Their longest wait., type: float, required: true}
      failed: {description: Their failed transactions., type: int, default: 0}
seealso:
  - module: holdfast.ha.rolling_plan
"""

EXAMPLES = r"""
- name: Show what was done
  holdfast.ha.rolling_summary:
    verb: update
    steps: "{{ plan.steps }}"
    left: "{{ plan.left }}"
    done:
      - host: db2
        upgraded: [{name: etcd-server, from: 3.5.16-4, to: 3.5.16-5}]
        restarted: [etcd.service]
        seconds: 4.2
    waits: [{clients: pooled, seconds: 0.81}]
  run_once: true
"""

RETURN = r"""
left:
  description: What is left to do, with C(host) and C(text); includes the steps that were not done.
  returned: always
  type: list
  elements: dict
"""
