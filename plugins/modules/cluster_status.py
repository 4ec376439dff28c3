#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_status
short_description: Judge and show the state of all clusters
version_added: 1.0.0
description:
  - Derives the state of every cluster from the results that M(holdfast.ha.gather) registered on its hosts, and judges
    it.
  - Prints a table and every problem with its fix, and fails when there is a problem.
  - This is an action plugin, it runs on the controller.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status without changing anything but O(file).
      O(page) is not written.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
options:
  register:
    description:
      - The variable in which each host's result of M(holdfast.ha.gather) was registered.
      - Its probes must be named C(etcd), C(postgresql), C(haproxy), C(vrrp), C(timings), C(backup),
        C(archive), C(queue), C(verification), C(jobs), C(certificates) and C(maintenance). For O(page),
        C(prometheus) is used, too.
    type: str
    default: status__host
  group:
    description: The group of the hosts.
    type: str
    default: holdfast
  purpose:
    description:
      - With V(status), everything is judged.
      - With V(rolling), only what tells whether the next host may be taken out. This is whether the hosts answer, etcd,
        PostgreSQL, the balancers' services, virtual IPs, pools and the archive queue. Not judged are the ages of
        backups, their verification, jobs, certificates, undeclared SQL objects and restarts that are due. There are no
        notices.
    type: str
    choices: [status, rolling]
    default: status
  clusters:
    description: Names of the clusters to judge. Without it, all.
    type: list
    elements: str
  without:
    description:
      - Names of hosts that are meant to be out. They and what follows from their absence are no problem.
      - A majority of etcd's members must be healthy without them; none must be to spare.
      - Hosts in maintenance, by M(holdfast.ha.maintenance_info) on a majority of the hosts that answer, are added.
    type: list
    elements: str
    default: []
  format:
    description: What to print.
    type: str
    choices: [table, json, none]
    default: table
  file:
    description: A file on the controller to write the JSON document to.
    type: path
  page:
    description:
      - A file on the controller to write the state to as one HTML page that needs nothing else. It is replaced
        atomically and keeps its mode. In check mode it is not written.
      - With the probe C(prometheus), the result of M(holdfast.ha.prometheus_info) on the host of Prometheus, the page
        also has the last day and the alerts.
    type: path
  final:
    description: With V(false), an unhealthy cluster prints nothing and is no failure, so that the task can be retried.
    type: bool
    default: true
  lag:
    description: The greatest lag of a standby behind the leader, in bytes.
    type: int
    default: 16777216
  full_age:
    description: The greatest age in seconds of the newest full backup.
    type: int
    default: 691200
  any_age:
    description: The greatest age in seconds of the newest backup of any type.
    type: int
    default: 172800
  verified_age:
    description: The greatest age in seconds of the last verification of a backup's restore, where one is scheduled.
    type: int
    default: 172800
  queue_age:
    description: The longest time in seconds that a WAL file may wait to be archived.
    type: int
    default: 300
  job_margin:
    description: Seconds by which a scheduled job's last success may be older than its schedule allows.
    type: int
    default: 3600
  certificate_end:
    description: A certificate that expires within this many seconds is a problem.
    type: int
    default: 604800
  certificate_notice:
    description: A certificate that expires within this many seconds is a notice.
    type: int
    default: 2592000
seealso:
  - module: holdfast.ha.gather
"""

EXAMPLES = r"""
- name: Show the state
  holdfast.ha.cluster_status:
    file: status.json
"""

RETURN = r"""
healthy:
  description: Whether nothing is wrong.
  returned: always
  type: bool
problems:
  description: How many problems there are.
  returned: always
  type: int
clusters:
  description:
    - Each cluster by its name, with C(healthy), C(problems), C(postgresql), C(etcd), C(virtual_ips), C(pools),
      C(repository), C(jobs), C(certificates) and C(prediction); the document in O(file) has the same. C(notices) are
      problems that are not there yet.
    - C(redundancy) has, for etcd, PostgreSQL and the balancers by C(name), how many members they have (C(total)), which
      of them don't serve (C(lost)), and how many more they can lose (C(spare), -1 when the part is down).
    - C(prediction) has the predicted seconds without writes for each fault, in C(faults) by name with C(best),
      C(median), C(worst) and their C(stages). C(unpredicted) says why other faults have no prediction, C(settings) has
      the values that it follows from.
    - C(maintenance) has the hosts that are marked as in maintenance, with C(host), C(since), C(reason), C(by), and
      C(agreed), whether a majority says so.
  returned: when healthy
  type: dict
"""
