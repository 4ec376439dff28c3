#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: removal_plan
short_description: Judge the removal of a host from its cluster, and plan its steps
version_added: 1.0.0
description:
  - Compares what the hosts that stay reported with the inventory, and finds what their cluster still has of a host that
    left it. That may be a member of etcd or Patroni, a server of a pool, a VRRP peer, a repository or a replication
    slot.
  - Without O(leaving) it only finds the host, and how to reach it. With O(leaving) it also judges the removal. It fails
    with every reason against it, each with the variable, its value and the fix.
  - A host that no cluster has any more is no failure, RV(known) is then false.
  - This is an action plugin, it runs on the controller.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status without changing anything.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
options:
  name:
    description: The host to remove.
    type: str
    required: true
  address:
    description: Its address, where the inventory, etcd and Patroni don't have it.
    type: str
  by:
    description: A host of the cluster that takes its place.
    type: str
  joined:
    description: Whether O(by) must have joined by now, with a vote in etcd and a database that streams.
    type: bool
    default: false
  data:
    description: O(name) again, to remove its data, too.
    type: str
  accept:
    description: Words that confirm findings, as in M(holdfast.ha.preflight_report).
    type: list
    elements: str
    default: []
  leaving:
    description:
      - The result of M(holdfast.ha.gather) on the host, with the probes C(deployed) (M(holdfast.ha.deployed_info)) and
        C(backup) (M(holdfast.ha.pgbackrest_info)).
      - A host without C(probes) counts as down. Of a host of the inventory its own report counts instead.
    type: dict
  register:
    description:
      - The variable in which the result of M(holdfast.ha.gather) was registered on each host that stays.
      - Its probes must be named C(etcd), C(postgresql), C(objects), C(haproxy) and C(backup).
    type: str
    default: remove__host
  deployed:
    description: >-
      The variable in which the result of M(holdfast.ha.deployed_info) was registered there. Hosts without it take no
      part.
    type: str
    default: remove__deployed
  group:
    description: The group of the hosts.
    type: str
    default: holdfast
seealso:
  - module: holdfast.ha.gather
"""

EXAMPLES = r"""
- name: Find the host
  holdfast.ha.removal_plan:
    name: db3
  run_once: true
  register: remove__found
"""

RETURN = r"""
known:
  description: Whether a cluster still has something of the host.
  returned: success
  type: bool
cluster:
  description: That cluster, empty where there is none.
  returned: success
  type: str
address:
  description: The host's address, empty where it is unknown.
  returned: success
  type: str
in_inventory:
  description: Whether the inventory has a host of this name, in whatever group.
  returned: success
  type: bool
wished:
  description: What to pass to M(holdfast.ha.deployed_info) on the host.
  returned: success
  type: str
steps:
  description: The steps as sentences.
  returned: with O(leaving), or when RV(known) is false
  type: list
  elements: str
alive:
  description: Whether the host answers.
  returned: with O(leaving)
  type: bool
trace:
  description: What the cluster still has of the host.
  returned: with O(leaving)
  type: dict
joins:
  description: Whether O(by) joins before the host leaves, because that is alive.
  returned: with O(leaving)
  type: bool
copies:
  description: Directories of repositories that O(by) takes over by a copy.
  returned: with O(leaving)
  type: list
  elements: str
directories:
  description: The same, as M(holdfast.ha.component) takes them.
  returned: with O(leaving)
  type: list
  elements: dict
drains:
  description: The balancers that drain the host in their pools.
  returned: with O(leaving)
  type: list
  elements: str
vips:
  description: The virtual IPs that the host may hold, each with its prefix length.
  returned: with O(leaving)
  type: list
  elements: str
balancers:
  description: The hosts among which virtual IPs move.
  returned: with O(leaving)
  type: list
  elements: str
networks:
  description: Where the host connects from.
  returned: with O(leaving)
  type: list
  elements: str
heir:
  description: The standby to switch over to, empty unless the host leads.
  returned: with O(leaving)
  type: str
endpoint:
  description: URL of the host's Patroni, empty where it is no member.
  returned: with O(leaving)
  type: str
slot:
  description: The name of its replication slot.
  returned: with O(leaving)
  type: str
units:
  description: The units to stop on the host in this order, as M(holdfast.ha.component) takes them.
  returned: with O(leaving)
  type: list
  elements: dict
timers:
  description: Timers' files to remove there, each a C(pattern), as M(holdfast.ha.component) takes them to purge.
  returned: with O(leaving)
  type: list
  elements: dict
remove:
  description: Paths to remove there.
  returned: with O(leaving)
  type: list
  elements: str
etcd_runner:
  description: The host that removes the etcd member, empty where there is none.
  returned: with O(leaving)
  type: str
patroni_runner:
  description: The host that deletes Patroni's key and the slot, empty where there are none.
  returned: with O(leaving)
  type: str
accept:
  description: Words of C(preflight_accept) that the removal itself confirms.
  returned: with O(leaving)
  type: list
  elements: str
others:
  description: Further members and VRRP peers that the inventory lacks.
  returned: with O(leaving)
  type: list
  elements: str
all_stream:
  description: Whether every member of PostgreSQL that stays leads or streams.
  returned: with O(leaving)
  type: bool
"""
