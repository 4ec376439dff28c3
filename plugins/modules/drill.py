#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: drill
short_description: Prove that a cluster survives faults
version_added: 1.0.0
description:
  - Injects faults into one cluster while clients write and read through its virtual IP, looks for every acknowledged
    row afterwards, and writes a report.
  - Hosts really lose their power, freeze or are cut off. Everything is healed on any exit. An isolation, a frozen or
    masked service is also undone by a timer on the node itself, should the controller die.
  - This is an action plugin, it runs on the controller and connects to the hosts with SSH (paramiko) on its own.
requirements:
  - The packages of C(requirements-drill.txt) on the controller.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: Prints the plan and touches nothing.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
options:
  cluster:
    description: The cluster's name.
    type: str
    required: true
  faults:
    description: The names of the faults; V(all) for all of them.
    type: list
    elements: str
    default: [all]
  repeat:
    description: How often to inject each fault. C(standby_lost) is injected that often for each standby.
    type: int
    default: 1
  confirm:
    description: Must be the cluster's name; otherwise nothing is touched.
    type: str
  plan_only:
    description: Print the plan and do nothing else, as check mode does.
    type: bool
    default: false
  check_only:
    description: Fail when the drill would be refused, and do nothing else.
    type: bool
    default: false
  provider:
    description:
      - How hosts lose their power and stand still.
      - V(hosts) resets them by their own kernel and freezes services by control groups.
      - V(containers) kills and pauses containers of this machine.
    type: str
    choices: [hosts, containers]
    default: hosts
  engine:
    description: The container engine's command.
    type: str
    default: docker
  container_prefix:
    description: What precedes a host's name in its container's name, unless the host has a variable C(drill_container).
    type: str
    default: holdfast-
  client:
    description:
      - The host that runs the clients, outside the cluster, with python3-psycopg2.
      - By default the first host of the group C(client).
    type: str
  dead_man:
    description: Seconds after which a node undoes an isolation by itself.
    type: int
    default: 300
  directory:
    description: Where the report goes; by default C(reports/TIME) in the current folder.
    type: path
  budgets:
    description: What faults may cost, by fault or C(default), as seconds without writes or as a mapping of limits.
    type: dict
    default: {}
  slack:
    description: Seconds that every default budget is longer, for a busy machine.
    type: float
    default: 0.0
  without_backup:
    description: Drill a cluster that has no backups.
    type: bool
    default: false
seealso:
  - module: holdfast.ha.cluster_status
"""

EXAMPLES = r"""
- name: Let the primary lose its power three times
  holdfast.ha.drill:
    cluster: main
    confirm: main
    faults: [primary_power_loss]
    repeat: 3
  run_once: true
"""

RETURN = r"""
passed:
  description: Whether no budget and no invariant broke, and every fault was proven to have happened.
  returned: when a drill was carried out
  type: bool
failure:
  description: What went wrong, in words.
  returned: when a drill was carried out
  type: str
directory:
  description: The folder with C(report.html), C(report.json), C(junit.xml) and the ledgers.
  returned: when a drill was carried out
  type: str
planned:
  description: The names of the faults.
  returned: in check mode
  type: list
  elements: str
"""
