#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_report
short_description: Show what hosts and controller lack for a cluster
version_added: 1.0.0
description:
  - Puts together what M(holdfast.ha.host_preflight) found on every host, how far their clocks are apart, whether
    the topology was parsed, the secrets are complete and the controller has the right versions.
  - Compares what M(holdfast.ha.deployed_info) found with what is wished, and refuses what would destroy data or break
    the cluster later.
  - A host that can't be reached is an error, unless its cluster can be worked on without it, which a quorum of etcd and
    the data of PostgreSQL on the others tell. It is a warning then.
  - Prints one readable list and fails when it holds an error.
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
    description: The greatest difference in seconds between two hosts' clocks.
    type: float
    default: 0.5
  accept:
    description: >-
      Words that confirm findings, as these tell them (C(KIND:CLUSTER)). An unknown one is an error.
    type: list
    elements: str
    default: []
  part:
    description: >-
      Only judge the secrets and variables of the play's hosts, as far as they can be evaluated, and compare what is
      deployed with what is wished, for a playbook that runs a part of a cluster. No secret may have changed then.
    type: bool
    default: false
seealso:
  - module: holdfast.ha.host_preflight
  - module: holdfast.ha.deployed_info
"""

EXAMPLES = r"""
- name: Show what is missing
  holdfast.ha.preflight_report:
"""

RETURN = r"""
findings:
  description: The warnings, each with C(host), C(check), C(value), C(fix) and C(level). Errors are shown only.
  returned: success
  type: list
  elements: dict
down:
  description: Why hosts can't be reached, by name.
  returned: success
  type: dict
present:
  description: Names of the play's hosts that can be reached.
  returned: success
  type: list
  elements: str
"""
