#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: soak
short_description: Prove that a starved cluster has no unwanted failover
version_added: 1.0.0
description:
  - Runs pgbench through the virtual IP while it starves hosts of processors, makes their file systems flush without a
    pause, moves etcd's leadership and restarts lease watchers. It watches for any change of the leader, its timeline,
    its lease or the virtual IPs, and for lost rows.
  - Takes no host down. Every disturbance is a systemd unit that ends by itself.
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
  minutes:
    description: How long to soak, 2 or more.
    type: int
    default: 60
  seed:
    description: The same seed gives the same schedule.
    type: int
    default: 1
  clients:
    description: The clients of pgbench.
    type: int
    default: 16
  scale:
    description: The scale of pgbench's tables; 1 is 100,000 accounts, 16 MB.
    type: int
    default: 10
  confirm:
    description: Must be the cluster's name; otherwise nothing is touched.
    type: str
  check_only:
    description: Fail when the soak would be refused, and do nothing else.
    type: bool
    default: false
  client:
    description:
      - The host outside the cluster that runs the clients; it needs pgbench and python3-psycopg2.
      - By default the first host of the group C(client).
    type: str
  directory:
    description: Directory of the report; by default C(reports/TIME) in the current directory.
    type: path
seealso:
  - module: holdfast.ha.drill
"""

EXAMPLES = r"""
- name: Soak a cluster for a night
  holdfast.ha.soak:
    cluster: main
    confirm: main
    minutes: 600
  run_once: true
"""

RETURN = r"""
passed:
  description: Whether the cluster stayed undisturbed and every disturbance was carried out.
  returned: when a soak was carried out
  type: bool
failure:
  description: What went wrong, in words.
  returned: when a soak was carried out
  type: str
directory:
  description: The directory with C(soak.md) and C(soak.json).
  returned: when a soak was carried out
  type: str
"""
