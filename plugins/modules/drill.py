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
  - Injects faults into one cluster while clients write and read through its virtual IP. Afterwards it checks that no
    acknowledged row is lost, and writes a report.
  - The faults are real. Hosts lose power, freeze or are isolated. The drill heals every fault on any exit. If the
    controller dies, a timer on the node itself undoes an isolation and a frozen or masked service.
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
    description: Names of the faults; V(all) for all of them.
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
      - How hosts lose power and freeze.
      - V(hosts) resets a host through its own kernel and freezes services with control groups.
      - V(containers) kills and pauses containers on the controller.
    type: str
    choices: [hosts, containers]
    default: hosts
  engine:
    description: The container engine's command.
    type: str
    default: docker
  container_prefix:
    description: Prefix of a host's name in its container's name, unless the host has a variable C(drill_container).
    type: str
    default: holdfast-
  client:
    description:
      - The host outside the cluster that runs the clients; it needs python3-psycopg2.
      - By default the first host of the group C(client).
    type: str
  dead_man:
    description: Seconds after which a node itself undoes an isolation.
    type: int
    default: 300
  directory:
    description: Directory of the report; by default C(reports/TIME) in the current directory.
    type: path
  budgets:
    description: Budgets by fault or C(default), as seconds without writes or as a mapping of limits.
    type: dict
    default: {}
  slack:
    description: Seconds added to every default budget, for a busy machine.
    type: float
    default: 0.0
  alerts:
    description: Whether to wait for the alerts of each fault and judge them, in a cluster with an Alertmanager.
    type: bool
    default: true
  consistency:
    description:
      - Whether clients also run transactions that append to lists and read them, on every port.
      - Each injection then ends with a search for anomalies. Any on the primary's ports fails the drill.
    type: bool
    default: true
  without_backup:
    description: Whether to drill a cluster without backups.
    type: bool
    default: false
seealso:
  - module: holdfast.ha.cluster_status
"""

EXAMPLES = r"""
- name: Cut the primary's power three times
  holdfast.ha.drill:
    cluster: main
    confirm: main
    faults: [primary_power_loss]
    repeat: 3
  run_once: true
"""

RETURN = r"""
passed:
  description: Whether every budget and every invariant held, and every fault was proven to have happened.
  returned: when a drill was carried out
  type: bool
failure:
  description: What went wrong, in words.
  returned: when a drill was carried out
  type: str
directory:
  description: The directory with C(report.html), C(report.json), C(junit.xml) and the ledgers.
  returned: when a drill was carried out
  type: str
planned:
  description: The names of the faults.
  returned: in check mode
  type: list
  elements: str
"""
