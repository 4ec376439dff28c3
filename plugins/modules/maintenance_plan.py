#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance_plan
short_description: Plan how a host goes into maintenance or comes back
version_added: 1.0.0
description:
  - Judges the options of C(maintenance.yml) and returns the files and units for the hosts, from what
    M(holdfast.ha.maintenance_info) registered on each of them.
  - A host is in maintenance when a majority of the hosts that answer has its mark. So the others can tell, too, while
    the host is off.
  - Whether the cluster can do without the host is up to M(holdfast.ha.rolling_plan).
  - Without O(out), O(back) and O(reason), and with O(asked=false), it only tells who is in maintenance.
  - This is an action plugin, it runs on the controller. Run it once per play.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status without changing anything, as it never does.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
options:
  out:
    description: The host that goes into maintenance.
    type: str
    default: ""
  back:
    description: The host that comes back.
    type: str
    default: ""
  reason:
    description: Why, for O(out); at most 200 characters. A host that is in maintenance already keeps its former reason.
    type: str
    default: ""
  asked:
    description: Whether one of O(out) and O(back) is required.
    type: bool
    default: true
  register:
    description: The variable in which each host's result of M(holdfast.ha.maintenance_info) was registered.
    type: str
    default: maintenance_host
  group:
    description: The group of the hosts.
    type: str
    default: holdfast
seealso:
  - module: holdfast.ha.maintenance_info
  - module: holdfast.ha.rolling_plan
"""

EXAMPLES = r"""
- name: Plan it
  holdfast.ha.maintenance_plan:
    out: db2
    reason: a new disk
  register: plan
  run_once: true
"""

RETURN = r"""
host: {description: Name of the host., returned: when asked, type: str}
cluster: {description: Name of its cluster., returned: when asked, type: str}
direction: {description: V(out) or V(back)., returned: when asked, type: str}
reachable: {description: Whether the host answers., returned: when asked, type: bool}
marked: {description: Whether any host has its mark., returned: when asked, type: bool}
in_maintenance: {description: Whether it is in maintenance already., returned: when asked, type: bool}
others:
  description: Names of other hosts that are in maintenance, or have their own mark, of all clusters.
  returned: success
  type: list
  elements: str
half:
  description:
    - The hosts of all clusters of which only a minority says that they are in maintenance. Each has its C(cluster), and
      a C(text), one sentence with the fix.
  returned: when not asked
  type: list
  elements: dict
silent:
  description: Names of hosts that give no answer, of all clusters.
  returned: when asked
  type: list
  elements: str
text: {description: "What the host is afterwards, in words.", returned: when asked, type: str}
directories:
  description: The directory of the marks, with C(path), if one is needed.
  returned: when asked
  type: list
  elements: dict
purge:
  description: The other marks that belong nowhere, as for M(holdfast.ha.component).
  returned: when asked
  type: list
  elements: dict
marks:
  description: The files, with C(path) and C(content), that belong on every host of the cluster.
  returned: when asked
  type: list
  elements: dict
no_marks: {description: The paths that belong on no host., returned: when asked, type: list, elements: str}
drop_ins:
  description: The files, with C(path) and C(content), that belong on the host itself.
  returned: when asked
  type: list
  elements: dict
no_drop_ins:
  description: The paths that don't belong on the host itself.
  returned: when asked
  type: list
  elements: str
units:
  description: The host's units with C(name) and C(state), in the order in which they stop or start.
  returned: when asked
  type: list
  elements: dict
"""
