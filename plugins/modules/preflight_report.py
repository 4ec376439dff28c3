#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_report
short_description: Show what hosts and controller lack for a cluster, and refuse unsafe changes
version_added: 1.0.0
description:
  - Combines the findings of M(holdfast.ha.host_preflight) on every host with checks of the clocks, the topology, the
    secrets and the controller's versions.
  - Compares the observed state from M(holdfast.ha.deployed_info) with the desired state, and refuses changes that would
    destroy data or break the cluster later.
  - An unreachable host is an error. It is a warning if the run is safe without it, that is if the other hosts have a
    quorum of etcd and PostgreSQL's data.
  - A host in maintenance is a warning, and not judged otherwise. A run leaves it out.
  - Prints all findings as one list and fails when one is an error.
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
  register:
    description: The variable in which each host's result of M(holdfast.ha.host_preflight) was registered.
    type: str
    default: preflight_host
  deployed:
    description: The variable in which each host's result of M(holdfast.ha.deployed_info) was registered.
    type: str
    default: deployed_host
  group:
    description: The group of the hosts.
    type: str
    default: holdfast
  clock_skew:
    description: The greatest allowed difference in seconds between two hosts' clocks.
    type: float
    default: 0.5
  accept:
    description: >-
      Words that confirm findings, as the findings name them (C(KIND:CLUSTER)). An unknown word is an error.
    type: list
    elements: str
    default: []
  confirmed:
    description: Further such words, of a playbook that knows what it has caused.
    type: list
    elements: str
    default: []
  part:
    description: >-
      Only checks the secrets and variables of the play's hosts, as far as they can be evaluated, and compares the
      observed with the desired state. It is for a playbook that runs a part of a cluster.
    type: bool
    default: false
  secrets:
    description:
      - Whether the run changes secrets everywhere in a cluster; otherwise those that services share must not have
        changed. By default the opposite of O(part).
    type: bool
  without:
    description: Hosts that are down or in maintenance, and may keep the former secrets.
    type: list
    elements: str
    default: []
seealso:
  - module: holdfast.ha.host_preflight
  - module: holdfast.ha.deployed_info
  - module: holdfast.ha.maintenance_info
"""

EXAMPLES = r"""
- name: Show what is missing
  holdfast.ha.preflight_report:
"""

RETURN = r"""
findings:
  description:
    - The warnings, each with C(host), C(check), C(value), C(fix) and C(level). Errors are printed, but not returned.
  returned: success
  type: list
  elements: dict
down:
  description: Unreachable hosts by name, each with the reason; without those in maintenance.
  returned: success
  type: dict
maintenance:
  description: Hosts in maintenance by name, each with since when and why.
  returned: success
  type: dict
moves:
  description:
    - By cluster, what is left to do until hosts and services have the desired secrets, where anything is. C(changes)
      names the secrets that a login still refuses, C(settles) those that hosts lack, C(components) those that hold
      them. C(etcd_logins) and C(sql_logins) get a new password and C(patroni) names the parts of Patroni's
      configuration that log in as a stand-in meanwhile; C(etcd_standins) and C(sql_standins) go at the end.
  returned: success
  type: dict
postgresql:
  description:
    - By host, the major version of PostgreSQL that its cluster runs. It is the declared one, else that of the data on
      the cluster's hosts, else that of the host's distribution.
  returned: success
  type: dict
  sample: {db1: "17"}
present:
  description: Names of the play's reachable hosts that are not in maintenance.
  returned: success
  type: list
  elements: str
"""
